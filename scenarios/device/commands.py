"""Questions about commands: subscription, acknowledgement, configuration."""

from harness.device_operations import Boot, Inject, Settle
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION
from harness.wire.topics import control_topic
from scenarios.device.steps import outcome_of, settle_s, tell

_LONG_BYTES_MAX = 16 * 1024
_OTHERWISE = b'{\r\n\t"unit" : "\\u00b0C \\u20AC"\r\n}'
_REMAINING_LENGTHS = (127, 128, 16_383, 16_384)


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
        yield from tell(cast, CONFIGURATION, configuration)


@scenario("device_completes_every_exchange", subject="device", needs=DeviceNeeds(commands=(CONFIGURATION,), qos=2), duration_s=3.0)
def configure_with_qos_2(cast: DeviceCast) -> Workload:
    """Configurations are sent, one after the other: some where the remaining length grows by a byte, and one as long as allowed."""
    yield Boot()
    for configuration in cast.configurations[:3]:
        yield from tell(cast, CONFIGURATION, configuration)
    for size_bytes in _payload_sizes(cast):
        yield Inject(control_topic(cast.device_id, CONFIGURATION), cast.padded(cast.configurations[0], size_bytes))
        yield from outcome_of(cast, CONFIGURATION)
    yield Settle(settle_s(cast))


def _payload_sizes(cast: DeviceCast) -> list[int]:
    """Sizes, in bytes, whose packets have the shortest and longest remaining lengths of one, two and three bytes (MQTT 2.2.3)."""
    around_payload = len(b"\x00\x00") + len(control_topic(cast.device_id, CONFIGURATION).encode()) + len(b"\x00\x00")
    allowed = min(cast.declares.max_payload_bytes, _LONG_BYTES_MAX)
    sizes = {length - around_payload for length in _REMAINING_LENGTHS} | {allowed}
    return sorted(size for size in sizes if len(cast.payload(cast.configurations[0])) <= size <= allowed)


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
        yield from tell(cast, CONFIGURATION, configuration)
        yield from tell(cast, SEND_CONFIGURATION, {})
        names = list(configuration)
        # The second of many names is how others begin.
        for keys in (names[1:2] or names, names[::-1], ["hil_unknown", *names[-1:]]):
            yield from tell(cast, SEND_CONFIGURATION, {"keys": keys})
    if cast.rich_configurations:
        # Our platform writes no blanks, and what is beyond ASCII as it is; others do otherwise.
        yield Inject(control_topic(cast.device_id, CONFIGURATION), _OTHERWISE)
        yield from outcome_of(cast, CONFIGURATION)
        yield from tell(cast, SEND_CONFIGURATION, {})
