"""Questions about commands: subscription, acknowledgement, configuration."""

from harness.device_operations import Boot, Inject, Settle
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION
from harness.wire.topics import control_topic
from scenarios.device.steps import outcome_of, settle_s, tell

_LONG_BYTES_MAX = 16 * 1024


@scenario(
    "device_subscribes_to_its_own_topics",
    "device_asks_for_qos_2",
    subject="device",
    needs=DeviceNeeds(commands=(CONFIGURATION,)),
    duration_s=3.0,
)
def configure(cast: DeviceCast) -> Workload:
    """The device connects with a new session; two configurations are sent."""
    yield Boot(afresh=True)
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, dict(configuration))


@scenario("device_completes_every_exchange", subject="device", needs=DeviceNeeds(commands=(CONFIGURATION,), qos=2), duration_s=3.0)
def configure_with_qos_2(cast: DeviceCast) -> Workload:
    """Configurations are sent, one after the other; the payload of the last is as long as the device allows."""
    yield Boot()
    for configuration in cast.configurations[:3]:
        yield from tell(cast, CONFIGURATION, dict(configuration))
    payload = cast.padded(cast.configurations[0], min(cast.declares.max_payload_bytes, _LONG_BYTES_MAX))
    yield Inject(control_topic(cast.device_id, CONFIGURATION), payload)
    yield from outcome_of(cast, CONFIGURATION)
    yield Settle(settle_s(cast))


@scenario(
    "configuration_is_applied_and_reported",
    subject="device",
    needs=DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), configuration_seen=True),
    duration_s=3.0,
)
def configure_and_ask(cast: DeviceCast) -> Workload:
    """Configurations with values of every kind are sent and asked for, as a whole and in part."""
    yield Boot()
    first, second, *more = cast.configurations
    # The second of them has the keys of the first, with other values, where there are so many.
    for configuration in (first, *more[:1], second, *cast.rich_configurations):
        yield from tell(cast, CONFIGURATION, dict(configuration))
        yield from tell(cast, SEND_CONFIGURATION, {})
        names = list(configuration)
        for keys in (names[:1], names[::-1], ["hil_unknown", *names[-1:]]):
            yield from tell(cast, SEND_CONFIGURATION, {"keys": keys})
