"""Questions about the QoS 2 exchange: repetition, resumption, packet ids, order, segmentation. All of it is legal behaviour of a broker."""

from itertools import cycle

from harness.device_operations import Boot, CutConnection, Inject, Interfere, SendPacket, Settle, Tell, Until
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.faults import Coalesce, Cut, Drop, Duplicate, FaultPlan, PacketAction, PacketEvent, PacketFault, Split
from harness.mqtt.packets import Publish
from harness.operations import Announce
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION
from harness.wire.topics import control_topic
from scenarios.device.steps import (
    COMMAND,
    COMPLETION,
    GRACE_S,
    RECEIPT,
    RELEASE,
    Matches,
    acknowledged,
    download,
    one_fault,
    outcome_of,
    published,
    repeat,
    result_of,
    second_effect_s,
    settle_s,
    tell,
    until_back,
    until_cut_and_back,
)

_CONFIGURED = DeviceNeeds(commands=(CONFIGURATION,), qos=2)
_SEEN = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), results=True, qos=2)
_RESUMED = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), results=True, qos=2, persistent_session=True)

# From here on a packet's remaining length takes two bytes (MQTT 2.2.3): the most that fits in one.
_LONG_BYTES = 128
_LAST_IDS = 8
_SHOWN = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), configuration_seen=True, qos=2)


@scenario("repeated_publish_has_one_effect", subject="device", needs=_SEEN, duration_s=8.0)
def publish_repeated_before_release(cast: DeviceCast) -> Workload:
    """A command is repeated with DUP before its PUBREL, once and three times."""
    yield Boot()
    for copies, configuration in zip((1, 3), cast.configurations, strict=False):
        yield Interfere(one_fault("PUBLISH repeated", COMMAND, Duplicate(copies=copies, dup=True)))
        yield Tell(CONFIGURATION, configuration)
        yield from outcome_of(cast, CONFIGURATION)
        yield Settle(second_effect_s(cast))


@scenario(
    "repeated_publish_has_one_effect",
    subject="device",
    needs=DeviceNeeds(any_download=True, download="single", qos=2),
    duration_s=5.0,
)
def download_repeated_before_release(cast: DeviceCast) -> Workload:
    """A download command is repeated with DUP before its PUBREL."""
    yield Boot()
    yield Interfere(one_fault("PUBLISH repeated", COMMAND, Duplicate(copies=1, dup=True)))
    yield from download(cast, cast.download_command)
    yield Settle(second_effect_s(cast))


@scenario("copy_behind_another_command_has_no_effect", subject="device", needs=_SHOWN, duration_s=6.0)
def publish_repeated_behind_another_command(cast: DeviceCast) -> Workload:
    """A configuration is repeated with DUP before its PUBREL, after several others have come."""
    yield Boot()
    newer, older = cast.configurations[:2]
    yield from tell(cast, CONFIGURATION, newer)
    yield Interfere(one_fault("PUBREL held back", RELEASE, Drop()))
    yield Tell(CONFIGURATION, older)
    seen = yield Until(published(CONFIGURATION), cast.declares.result_s)
    # Whether it is in force now tells when the device acts: at PUBLISH or at PUBREL.
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)
    # More of them than a list of the last few packet ids holds.
    for _ in range(_LAST_IDS):
        yield from tell(cast, CONFIGURATION, newer)
    if (yield from repeat(cast, CONFIGURATION, cast.payload(older), seen)):
        yield from tell(cast, SEND_CONFIGURATION)


@scenario("release_after_resumption_has_one_effect", "device_completes_every_exchange", subject="device", needs=_RESUMED, duration_s=10.0)
def release_first_after_resumption(cast: DeviceCast) -> Workload:
    """The connection is lost after PUBREC; the resumed session begins with PUBREL, without a new PUBLISH."""
    yield Boot()
    # What is in force from an earlier scenario must not look like an effect of this one.
    yield from tell(cast, CONFIGURATION, cast.configurations[1])
    cut = one_fault("cut before PUBREL", RELEASE, Cut(when="before"))
    yield from _cut_and_resume(cast, cut, cast.configurations[0])


