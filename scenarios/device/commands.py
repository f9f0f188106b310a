"""Questions about commands: subscription, acknowledgement, configuration."""

from harness.device_operations import Boot
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION
from scenarios.device.steps import tell


@scenario(
    "device_subscribes_to_its_own_topics",
    "device_asks_for_qos_2",
    subject="device",
    needs=DeviceNeeds(commands=(CONFIGURATION,)),
    duration_s=3.0,
)
def configure(cast: DeviceCast) -> Workload:
    """Two configurations are sent."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, dict(configuration))


@scenario("device_completes_every_exchange", subject="device", needs=DeviceNeeds(commands=(CONFIGURATION,), qos=2), duration_s=3.0)
def configure_with_qos_2(cast: DeviceCast) -> Workload:
    """Configurations are sent, one after the other."""
    yield Boot()
    for configuration in cast.configurations[:3]:
        yield from tell(cast, CONFIGURATION, dict(configuration))


@scenario(
    "configuration_is_applied_and_reported",
    subject="device",
    needs=DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), configuration_seen=True),
    duration_s=3.0,
)
def configure_and_ask(cast: DeviceCast) -> Workload:
    """A configuration is sent and asked for, as a whole and in part."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, dict(configuration))
        yield from tell(cast, SEND_CONFIGURATION, {})
        yield from tell(cast, SEND_CONFIGURATION, {"keys": list(configuration)[:1]})
