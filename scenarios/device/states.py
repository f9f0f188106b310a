"""Questions about what a command leaves behind: configurations, factory reset, reboot, results."""

from dataclasses import replace

from harness.device_operations import Boot, Interfere, Settle, Tell, Until
from harness.device_scenario import OFFER_BYTES_MIN, DeviceCast, DeviceNeeds
from harness.faults import Cut, Drop
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, DOWNLOAD_LOGO, REBOOT, RESET, SEND_CONFIGURATION
from scenarios.device.steps import (
    RECEIPT,
    RELEASE,
    download,
    one_fault,
    outcome_of,
    published,
    reboot,
    repeat,
    settle_s,
    tell,
    until_cut_and_back,
)

_CONFIGURED = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), configuration_seen=True)
_RESET = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION, RESET), configuration_seen=True)
_RESET_SEEN = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION, RESET), results=True, qos=2)
_RESULTS = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), results_required=True)
_REBOOT = DeviceNeeds(commands=(REBOOT,))


@scenario("last_configuration_wins", subject="device", needs=_CONFIGURED, duration_s=4.0)
def two_configurations_in_a_row(cast: DeviceCast) -> Workload:
    """Two configurations follow each other without a pause; then the device is asked."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield Tell(CONFIGURATION, configuration)
    yield from outcome_of(cast, CONFIGURATION, count=2)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("configuration_replaces_the_old_one", subject="device", needs=_CONFIGURED, duration_s=4.0)
def configuration_with_fewer_keys(cast: DeviceCast) -> Workload:
    """A configuration is followed by one that lacks some of its keys."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, configuration)
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("reset_restores_the_factory_configuration", subject="device", needs=_RESET, duration_s=8.0)
def reset_after_a_configuration(cast: DeviceCast) -> Workload:
    """The device is reset, configured and reset again, twice with different keys, and asked each time."""
    yield Boot()
    yield from tell(cast, RESET)
    yield from tell(cast, SEND_CONFIGURATION)
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, configuration)
        # A reset that goes on behind its result would take the configuration away again.
        yield Settle(settle_s(cast))
        yield from tell(cast, SEND_CONFIGURATION)
        yield from tell(cast, RESET)
        yield from tell(cast, SEND_CONFIGURATION)


@scenario(
    "reset_restores_the_factory_configuration",
    subject="device",
    needs=replace(_RESET, commands=(CONFIGURATION, SEND_CONFIGURATION, RESET, REBOOT)),
    duration_s=10.0,
)
def reset_before_a_reboot(cast: DeviceCast) -> Workload:
    """The device is configured, reset and rebooted, and asked before and after the reboot."""
    yield Boot()
    yield from tell(cast, CONFIGURATION, cast.configurations[0])
    yield from tell(cast, RESET)
    yield from tell(cast, SEND_CONFIGURATION)
    yield from reboot(cast)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("repeated_reset_happens_once", subject="device", needs=_RESET_SEEN, duration_s=5.0)
def reset_repeated_around_a_configuration(cast: DeviceCast) -> Workload:
    """A reset is repeated with DUP before its PUBREL; between the copies the device is configured."""
    yield Boot()
    yield Interfere(one_fault("PUBREL held back", RELEASE, Drop()))
    yield Tell(RESET)
    seen = yield Until(published(RESET), cast.declares.result_s)
    yield from outcome_of(cast, RESET)
    yield from tell(cast, CONFIGURATION, cast.configurations[0])
    if (yield from repeat(cast, RESET, b"{}", seen)):
        yield from tell(cast, SEND_CONFIGURATION)


@scenario("reboot_happens_once", subject="device", needs=_REBOOT, duration_s=15.0)
def reboot_once(cast: DeviceCast) -> Workload:
    """The device is told to reboot, comes back, and is told again."""
    yield Boot()
    for _ in range(2):
        yield from reboot(cast)
        yield Settle(_loop_s(cast))


@scenario(
    "reboot_happens_once",
    subject="device",
    needs=DeviceNeeds(commands=(REBOOT,), persistent_session=True, qos=2),
    duration_s=15.0,
)
def reboot_delivered_again(cast: DeviceCast) -> Workload:
    """The connection is lost before the reboot's PUBREC arrives: the resumed session delivers the command again."""
    yield Boot()
    yield Interfere(one_fault("cut before PUBREC", RECEIPT, Cut(when="before")))
    yield Tell(REBOOT)
    yield from until_cut_and_back(cast)
    yield Settle(_loop_s(cast))


def _loop_s(cast: DeviceCast) -> float:
    """How long a reboot loop needs to show: about one more reboot."""
    return min(cast.declares.reboot_s, 3.0)


@scenario("results_come_once_and_in_time", "result_is_a_json_object", subject="device", needs=_RESULTS, duration_s=5.0)
def results_of_plain_commands(cast: DeviceCast) -> Workload:
    """Undisturbed commands, each with its result."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, configuration)
        yield from tell(cast, SEND_CONFIGURATION)
    yield Settle(settle_s(cast))


@scenario("results_come_once_and_in_time", subject="device", needs=DeviceNeeds(results_required=True), duration_s=8.0)
def results_of_other_commands(cast: DeviceCast) -> Workload:
    """A logo is downloaded, the device is reset, and last of all rebooted, as far as it can: each with its result."""
    yield Boot()
    if DOWNLOAD_LOGO in cast.declares.commands and cast.declares.max_payload_bytes >= OFFER_BYTES_MIN:
        yield from download(cast, DOWNLOAD_LOGO)
    if RESET in cast.declares.commands and cast.declares.allow_reset:
        yield from tell(cast, RESET)
    if REBOOT in cast.declares.commands:
        yield from reboot(cast)
        # Its result may come before or after the reboot.
        yield Settle(settle_s(cast))
