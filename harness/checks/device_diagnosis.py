"""Which MQTT stack a device may be built on, and what that stack is known for: a hint, never a verdict.

Read off what a device shows of itself: its CONNECT, its SUBSCRIBE, and how it left. The facts are
those of the stacks' sources, with their defaults.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harness.history.events import MqttClosed, MqttPacket
from harness.history.timeline import History

KEEPS_NO_IDS = (
    "your MQTT library delivers on PUBLISH and keeps no packet ids, as esp-mqtt, Paho embedded C, lwmqtt and the platform's own Arduino "
    "library do; keep the last ids yourself"
)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a device showed of its stack."""

    clean_session: bool | None
    keep_alive_s: int | None
    qos: frozenset[int]
    topics: frozenset[str]
    leaves_at_publish: bool  # its connection ended right after a QoS 2 PUBLISH, by its own doing
    device_id: str


def traits_of(history: History, device_id: str) -> Traits:
    """The traits of a device, from all that is seen of it."""
    connects = [seen.fact for seen in history.packets("CONNECT", device_id=device_id)]
    filters = [pair for seen in history.packets("SUBSCRIBE", device_id=device_id) for pair in seen.fact.filters or ()]
    last = connects[-1] if connects else None
    return Traits(
        clean_session=last.clean_session if last else None,
        keep_alive_s=last.keep_alive_s if last else None,
        qos=frozenset(qos for _, qos in filters),
        topics=frozenset(name for name, _ in filters),
        leaves_at_publish=_leaves_at_publish(history, device_id),
        device_id=device_id,
    )


def _leaves_at_publish(history: History, device_id: str) -> bool:
    before: object = None
    for event in history.events:
        fact = event.fact
        if getattr(fact, "device_id", None) != device_id or not isinstance(fact, MqttPacket | MqttClosed):
            continue
        was_publish = isinstance(before, MqttPacket) and before.type == "PUBLISH" and before.sent_by == "server" and before.qos == 2
        if isinstance(fact, MqttClosed) and fact.closed_by == "peer" and was_publish:
            return True
        before = fact
    return False


_STACKS: tuple[tuple[Callable[[Traits], bool], str], ...] = (
    (
        lambda traits: traits.leaves_at_publish,
        "the connection ends right after a QoS 2 PUBLISH, as MicroPython's umqtt.simple does (it runs the callback, then an assertion "
        "fails): subscribe with QoS 1, or take a client that speaks QoS 2",
    ),
    (
        lambda traits: traits.qos == {0} and traits.device_id in traits.topics,
        "QoS 0 on the control topics and on the plain device topic are the defaults of the platform's own Arduino library: ask for QoS 2 "
        "in the call of subscribe",
    ),
    (
        lambda traits: traits.qos == {1} and traits.clean_session is True,
        "QoS 1 with a clean session looks like PubSubClient, which cannot do QoS 2 (its subscribe refuses it): declare qos = 1, or take "
        "another client",
    ),
    (
        lambda traits: traits.clean_session is True and traits.keep_alive_s == 0,
        "no keep-alive and a clean session are the defaults of MicroPython's umqtt: give it keepalive and clean_session=False, and "
        "call ping()",
    ),
    (
        lambda traits: traits.clean_session is True,
        "a clean session is the default of esp-mqtt (disable_clean_session), umqtt and PubSubClient: what is sent while the device is away "
        "is lost, and so are its packet ids",
    ),
)


def likely_stack(history: History, device_id: str) -> str:
    """What is known of the stack that the device's traits point to; "" where they point to none."""
    traits = traits_of(history, device_id)
    return next((text for is_likely, text in _STACKS if is_likely(traits)), "")


def hint_with_stack(history: History, device_id: str, hint: str) -> str:
    """A hint, followed by what the device's stack is known for."""
    return "; ".join(filter(None, (hint, likely_stack(history, device_id))))
