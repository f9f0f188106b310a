"""Questions about commands: which are accepted, what arrives, and what is refused without a trace."""

from typing import Any

from harness.operations import Call, Connect, Disconnect, Receive
from harness.scenario import COMMANDABLE, Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import (
    CONFIGURATION,
    DOWNLOAD_FIRMWARE,
    DOWNLOAD_LOGO,
    REBOOT,
    RESET,
    SEND_CONFIGURATION,
    DeviceKind,
    command_names,
)
from harness.wire.files import FileType
from harness.wire.topics import control_filter, control_topic
from scenarios.platform.steps import JSON_TYPE, Step, bearer, command_call, send, watch, watch_end

_ACCEPTED = (
    "well_formed_command_is_accepted",
    "accepted_command_answers_the_documented_texts",
    "command_arrives_on_its_topic",
    "command_arrives_with_qos_2_exactly_once",
    "command_is_not_retained",
    "payload_carries_the_data",
    "payload_is_the_data_itself",
    "answers_are_json",
)
_REFUSED = ("error_bodies_follow_the_contract", "answers_are_json")
_UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


@scenario(*_ACCEPTED, needs=Needs(devices={"device": DeviceNeed(disposable=True)}))
def every_command_of_the_table(cast: Cast) -> Workload:
    """Each standard command that carries data of its own, and a custom one, to a connected device."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for command, data in (
        (CONFIGURATION, {"sampling_rate": 60, "threshold": {"high": 30.5, "low": -10}, "name": "Ğüneş ☀", "on": True, "list": [1, None]}),
        (SEND_CONFIGURATION, {"keys": ["sampling_rate", "threshold"]}),
        (SEND_CONFIGURATION, {}),
        (REBOOT, {}),
        (RESET, {}),
        ("blink_led", {"times": 3}),
    ):
        yield from send(platform, device, command, data)
    yield from watch_end(platform, device)


@scenario("command_arrives_with_qos_2_exactly_once", "command_arrives_on_its_topic", "command_is_not_retained")
def command_across_a_dropped_connection(cast: Cast) -> Workload:
    """The connection is cut after each packet of the exchange, and resumed: the command comes once."""
    platform, device = cast.platform, cast.device
    filters = ((control_filter(device.id), 2),)
    for number, cut_after in enumerate(("received PUBLISH", "sent PUBREC", "received PUBREL", "sent PUBCOMP")):
        connected = yield Connect(device.id, clean_session=False, filters=filters, cut_after=cut_after)
        if not connected.is_accepted:
            return
        yield from send(platform, device, CONFIGURATION, {"cut": number})
        yield Receive(device.id, within_s=2.0)
        yield Disconnect(device.id, abruptly=True)
        yield Connect(device.id, clean_session=False)
        yield Receive(device.id, count=2, within_s=1.0)
        yield Disconnect(device.id)


@scenario("command_is_not_retained", "command_arrives_on_its_topic")
def queued_command_and_later_subscriber(cast: Cast) -> Workload:
    """A command queued for an offline session comes with RETAIN 0; a later subscriber finds nothing stored."""
    platform, device = cast.platform, cast.device
    yield Connect(device.id, clean_session=False, filters=((control_filter(device.id), 2),))
    yield Disconnect(device.id)
    yield from send(platform, device, CONFIGURATION, {"queued": True})
    yield Connect(device.id, clean_session=False)
    yield Receive(device.id, within_s=5.0)
    yield Disconnect(device.id)
    yield Connect(device.id, clean_session=True, filters=((control_topic(device.id, CONFIGURATION), 2),))
    yield Receive(device.id, within_s=1.0)


_MALFORMED: tuple[bytes, ...] = (
    b"",
    b"{",
    b"[]",
    b"null",
    b'"configuration"',
    b"\xff\xfe",
    b'{"data": {}}',
    b'{"command": "", "data": {}}',
    b'{"command": 7, "data": {}}',
    b'{"command": null, "data": {}}',
    b'{"command": ["configuration"], "data": {}}',
    b'{"command": "configuration", "data": []}',
    b'{"command": "configuration", "data": "x"}',
    b'{"command": "configuration", "data": 1}',
    b'{"command": "download_firmware", "data": {}}',
    b'{"command": "download_firmware", "data": {"file_name": 5}}',
    b'{"command": "download_logo", "data": {"file_name": null}}',
    b'{"command": "download_firmware", "data": {"file_name": ""}}',
)


@scenario("malformed_command_is_refused", *_REFUSED)
def malformed_bodies(cast: Cast) -> Workload:
    """Bodies that are no command request, each to a device that is watched."""
    yield from watch(cast.device)
    for body in _MALFORMED:
        yield command_call(cast.platform, cast.device, None, body=body)
    yield from watch_end(cast.platform, cast.device)


@scenario("malformed_keys_are_refused", *_REFUSED)
def malformed_keys_of_send_configuration(cast: Cast) -> Workload:
    """`keys` that are no list of strings."""
    yield from watch(cast.device)
    keys: tuple[Any, ...] = ("sampling_rate", 5, {"a": 1}, [1, 2], ["a", None])
    for value in keys:
        yield from send(cast.platform, cast.device, SEND_CONFIGURATION, {"keys": value})
    yield from watch_end(cast.platform, cast.device)


@scenario("command_without_valid_key_is_unauthorized", *_REFUSED)
def commands_without_valid_key(cast: Cast) -> Workload:
    """No key, an unknown key, malformed headers, and a device token in the key's place."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    full = platform.api_keys.full
    attempts = (
        ("none", ()),
        ("unknown", (("Authorization", "Bearer QB_unknown_key_of_nobody"),)),
        ("unknown", (("Authorization", "Bearer "),)),
        ("unknown", (("Authorization", "Bearer"),)),
        ("unknown", (("Authorization", f"Bearer {full[:-1]}"),)),
        ("unknown", (("Authorization", f"Bearer {full}x"),)),
        ("unknown", (("Authorization", f"Bearer {full.swapcase()}"),)),
        (f"token:{device.id}", (("Authorization", f"Bearer {device.token}"),)),
        (f"token:{device.id}", (("Authorization", f"Basic {device.token}"),)),
    )
    for credential, headers in attempts:
        yield command_call(platform, device, "blink_led", {"as": credential}, headers=(*headers, JSON_TYPE), credential=credential)
    yield from watch_end(platform, device)


