"""Questions about what must leave nothing behind: odd payloads, commands that are not listed, retained ones, echoes; and about sizes."""

from dataclasses import replace

from harness.device_operations import (
    Boot,
    Inject,
    Interfere,
    PowerCut,
    Settle,
    Store,
    StoredFile,
    Tell,
    Until,
    UntilConnected,
    is_listening,
)
from harness.device_scenario import OFFER_BYTES_MIN, DeviceCast, DeviceNeeds
from harness.faults import PacketEvent, Rewrite
from harness.operations import Announce
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, DOWNLOADS, REBOOT, RESET, SEND_CONFIGURATION
from harness.wire.topics import control_topic, result_topic
from scenarios.device.steps import BOOT_GRACE_S, acknowledged, one_fault, outcome_of, second_effect_s, settle_s, tell

_CONFIGURED = DeviceNeeds(commands=(CONFIGURATION, SEND_CONFIGURATION), configuration_seen=True)
_REBOOT = DeviceNeeds(commands=(REBOOT,))

_RETAINED = one_fault("RETAIN set", PacketEvent(packet="PUBLISH", sent_by="server", topic="+/control/+"), Rewrite(retain=True))

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
_EXTREMES = '{"name":"☃ 𝄞","sampling_rate":1e999,"threshold":null}'.encode()


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
    if cast.device.run.can_cut_power:
        # What it has stored it must be able to read again.
        yield Announce(
            "odd message", {"device_id": cast.device_id, "what": "a power cycle behind extreme values", "command": CONFIGURATION}
        )
        yield Inject(control_topic(cast.device_id, CONFIGURATION), _EXTREMES)
        yield from outcome_of(cast, CONFIGURATION)
        yield PowerCut()
        yield Until(is_listening, cast.declares.connect_s)
        yield from tell(cast, SEND_CONFIGURATION)


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
    sizes = sorted({127, 128, 256, 512, 1_024, cast.declares.max_payload_bytes})
    for size in (size for size in sizes if size <= cast.declares.max_payload_bytes):
        yield Announce("payload of", {"device_id": cast.device_id, "size_bytes": size})
        yield Inject(control_topic(cast.device_id, CONFIGURATION), _filled(size))
        yield from outcome_of(cast, CONFIGURATION)
        yield from tell(cast, SEND_CONFIGURATION)


@scenario("unlisted_command_has_no_effect", "refused_command_is_acknowledged", subject="device", needs=_CONFIGURED, duration_s=5.0)
def unlisted_command(cast: DeviceCast) -> Workload:
    """A command that the declaration does not list, with data that would be a configuration."""
    yield Boot()
    yield from tell(cast, CONFIGURATION, cast.configurations[0])
    # Names that begin or end like a listed one are still other names.
    for command in ("hil_unlisted", "configuration_hil", "hil_configuration", "Configuration"):
        yield Inject(control_topic(cast.device_id, command), cast.payload(cast.configurations[1]))
        yield from outcome_of(cast, command)
    for command in _harmless_unlisted(cast):
        yield Inject(control_topic(cast.device_id, command), b"{}")
        yield from outcome_of(cast, command)
    if cast.declares.max_payload_bytes >= OFFER_BYTES_MIN:
        for command in (command for command in DOWNLOADS if command not in cast.declares.commands):
            stored: StoredFile = yield Store(DOWNLOADS[command])
            yield from tell(cast, command, {"file_name": stored.name})
    yield from tell(cast, SEND_CONFIGURATION)


def _harmless_unlisted(cast: DeviceCast) -> list[str]:
    """Standard commands that the declaration leaves out, as far as they may be tried: a reset is never sent where it is not allowed."""
    tried = (RESET, REBOOT) if cast.declares.allow_reset else (REBOOT,)
    return [command for command in tried if command not in cast.declares.commands]


@scenario("retained_command_is_not_executed", "refused_command_is_acknowledged", subject="device", needs=_CONFIGURED, duration_s=4.0)
def command_with_retain(cast: DeviceCast) -> Workload:
    """A configuration comes with RETAIN=1, as an old one would that a broker has stored."""
    yield Boot()
    yield from tell(cast, CONFIGURATION, cast.configurations[0])
    yield Interfere(_RETAINED)
    yield Announce("retained", {"device_id": cast.device_id})
    yield Tell(CONFIGURATION, cast.configurations[1])
    yield Until(acknowledged, cast.declares.result_s)
    yield Settle(settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)


@scenario("retained_command_is_not_executed", subject="device", needs=_REBOOT, duration_s=5.0)
def reboot_with_retain(cast: DeviceCast) -> Workload:
    """A reboot comes with RETAIN=1: a device that obeys reboots with every connection."""
    yield Boot()
    yield Interfere(_RETAINED)
    yield Tell(REBOOT)
    yield Until(acknowledged, cast.declares.result_s)
    yield Settle(cast.declares.reboot_s)
    yield UntilConnected(cast.declares.reboot_s + BOOT_GRACE_S)


@scenario("retained_command_is_not_executed", subject="device", needs=DeviceNeeds(any_download=True), duration_s=4.0)
def download_with_retain(cast: DeviceCast) -> Workload:
    """A download command comes with RETAIN=1: its key has died long ago, as a rule."""
    command = cast.download_command
    yield Boot()
    stored: StoredFile = yield Store(DOWNLOADS[command])
    yield Interfere(_RETAINED)
    yield Tell(command, {"file_name": stored.name})
    yield Until(acknowledged, cast.declares.result_s)
    yield Settle(second_effect_s(cast))


@scenario("echoed_result_is_not_executed", subject="device", needs=_CONFIGURED, duration_s=4.0)
def result_echoed(cast: DeviceCast) -> Workload:
    """The device's own result topic carries something to it, as a wildcard subscription would bring its own results."""
    yield Boot()
    yield from tell(cast, CONFIGURATION, cast.configurations[0])
    yield Announce("echo", {"device_id": cast.device_id})
    yield Inject(result_topic(cast.device_id, CONFIGURATION), cast.payload(cast.configurations[1]))
    yield Settle(2 * settle_s(cast))
    yield from tell(cast, SEND_CONFIGURATION)