@scenario("publish_after_resumption_has_one_effect", "device_completes_every_exchange", subject="device", needs=_RESUMED, duration_s=20.0)
def publish_again_after_resumption(cast: DeviceCast) -> Workload:
    """The connection is lost around PUBLISH and PUBREC; the resumed session repeats the PUBLISH with DUP."""
    yield Boot()
    # As above.
    yield from tell(cast, CONFIGURATION, cast.configurations[-1])
    cuts = (
        one_fault("cut after PUBLISH", COMMAND, Cut(when="after")),
        one_fault("cut before PUBREC", RECEIPT, Cut(when="before")),
        one_fault("cut before PUBCOMP", COMPLETION, Cut(when="before")),
    )
    for cut, configuration in zip(cuts, cast.configurations, strict=False):
        yield from _cut_and_resume(cast, cut, configuration)


def _cut_and_resume(cast: DeviceCast, cut: FaultPlan, configuration: dict[str, object]) -> Workload:
    """Sends a configuration whose exchange is cut, waits until the device is back, and asks what became of it."""
    yield Interfere(cut)
    yield Tell(CONFIGURATION, configuration)
    yield from until_cut_and_back(cast)
    yield Settle(second_effect_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("packet_id_after_completion_is_a_new_message", subject="device", needs=_SEEN, duration_s=4.0)
def packet_id_used_again(cast: DeviceCast) -> Workload:
    """Configurations come with the same packet id, each after the PUBCOMP of the one before; the last two are alike."""
    yield Boot()
    first, second = cast.configurations[:2]
    for configuration, is_last in ((first, True), (second, False), (second, True)):
        message = Publish(control_topic(cast.device_id, CONFIGURATION), cast.payload(configuration), qos=2, packet_id=4_711)
        yield SendPacket(message)
        # Its acknowledgement and its result, in whatever order: a result that comes later would count for the next one.
        yield Until(_acknowledged_or_answered(cast), GRACE_S + cast.declares.result_s, count=2)
        yield Settle(settle_s(cast))
        if is_last:
            yield from tell(cast, SEND_CONFIGURATION)


# The ends of what one byte holds, of what a signed number of two bytes holds, and of all (MQTT-2.3.1-1).
_PACKET_IDS = (255, 256, 32_768, 65_535)


@scenario("device_completes_every_exchange", subject="device", needs=_CONFIGURED, duration_s=3.0)
def packet_ids_of_every_size(cast: DeviceCast) -> Workload:
    """Configurations come with small and with large packet ids."""
    yield Boot()
    for packet_id, configuration in zip(_PACKET_IDS, cycle(cast.configurations), strict=False):
        yield SendPacket(Publish(control_topic(cast.device_id, CONFIGURATION), cast.payload(configuration), qos=2, packet_id=packet_id))
        yield Until(acknowledged, GRACE_S + cast.declares.result_s)
    yield Settle(settle_s(cast))


def _acknowledged_or_answered(cast: DeviceCast) -> Matches:
    is_answer = result_of(cast, CONFIGURATION)
    return lambda fact: acknowledged(fact) or is_answer(fact)


@scenario("receipts_keep_the_order", "device_completes_every_exchange", subject="device", needs=_CONFIGURED, duration_s=4.0)
def several_commands_at_once(cast: DeviceCast) -> Workload:
    """Five commands arrive in one segment."""
    yield Boot()
    yield Interfere(one_fault("PUBLISH coalesced", COMMAND, Coalesce(packets=5, seconds_max=1.0)))
    for number in range(5):
        yield Tell(CONFIGURATION, cast.configurations[number % len(cast.configurations)])
    # Who takes one command after the other needs its time five times.
    yield Until(acknowledged, 5 * cast.declares.result_s + GRACE_S, count=5)
    yield Settle(settle_s(cast))


@scenario("segmentation_does_not_matter", subject="device", needs=_SEEN, duration_s=8.0)
def packets_in_pieces(cast: DeviceCast) -> Workload:
    """Commands arrive byte by byte and cut in the fixed header, with short and with long packets."""
    yield Boot()
    yield from tell(cast, SEND_CONFIGURATION)
    any_packet = PacketEvent(sent_by="server", times=6)
    yield from _segmented(cast, "byte by byte", any_packet, Split(pause_s=0.002))
    yield from _segmented(cast, "cut behind the first byte", any_packet, Split(at=(1,), pause_s=0.05))
    if cast.declares.max_payload_bytes >= _LONG_BYTES:
        yield from _segmented(cast, "cut behind the first byte, and long", COMMAND, Split(at=(1,), pause_s=0.05), filled=_LONG_BYTES)
        yield from _segmented(cast, "cut within the remaining length", COMMAND, Split(at=(2,), pause_s=0.05), filled=_LONG_BYTES)
        yield from _segmented(cast, "cut in the topic and in the payload", COMMAND, Split(at=(9, 120), pause_s=0.05), filled=_LONG_BYTES)


def _segmented(cast: DeviceCast, how: str, at: PacketEvent, action: PacketAction, *, filled: int = 0) -> Workload:
    """A configuration whose payload is filled up to so many bytes arrives cut in a way."""
    yield Announce("segmented", {"device_id": cast.device_id, "how": how})
    yield Interfere(one_fault(how, at, action))
    yield Inject(control_topic(cast.device_id, CONFIGURATION), cast.padded(cast.configurations[0], filled))
    yield from outcome_of(cast, CONFIGURATION)
    yield Settle(settle_s(cast))


@scenario("segmentation_does_not_matter", subject="device", needs=_SEEN, duration_s=5.0)
def packets_in_one_segment(cast: DeviceCast) -> Workload:
    """Two commands arrive in one segment, and three, and one with the beginning of the next."""
    yield Boot()
    yield from tell(cast, SEND_CONFIGURATION)
    second_in_pieces = PacketFault(
        name="second one in pieces", at=COMMAND.model_copy(update={"skip": 1}), action=Split(at=(9,), pause_s=0.05)
    )
    for packets, how, besides in (
        (2, "with 2 in one segment", ()),
        (3, "with 3 in one segment", ()),
        (2, "with the first bytes of the second in the segment of the first", (second_in_pieces,)),
    ):
        together = PacketFault(name=how, at=COMMAND, action=Coalesce(packets=packets, seconds_max=1.0))
        yield Announce("segmented", {"device_id": cast.device_id, "how": how})
        yield Interfere(FaultPlan(packets=(together, *besides)))
        for configuration in cast.configurations[: packets - 1]:
            yield Tell(CONFIGURATION, configuration)
        yield Tell(SEND_CONFIGURATION)
        yield Until(result_of(cast, SEND_CONFIGURATION), packets * cast.declares.result_s + GRACE_S)
        yield Settle(settle_s(cast))


@scenario("segmentation_does_not_matter", subject="device", needs=_SEEN, duration_s=5.0)
def connection_in_pieces(cast: DeviceCast) -> Workload:
    """The device connects again, and the answers to its CONNECT and SUBSCRIBE come byte by byte."""
    yield Boot()
    yield from tell(cast, SEND_CONFIGURATION)
    yield Settle(settle_s(cast))
    yield Announce("segmented", {"device_id": cast.device_id, "how": "behind a CONNACK and a SUBACK that came byte by byte"})
    yield Interfere(
        FaultPlan(
            packets=tuple(
                PacketFault(name=f"{packet} byte by byte", at=PacketEvent(packet=packet, sent_by="server"), action=Split(pause_s=0.02))
                for packet in ("CONNACK", "SUBACK")
            )
        )
    )
    yield CutConnection()
    yield from until_back(cast)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)
    yield Settle(settle_s(cast))
