"""The sentences of which the device scenarios are made. Each is a sub-generator, used with `yield from`; none of them judges."""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

from harness.device_operations import Boot, Observe, Settle, Store, StoredFile, Tell, Until
from harness.device_scenario import DeviceCast
from harness.history.events import Event, Fact, HttpEnded, MqttPacket
from harness.wire.commands import DOWNLOAD_FIRMWARE, DOWNLOADS, SEND_CONFIGURATION
from harness.wire.topics import result_topic

T = TypeVar("T")
Step: TypeAlias = Generator[Any, Any, T]
Matches: TypeAlias = Callable[[Fact], bool]

# Besides its declared time for a result, a device may need this long for what the bench itself adds.
GRACE_S = 1.0
_PATIENCE = 2.0  # times the declared time for a result
_SECOND_EFFECT_S_MAX = 5.0
# A download that nothing slows down may take this long besides.
DOWNLOAD_GRACE_S = 5.0


def listening(fact: Fact) -> bool:
    """The device's subscriptions stand, or its resumed session makes them stand."""
    if not isinstance(fact, MqttPacket) or fact.sent_by != "server":
        return False
    return fact.type == "SUBACK" or (fact.type == "CONNACK" and fact.session_present is True)


def settle_s(cast: DeviceCast) -> float:
    """How long a wrong second effect may take to show: about as long as a right one."""
    return min(cast.declares.result_s, GRACE_S)


def second_effect_s(cast: DeviceCast) -> float:
    """How long the effect of a repeated command may take to show: as long as the first one's, and no more than a scenario can bear."""
    return min(cast.declares.result_s, _SECOND_EFFECT_S_MAX)


def acknowledged(fact: Fact) -> bool:
    """The device has acknowledged a message to the end."""
    return isinstance(fact, MqttPacket) and fact.sent_by == "client" and fact.type in ("PUBCOMP", "PUBACK")


def result_of(cast: DeviceCast, command: str) -> Matches:
    """A result of the device on that command's topic."""
    topic = result_topic(cast.device_id, command)
    return lambda fact: isinstance(fact, MqttPacket) and fact.sent_by == "client" and fact.topic == topic


def download(cast: DeviceCast, command: str = DOWNLOAD_FIRMWARE, *, size_bytes: int = 20_000, valid: bool = True) -> Step[list[Event]]:
    """Stores a file, tells the device to download it, and waits for what comes of it."""
    stored: StoredFile = yield Store(DOWNLOADS[command], size_bytes=size_bytes, valid=valid)
    yield Tell(command, {"file_name": stored.name})
    return (yield from download_result(cast, command))


def download_result(cast: DeviceCast, command: str, *, transfer_s: float = 0.0) -> Step[list[Event]]:
    """Waits for a download's result, or where results are not required, for its end; then asks the declared observer."""
    declares = cast.declares
    within_s = transfer_s + declares.result_s + DOWNLOAD_GRACE_S
    if declares.results == "none":
        events: list[Event] = yield Until(exchange_ended, within_s)
        yield Settle(declares.result_s)
    else:
        events = yield Until(result_of(cast, command), within_s)
    yield Observe("image_sha256")
    return events


def requests_of(cast: DeviceCast) -> int:
    """How many requests one download may take: many, for a device that asks for parts."""
    return 10_000 if cast.declares.download == "range" else 1


def exchange_ended(fact: Fact) -> bool:
    """A download is over, whichever way."""
    return isinstance(fact, HttpEnded)


def tell(cast: DeviceCast, command: str, data: dict[str, Any] | None = None) -> Step[list[Event]]:
    """Sends a command and waits for its effect as far as the device declares one: its result, or the end of its exchange."""
    yield Tell(command, data or {})
    outcome = yield from outcome_of(cast, command)
    if command == SEND_CONFIGURATION:
        yield Observe("configuration")
    return outcome


def outcome_of(cast: DeviceCast, command: str, *, count: int = 1) -> Step[list[Event]]:
    """Waits for the results of `count` commands of one name; for the end of their exchanges where results are not declared."""
    declares = cast.declares
    if declares.results != "none":
        # A late result must not be taken for the answer to the next command: who promised one is waited for longer than it may take.
        patience = _PATIENCE if declares.results == "required" else 1.0
        events: list[Event] = yield Until(result_of(cast, command), count * declares.result_s * patience + GRACE_S, count=count)
        return events
    ended: list[Event] = yield Until(acknowledged, count * declares.result_s + GRACE_S, count=count)
    yield Settle(min(declares.result_s, 2.0))
    return ended


def boot() -> Step[None]:
    """The entry state: running, connected, subscribed."""
    yield Boot()