@scenario("command_without_scope_is_forbidden", *_REFUSED, needs=Needs(api_keys=("read_only",)))
def command_without_scope(cast: Cast) -> Workload:
    """A well-formed command with a key that lacks the scope."""
    yield from watch(cast.device)
    yield command_call(cast.platform, cast.device, "blink_led", {"times": 1}, key="read_only")
    yield from watch_end(cast.platform, cast.device)


@scenario("organisation_without_feature_is_refused", needs=Needs(devices={}, api_keys=("disabled",)))
def organisation_without_feature(cast: Cast) -> Workload:
    """The command and list endpoints with a key of an organisation without the feature."""
    platform = cast.platform
    device = platform.devices[0]
    yield command_call(platform, device, "blink_led", {}, key="disabled")
    for path in ("/v2/files?type=firmware", f"/v2/projects/{device.project_id}/files?type=firmware"):
        yield Call("GET", path, "files", "api-key:disabled", bearer(platform, "disabled"))


@scenario("unlisted_command_is_forbidden", *_REFUSED, needs=Needs(devices={"device": DeviceNeed(commands="restricted")}))
def unlisted_commands(cast: Cast) -> Workload:
    """Commands that a restricted device's list leaves out: other names, parts of names, other case."""
    platform, device = cast.platform, cast.device
    listed = sorted(command_names(device.allowed_commands))
    yield from watch(device)
    names = ["hil_unlisted", listed[0][:-1], listed[0] + "x", listed[0].upper() if listed[0].upper() != listed[0] else listed[0].lower()]
    names.append(";".join(listed[:2]) if len(listed) > 1 else listed[0] + ";")
    for name in (name for name in names if name and name not in listed):
        yield from send(platform, device, name, {"unlisted": True})
    yield from _listed_command(cast, listed)


