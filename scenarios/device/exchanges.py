"""Questions about the QoS 2 exchange: repetition, resumption, packet ids, order, segmentation. All of it is legal behaviour of a broker."""

from harness.device_operations import Boot, Interfere, SendPacket, Settle, Tell, Until
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.faults import Coalesce, Cut, Duplicate, FaultPlan, PacketAction, PacketEvent, PacketFault, Split
from harness.mqtt.packets import Publish
from harness.operations import Announce
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION
from harness.wire.topics import control_topic
from scenarios.device.steps import GRACE_S, acknowledged, listening, outcome_of, settle_s, tell

_CONFIGURED = DeviceNeeds(commands=(CONFIGURATION,), qos=2)
_SEEN = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), results=True, qos=2)
_RESUMED = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), results=True, qos=2, persistent_session=True)

_COMMAND = PacketEvent(packet="PUBLISH", sent_by="server", qos=2, topic="+/control/+")


def _plan(name: str, at: PacketEvent, action: PacketAction) -> FaultPlan:
    return FaultPlan(packets=(PacketFault(name=name, at=at, action=action),))


@scenario("repeated_publish_has_one_effect", subject="device", needs=_SEEN, duration_s=8.0)
def publish_repeated_before_release(cast: DeviceCast) -> Workload:
    """A command is repeated with DUP before its PUBREL, once and three times."""
    yield Boot()
    for copies, configuration in zip((1, 3), cast.configurations, strict=False):
        yield Interfere(_plan("PUBLISH repeated", _COMMAND, Duplicate(copies=copies, dup=True)))
        yield Tell(CONFIGURATION, dict(configuration))
        yield from outcome_of(cast, CONFIGURATION)
        # A second effect would come as soon as the first.
        yield Settle(settle_s(cast))


@scenario("release_after_resumption_has_one_effect", "device_completes_every_exchange", subject="device", needs=_RESUMED, duration_s=10.0)
def release_first_after_resumption(cast: DeviceCast) -> Workload:
    """The connection is lost after PUBREC; the resumed session begins with PUBREL, without a new PUBLISH."""
    yield Boot()
    # What is in force from an earlier scenario must not look like an effect of this one.
    yield from tell(cast, CONFIGURATION, dict(cast.configurations[1]))
    cut = _plan("cut before PUBREL", PacketEvent(packet="PUBREL", sent_by="server"), Cut(when="before"))
    yield from _cut_and_resume(cast, cut, dict(cast.configurations[0]))


@scenario("publish_after_resumption_has_one_effect", "device_completes_every_exchange", subject="device", needs=_RESUMED, duration_s=20.0)
def publish_again_after_resumption(cast: DeviceCast) -> Workload:
    """The connection is lost around PUBLISH and PUBREC; the resumed session repeats the PUBLISH with DUP."""
    yield Boot()
    cuts = (
        _plan("cut after PUBLISH", _COMMAND, Cut(when="after")),
        _plan("cut before PUBREC", PacketEvent(packet="PUBREC", sent_by="client"), Cut(when="before")),
        _plan("cut before PUBCOMP", PacketEvent(packet="PUBCOMP", sent_by="client"), Cut(when="before")),
    )
    for cut, configuration in zip(cuts, cast.configurations, strict=False):
        yield from _cut_and_resume(cast, cut, dict(configuration))


def _cut_and_resume(cast: DeviceCast, cut: FaultPlan, configuration: dict[str, object]) -> Workload:
    """Sends a configuration whose exchange is cut, waits until the device is back, and asks what became of it."""
    yield Interfere(cut)
    yield Tell(CONFIGURATION, configuration)
    yield Until(listening, cast.declares.connect_s)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("packet_id_after_completion_is_a_new_message", subject="device", needs=_SEEN, duration_s=4.0)
def packet_id_used_again(cast: DeviceCast) -> Workload:
    """Two different configurations come with the same packet id, the second after the PUBCOMP of the first."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        message = Publish(control_topic(cast.device_id, CONFIGURATION), cast.payload(configuration), qos=2, packet_id=4_711)
        yield SendPacket(message)
        yield Until(acknowledged, GRACE_S + cast.declares.result_s)
        yield Settle(settle_s(cast))
        yield from tell(cast, SEND_CONFIGURATION)


@scenario("receipts_keep_the_order", "device_completes_every_exchange", subject="device", needs=_CONFIGURED, duration_s=4.0)
def several_commands_at_once(cast: DeviceCast) -> Workload:
    """Five commands arrive in one segment."""
    yield Boot()
    yield Interfere(_plan("PUBLISH coalesced", _COMMAND, Coalesce(packets=5, seconds_max=1.0)))
    for number in range(5):
        yield Tell(CONFIGURATION, dict(cast.configurations[number % len(cast.configurations)]))
    yield Until(acknowledged, cast.declares.result_s + GRACE_S, count=5)
    yield Settle(settle_s(cast))


@scenario("segmentation_does_not_matter", subject="device", needs=_SEEN, duration_s=6.0)
def packets_in_pieces(cast: DeviceCast) -> Workload:
    """Commands arrive byte by byte, cut in the fixed header, and several in one segment."""
    yield Boot()
    actions: tuple[tuple[str, PacketAction, int], ...] = (
        ("byte by byte", Split(pause_s=0.002), 2),
        ("cut behind the first byte", Split(at=(1,), pause_s=0.05), 2),
        ("coalesced", Coalesce(packets=2, seconds_max=1.0), 1),
    )
    for (name, action, times), configuration in zip(actions, cast.configurations, strict=False):
        yield Announce("segmented", {"device_id": cast.device_id, "how": name})
        yield Interfere(FaultPlan(packets=(PacketFault(name=name, at=_COMMAND.model_copy(update={"times": times}), action=action),)))
        yield Tell(CONFIGURATION, dict(configuration))
        yield from tell(cast, SEND_CONFIGURATION)
