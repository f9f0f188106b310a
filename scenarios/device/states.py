"""Questions about what a command leaves behind: configurations, factory reset, reboot; and about what must leave nothing."""

from dataclasses import replace

from harness.device_operations import Boot, Inject, Interfere, SendPacket, Settle, Tell, Until, UntilConnected
from harness.device_scenario import OFFER_BYTES_MIN, DeviceCast, DeviceNeeds
from harness.faults import Cut, Drop, FaultPlan, PacketEvent, PacketFault, Rewrite
from harness.history.events import Fact, MqttPacket
from harness.mqtt.packets import Publish
from harness.operations import Announce
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, DOWNLOAD_LOGO, REBOOT, RESET, SEND_CONFIGURATION
from harness.wire.topics import control_topic, result_topic
from scenarios.device.steps import acknowledged, download, listening, outcome_of, second_effect_s, settle_s, tell

_CONFIGURED = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), configuration_seen=True)
_RESET = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION, RESET), configuration_seen=True)
_RESET_SEEN = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION, RESET), results=True, qos=2)
_RESULTS = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), results_required=True)
_REBOOT = DeviceNeeds(commands=(REBOOT,))
_BOOT_GRACE_S = 3.0  # what starting a program adds to its reboot


@scenario("last_configuration_wins", subject="device", needs=_CONFIGURED, duration_s=4.0)
def two_configurations_in_a_row(cast: DeviceCast) -> Workload:
    """Two configurations follow each other without a pause; then the device is asked."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield Tell(CONFIGURATION, dict(configuration))
    yield from outcome_of(cast, CONFIGURATION, count=2)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("configuration_replaces_the_old_one", subject="device", needs=_CONFIGURED, duration_s=4.0)
def configuration_with_fewer_keys(cast: DeviceCast) -> Workload:
    """A configuration is followed by one that lacks some of its keys."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, dict(configuration))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("reset_restores_the_factory_configuration", subject="device", needs=_RESET, duration_s=8.0)
def reset_after_a_configuration(cast: DeviceCast) -> Workload:
    """The device is reset, configured and reset again, twice with different keys, and asked each time."""
    yield Boot()
    yield from tell(cast, RESET)
    yield from tell(cast, SEND_CONFIGURATION)
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, dict(configuration))
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
    yield from tell(cast, CONFIGURATION, dict(cast.configurations[0]))
    yield from tell(cast, RESET)
    yield from tell(cast, SEND_CONFIGURATION)
    yield Tell(REBOOT)
    yield Until(listening, cast.declares.reboot_s + _BOOT_GRACE_S)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("repeated_reset_happens_once", subject="device", needs=_RESET_SEEN, duration_s=5.0)