def _listed_command(cast: Cast, listed: list[str]) -> Step[None]:
    """The accepting twin: a listed command that needs no file goes through, and ends the watch."""
    harmless = [name for name in listed if name not in (DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO, REBOOT, RESET)]
    if harmless:
        yield from send(cast.platform, cast.device, harmless[0], {})
        yield Receive(cast.device.id, within_s=5.0)


@scenario("unknown_device_is_not_found", *_REFUSED, needs=Needs(devices={"device": DeviceNeed()}))
def unknown_devices(cast: Cast) -> Workload:
    """Devices that do not exist, or not in this project."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    yield command_call(platform, device, "blink_led", {}, device_id=_UNKNOWN_ID)
    yield command_call(platform, device, "blink_led", {}, project_id=_UNKNOWN_ID)
    yield command_call(platform, device, "blink_led", {}, project_id=_UNKNOWN_ID, device_id=_UNKNOWN_ID)
    for other in (project.id for project in platform.projects if project.id != device.project_id):
        yield command_call(platform, device, "blink_led", {}, project_id=other)
    yield from watch_end(platform, device)


@scenario("unknown_device_is_not_found", needs=Needs(devices={"device": DeviceNeed(kinds=(DeviceKind.HTTP,), commands="any")}))
def http_only_device(cast: Cast) -> Workload:
    """A device that is HTTP only takes no command."""
    yield from send(cast.platform, cast.device, CONFIGURATION, {"sampling_rate": 60})


_EACH_KIND = {kind.value: DeviceNeed(kinds=(kind,)) for kind in COMMANDABLE}


@scenario("every_commandable_kind_takes_commands", needs=Needs(devices=_EACH_KIND))
def each_kind_takes_commands(cast: Cast) -> Workload:
    """A command to a device of each kind that takes commands."""
    for device in cast.devices.values():
        yield from watch(device)
        yield from send(cast.platform, device, CONFIGURATION, {"kind": device.kind.value})
        yield from watch_end(cast.platform, device)


@scenario(
    "download_command_carries_url_and_expiry",
    "expiry_is_thirty_minutes_ahead",
    "every_download_command_has_its_own_key",
    "download_command_fits_in_a_small_buffer",
    "command_arrives_on_its_topic",
    "key_is_hard_to_guess",
    needs=Needs(files={"firmware": FileType.FIRMWARE, "logo": FileType.LOGO}),
)
def download_commands(cast: Cast) -> Workload:
    """Several download commands for firmware and logo to a connected device."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for command, role in (
        (DOWNLOAD_FIRMWARE, "firmware"),
        (DOWNLOAD_FIRMWARE, "firmware"),
        (DOWNLOAD_LOGO, "logo"),
        (DOWNLOAD_LOGO, "logo"),
    ):
        yield from send(platform, device, command, {"file_name": cast.files[role].name})
    yield from watch_end(platform, device)


@scenario(
    "file_of_another_type_is_refused",
    "missing_file_is_refused",
    *_REFUSED,
    needs=Needs(files={"firmware": FileType.FIRMWARE, "logo": FileType.LOGO}),
)
def files_that_cannot_be_commanded(cast: Cast) -> Workload:
    """Files of the other type, of no type, and files that are not stored."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for command, name in (
        (DOWNLOAD_FIRMWARE, cast.files["logo"].name),
        (DOWNLOAD_LOGO, cast.files["firmware"].name),
        (DOWNLOAD_FIRMWARE, "readme.txt"),
        (DOWNLOAD_FIRMWARE, "firmware"),
        (DOWNLOAD_FIRMWARE, "hil-not-there.bin"),
        (DOWNLOAD_LOGO, "hil-not-there.png"),
        (DOWNLOAD_FIRMWARE, "../" + cast.files["firmware"].name),
    ):
        yield from send(platform, device, command, {"file_name": name})
    yield from watch_end(platform, device)
