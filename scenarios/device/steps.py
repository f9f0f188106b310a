"""The sentences of which the device scenarios are made. Each is a sub-generator, used with `yield from`; none of them judges."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias, TypeVar

from harness.checks.device_view import Result
from harness.device_operations import Observe, SendPacket, Settle, Store, StoredFile, Tell, Until, is_listening
from harness.device_scenario import DeviceCast
from harness.faults import FaultPlan, PacketAction, PacketEvent, PacketFault
from harness.history.events import Event, Fact, HttpEnded, HttpRequest, MqttClosed, MqttPacket
from harness.history.timeline import Seen
from harness.mqtt.packets import Publish
from harness.wire.commands import DOWNLOAD_FIRMWARE, DOWNLOADS, REBOOT, SEND_CONFIGURATION
from harness.wire.topics import control_topic, result_topic

T = TypeVar("T")
Step: TypeAlias = Generator[Any, Any, T]
Matches: TypeAlias = Callable[[Fact], bool]

# Besides its declared time for a result, a device may need this long for what the bench itself adds.
GRACE_S = 1.0
BOOT_GRACE_S = 3.0  # what starting a program adds to its reboot
_PATIENCE = 2.0  # times the declared time for a result
_SECOND_EFFECT_S_MAX = 5.0
_BACK_OFF_S_MAX = 60.0
# A download that nothing slows down may take this long besides.
DOWNLOAD_GRACE_S = 5.0
# A device that asks more often than this for one file is not waited for any longer.
ATTEMPTS_WAITED_FOR_MAX = 30
# A device that restarts into the firmware that it installed leaves within this time after its result.
RESTART_S = 1.5

# The packets of a command's exchange, and of no other: whoever subscribes to more hears its own results, whose exchanges look alike.
COMMAND = PacketEvent(packet="PUBLISH", sent_by="server", qos=2, topic="+/control/+")
RECEIPT = PacketEvent(packet="PUBREC", sent_by="client", topic="+/control/+")
RELEASE = PacketEvent(packet="PUBREL", sent_by="server", topic="+/control/+")
COMPLETION = PacketEvent(packet="PUBCOMP", sent_by="client", topic="+/control/+")


def settle_s(cast: DeviceCast) -> float:
    """How long a wrong second effect may take to show: about as long as a right one."""
    return min(cast.declares.result_s, GRACE_S)


def back_within_s(cast: DeviceCast) -> float:
    """How long a device may be away after its connection was lost: nothing declares it, and a back-off may have grown to its limit."""
    return max(cast.declares.connect_s, _BACK_OFF_S_MAX)


def until_back(cast: DeviceCast) -> Step[None]:
    """Waits for a device whose connection was lost: long until it connects, and then no longer than connecting takes until it listens."""
    came: list[Event] = yield Until(let_in, back_within_s(cast))
    if came and not is_listening(came[0].fact):
        yield Until(is_listening, cast.declares.connect_s)


def until_cut_and_back(cast: DeviceCast) -> Step[None]:
    """Waits for the loss at a packet of a fault plan, and for the device's return. Who never sends that packet is not cut."""
    if (yield Until(connection_ended, GRACE_S + cast.declares.result_s)):
        yield from until_back(cast)


def let_in(fact: Fact) -> bool:
    """The device's CONNECT was accepted."""
    return isinstance(fact, MqttPacket) and fact.type == "CONNACK" and not any(fact.return_codes or ())


def second_effect_s(cast: DeviceCast) -> float:
    """How long the effect of a repeated command may take to show: as long as the first one's, and no more than a scenario can bear."""
    return min(cast.declares.result_s, _SECOND_EFFECT_S_MAX)


def acknowledged(fact: Fact) -> bool:
    """The device has acknowledged a message to the end."""
    return isinstance(fact, MqttPacket) and fact.sent_by == "client" and fact.type in ("PUBCOMP", "PUBACK")


def published(command: str) -> Matches:
    """The broker has sent a command of this name."""
    return lambda fact: isinstance(fact, MqttPacket) and fact.type == "PUBLISH" and (fact.topic or "").endswith(f"/control/{command}")


def reboot(cast: DeviceCast) -> Step[None]:
    """Tells the device to reboot, and waits until it listens again."""
    yield Tell(REBOOT)
    yield Until(is_listening, cast.declares.reboot_s + BOOT_GRACE_S)


def one_fault(name: str, at: PacketEvent, action: PacketAction) -> FaultPlan:
    """A plan of a single fault."""
    return FaultPlan(packets=(PacketFault(name=name, at=at, action=action),))


def repeat(cast: DeviceCast, command: str, payload: bytes, seen: Sequence[Event]) -> Step[bool]:
    """Sends copies with DUP of a command that was seen published and has not had its PUBREL, and waits for what they do.

    False where it came with QoS 0: then there is nothing to repeat.
    """
    for packet in (event.fact for event in seen if isinstance(event.fact, MqttPacket)):
        if packet.packet_id is None:
            return False
        yield SendPacket(Publish(control_topic(cast.device_id, command), payload, qos=2, dup=True, packet_id=packet.packet_id))
    yield Until(acknowledged, cast.declares.result_s)
    yield Settle(second_effect_s(cast))
    return True


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
        events = yield from _result_after_attempts(cast, command, within_s)
    if command == DOWNLOAD_FIRMWARE and (declares.results == "none" or any(_says_success(event, command) for event in events)):
        yield from until_restarted(cast)
    yield Observe("image_sha256")
    return events


def _result_after_attempts(cast: DeviceCast, command: str, within_s: float) -> Step[list[Event]]:
    """Waits for a result; a device that asks again owes it only after its last attempt."""
    is_result = result_of(cast, command)
    for _ in range(ATTEMPTS_WAITED_FOR_MAX):
        events: list[Event] = yield Until(lambda fact: is_result(fact) or exchange_ended(fact), within_s)
        if not events or is_result(events[0].fact):
            return events
        within_s = cast.declares.result_s + DOWNLOAD_GRACE_S
    last: list[Event] = yield Until(is_result, within_s)
    return last


def _says_success(event: Event, command: str) -> bool:
    return isinstance(event.fact, MqttPacket) and Result(Seen(event, event.fact), command).is_success


def until_restarted(cast: DeviceCast) -> Step[None]:
    """A device may restart into its new firmware: what it is asked next must not meet it on its way out."""
    left: list[Event] = yield Until(has_left, RESTART_S)
    if left:
        yield Until(is_listening, cast.declares.reboot_s + cast.declares.connect_s)


def connection_ended(fact: Fact) -> bool:
    """A connection of the device is gone, whoever ended it."""
    return isinstance(fact, MqttClosed)


def has_left(fact: Fact) -> bool:
    """The device ended its connection itself."""
    return isinstance(fact, MqttClosed) and fact.closed_by == "peer"


def requests_of(cast: DeviceCast) -> int:
    """How many requests one download may take: many, for a device that asks for parts."""
    return 10_000 if cast.declares.download == "range" else 1


def asked_for_a_file(fact: Fact) -> bool:
    """The device has asked for a file."""
    return isinstance(fact, HttpRequest) and fact.endpoint == "download"


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
