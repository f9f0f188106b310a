"""Questions about commands: subscription, acknowledgement, configuration."""

from harness.device_operations import Boot, Interfere, Settle, Tell
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.faults import Duplicate, FaultPlan, PacketEvent, PacketFault
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION
from scenarios.device.steps import GRACE_S, outcome_of, tell


@scenario(
    "device_subscribes_to_its_own_topics",
    "device_asks_for_qos_2",
    "device_completes_every_exchange",
    "configuration_is_applied_and_reported",
    subject="device",
    needs=DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), results=True),
    duration_s=3.0,
)
def configure_and_ask(cast: DeviceCast) -> Workload:
    """A configuration is sent and asked for, as a whole and in part."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, dict(configuration))
        yield from tell(cast, SEND_CONFIGURATION, {})
        yield from tell(cast, SEND_CONFIGURATION, {"keys": list(configuration)[:1]})


def _repeated(copies: int) -> FaultPlan:
    event = PacketEvent(packet="PUBLISH", sent_by="server", qos=2, topic="+/control/+")
    return FaultPlan(packets=(PacketFault(name="PUBLISH repeated", at=event, action=Duplicate(copies=copies, dup=True)),))


@scenario(
    "repeated_publish_has_one_effect",
    subject="device",
    needs=DeviceNeeds(commands=(CONFIGURATION,), results=True, qos=2),
    duration_s=6.0,
)
def publish_repeated_before_release(cast: DeviceCast) -> Workload:
    """A command is repeated with DUP before its PUBREL, once and three times."""
    yield Boot()
    for copies, configuration in zip((1, 3), cast.configurations, strict=False):
        yield Interfere(_repeated(copies))
        yield Tell(CONFIGURATION, dict(configuration))
        yield from outcome_of(cast, CONFIGURATION)
        # A second effect would come as soon as the first.
        yield Settle(min(cast.declares.result_s, GRACE_S))