def reset_repeated_around_a_configuration(cast: DeviceCast) -> Workload:
    """A reset is repeated with DUP before its PUBREL; between the copies the device is configured."""
    yield Boot()
    release = PacketEvent(packet="PUBREL", sent_by="server")
    yield Interfere(FaultPlan(packets=(PacketFault(name="PUBREL held back", at=release, action=Drop()),)))
    yield Tell(RESET)
    seen = yield Until(_reset_published, cast.declares.result_s)
    yield from outcome_of(cast, RESET)
    yield from tell(cast, CONFIGURATION, dict(cast.configurations[0]))
    for event in seen:
        packet_id = event.fact.packet_id
        if packet_id is None:
            return  # It came with QoS 0: there is nothing to repeat.
        yield SendPacket(Publish(control_topic(cast.device_id, RESET), b"{}", qos=2, dup=True, packet_id=packet_id))
    yield Until(acknowledged, cast.declares.result_s)
    yield Settle(second_effect_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


def _reset_published(fact: Fact) -> bool:
    return isinstance(fact, MqttPacket) and fact.type == "PUBLISH" and (fact.topic or "").endswith("/control/" + RESET)


@scenario("reboot_happens_once", subject="device", needs=_REBOOT, duration_s=15.0)
def reboot_once(cast: DeviceCast) -> Workload:
    """The device is told to reboot, and comes back."""
    yield Boot()
    yield Tell(REBOOT)
    yield Until(listening, cast.declares.reboot_s + _BOOT_GRACE_S)
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
    receipt = PacketEvent(packet="PUBREC", sent_by="client")
    yield Interfere(FaultPlan(packets=(PacketFault(name="cut before PUBREC", at=receipt, action=Cut(when="before")),)))
    yield Tell(REBOOT)
    yield Until(listening, cast.declares.reboot_s + _BOOT_GRACE_S)
    yield Settle(_loop_s(cast))


def _loop_s(cast: DeviceCast) -> float:
    """How long a reboot loop needs to show: about one more reboot."""
    return min(cast.declares.reboot_s, 3.0)


@scenario("results_come_once_and_in_time", subject="device", needs=_RESULTS, duration_s=5.0)
def results_of_plain_commands(cast: DeviceCast) -> Workload:
    """Undisturbed commands, each with its result."""
    yield Boot()
    for configuration in cast.configurations[:2]:
        yield from tell(cast, CONFIGURATION, dict(configuration))
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
        yield Tell(REBOOT)
        yield Until(listening, cast.declares.reboot_s + _BOOT_GRACE_S)
        # Its result may come before or after the reboot.
        yield Settle(settle_s(cast))


@scenario(
    "odd_message_does_not_stop_the_device",
    "refused_command_is_acknowledged",
    subject="device",
    needs=_CONFIGURED,
    duration_s=12.0,
)
def odd_payloads(cast: DeviceCast) -> Workload:
    """Malformed, empty and oversized payloads, and an unknown command; after each the device is asked something."""
    yield Boot()
    for name, payload in _ODD_PAYLOADS.items():
        if len(payload) <= cast.declares.max_payload_bytes:
            yield from _odd(cast, name, CONFIGURATION, payload)
    yield from _odd(cast, "a payload above max_payload_bytes", CONFIGURATION, _filled(cast.declares.max_payload_bytes + 1))
    yield from _odd(cast, "an unknown command", "hil_unknown", b"{}")


@scenario(
    "odd_message_does_not_stop_the_device",
    "refused_command_is_acknowledged",
    subject="device",
    needs=replace(_CONFIGURED, any_configuration=True),
    duration_s=12.0,
)
def odd_values(cast: DeviceCast) -> Workload:
    """JSON objects with extreme values; the device may take or refuse them, and serves on."""
    yield Boot()
    deep = min(_DEPTH_MAX, (cast.declares.max_payload_bytes - len(b'{"a":}')) // 2)
    yield from _odd(cast, f"JSON that is {deep} levels deep", CONFIGURATION, b'{"a":' + b"[" * deep + b"]" * deep + b"}")
    for name, payload in _ODD_VALUES.items():
        if len(payload) <= cast.declares.max_payload_bytes:
            yield from _odd(cast, name, CONFIGURATION, payload)


_DEPTH_MAX = 500
_ODD_PAYLOADS = {
    "malformed JSON": b'{"sampling_rate": ',
    "JSON with something behind it": b'{"sampling_rate": 60}}',
    "JSON that is no object": b"[1, 2]",
    "a JSON string": b'"on"',
    "JSON null": b"null",
    "an empty payload": b"",
    "bytes that are no UTF-8": b"\xff\xfe\x00",
    "a string that is no UTF-8": b'{"unit": "\xb0C"}',
}
_ODD_VALUES = {
    "characters beyond ASCII": '{"name":"Küche ☃ 𝄞"}'.encode(),
    "a number beyond 64 bits": b'{"sampling_rate":123456789012345678901234567890}',
    "a number beyond all floats": b'{"sampling_rate":1e999}',
    "a negative number": b'{"sampling_rate":-1}',
    "null for a value": b'{"sampling_rate":null}',
    "an empty configuration": b"{}",
}


def _odd(cast: DeviceCast, what: str, command: str, payload: bytes) -> Workload:
    """Sends something that the device may refuse, and asks it something afterwards."""
    yield Announce("odd message", {"device_id": cast.device_id, "what": what, "command": command})
    yield Inject(control_topic(cast.device_id, command), payload)
    yield Until(acknowledged, cast.declares.result_s)
    yield from tell(cast, SEND_CONFIGURATION)


def _filled(size_bytes: int) -> bytes:
    """A configuration whose payload has exactly this size."""
    return b'{"filler":"' + b"x" * (size_bytes - len(b'{"filler":""}')) + b'"}'


@scenario("payload_up_to_the_declared_size_is_taken", subject="device", needs=replace(_CONFIGURED, any_configuration=True), duration_s=6.0)
def payload_sizes(cast: DeviceCast) -> Workload:
    """Configurations whose payload grows up to the declared size."""
    yield Boot()
    sizes = sorted({128, 256, 512, 1_024, cast.declares.max_payload_bytes})
    for size in (size for size in sizes if size <= cast.declares.max_payload_bytes):
        yield Announce("payload of", {"device_id": cast.device_id, "size_bytes": size})
        yield Inject(control_topic(cast.device_id, CONFIGURATION), _filled(size))
        yield from outcome_of(cast, CONFIGURATION)
        yield from tell(cast, SEND_CONFIGURATION)


@scenario("unlisted_command_has_no_effect", "refused_command_is_acknowledged", subject="device", needs=_CONFIGURED, duration_s=5.0)
def unlisted_command(cast: DeviceCast) -> Workload:
    """A command that the declaration does not list, with data that would be a configuration."""
    yield Boot()
    yield from tell(cast, CONFIGURATION, dict(cast.configurations[0]))
    # Names that begin or end like a listed one are still other names.
    for command in ("hil_unlisted", "configuration_hil", "hil_configuration", "Configuration"):
        yield Inject(control_topic(cast.device_id, command), cast.payload(cast.configurations[1]))
        yield from outcome_of(cast, command)
    for command in _harmless_unlisted(cast):
        yield Inject(control_topic(cast.device_id, command), b"{}")
        yield from outcome_of(cast, command)
    yield from tell(cast, SEND_CONFIGURATION)


def _harmless_unlisted(cast: DeviceCast) -> list[str]:
    """Standard commands that the declaration leaves out, as far as they may be tried: a reset is never sent where it is not allowed."""
    tried = (RESET, REBOOT) if cast.declares.allow_reset else (REBOOT,)
    return [command for command in tried if command not in cast.declares.commands]


@scenario("retained_command_is_not_executed", "refused_command_is_acknowledged", subject="device", needs=_CONFIGURED, duration_s=4.0)
def command_with_retain(cast: DeviceCast) -> Workload:
    """A configuration comes with RETAIN=1, as an old one would that a broker has stored."""
    yield Boot()
    yield from tell(cast, CONFIGURATION, dict(cast.configurations[0]))
    at = PacketEvent(packet="PUBLISH", sent_by="server", topic="+/control/+")
    yield Interfere(FaultPlan(packets=(PacketFault(name="RETAIN set", at=at, action=Rewrite(retain=True)),)))
    yield Announce("retained", {"device_id": cast.device_id})
    yield Tell(CONFIGURATION, dict(cast.configurations[1]))
    yield Until(acknowledged, cast.declares.result_s)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("retained_command_is_not_executed", subject="device", needs=_REBOOT, duration_s=5.0)
def reboot_with_retain(cast: DeviceCast) -> Workload:
    """A reboot comes with RETAIN=1: a device that obeys reboots with every connection."""
    yield Boot()
    at = PacketEvent(packet="PUBLISH", sent_by="server", topic="+/control/+")
    yield Interfere(FaultPlan(packets=(PacketFault(name="RETAIN set", at=at, action=Rewrite(retain=True)),)))
    yield Tell(REBOOT)
    yield Until(acknowledged, cast.declares.result_s)
    yield Settle(cast.declares.reboot_s)
    yield UntilConnected(cast.declares.reboot_s + _BOOT_GRACE_S)


@scenario("echoed_result_is_not_executed", subject="device", needs=_CONFIGURED, duration_s=4.0)
def result_echoed(cast: DeviceCast) -> Workload:
    """The device's own result topic carries something to it, as a wildcard subscription would bring its own results."""
    yield Boot()
    yield from tell(cast, CONFIGURATION, dict(cast.configurations[0]))
    yield Announce("echo", {"device_id": cast.device_id})
    yield Inject(result_topic(cast.device_id, CONFIGURATION), cast.payload(cast.configurations[1]))
    yield Settle(2 * settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)
