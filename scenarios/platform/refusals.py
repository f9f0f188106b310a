"""Questions about commands that are refused: malformed ones, unknown keys, devices and names, and what must not be published for them."""

from typing import Any

from harness.bench.target import TargetDevice
from harness.operations import Announce, RunHook
from harness.scenario import COMMANDABLE, Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import (
    CONFIGURATION,
    DOWNLOADS,
    REBOOT,
    RESET,
    SEND_CONFIGURATION,
    DeviceKind,
    command_names,
)
from harness.wire.files import FileType
from scenarios.platform.commands import ARRIVES, ELSEWHERE, REFUSED
from scenarios.platform.steps import (
    CUSTOM,
    DISTURBING,
    JSON_TYPE,
    ORGANISATION,
    UNKNOWN_ID,
    UNLISTED,
    command_call,
    last_command,
    list_call,
    one_of_each,
    send,
    send_all,
    watch,
    watch_end,
)

_MALFORMED: tuple[bytes, ...] = (
    b"{",
    b"[]",
    b"7",
    b"null",
    b'"configuration"',
    b"command=configuration",
    b"\xff\xfe",
    b'{"command": "configuration", "data": {}',
    b'{"command": "configuration" "data": {}}',
    b'{"command": "configuration", "data": {},}',
    b'{"command": "configuration", "data": {}} and more',
    b'{"command": "configuration", "data": {}}{"command": "send_configuration", "data": {}}',
    b"{'command': 'configuration', 'data': {}}",
    b'{"data": {}}',
    b"{}",
    b'{"command": "", "data": {}}',
    b'{"command": 7, "data": {}}',
    b'{"command": true, "data": {}}',
    b'{"command": null, "data": {}}',
    b'{"command": ["configuration"], "data": {}}',
    b'{"command": {"name": "configuration"}, "data": {}}',
    b'{"command": "configuration", "data": []}',
    b'{"command": "configuration", "data": "x"}',
    b'{"command": "configuration", "data": "{}"}',
    b'{"command": "configuration", "data": 1}',
    b'{"command": "configuration", "data": true}',
    b'{"command": "configuration", "data": null}',
    b'{"command": "configuration", "data": {"value": NaN}}',
    b'{"command": "configuration", "data": {"value": -Infinity}}',
    b'{"command": "configuration", "data": {"value": 01}}',
    b'{"command": "configuration", "data": {"text": "line\nbreak"}}',
    b'{"command": "configuration", "data": {"text": "no UTF-8: \xfc"}}',
    b'{"command": "download_firmware", "data": {}}',
    b'{"command": "download_firmware"}',
    b'{"command": "download_logo", "data": {}}',
    b'{"command": "download_firmware", "data": {"name": "firmware.bin", "filename": "firmware.bin", "file": "firmware.bin"}}',
    b'{"command": "download_firmware", "data": {"file_name": 5}}',
    b'{"command": "download_firmware", "data": {"file_name": ["firmware.bin"]}}',
    b'{"command": "download_firmware", "data": {"file_name": true}}',
    b'{"command": "download_logo", "data": {"file_name": null}}',
    b'{"command": "download_logo", "data": {"file_name": {"name": "logo.png"}}}',
)


@scenario("malformed_command_is_refused", "empty_body_is_refused", *REFUSED)
def empty_body(cast: Cast) -> Workload:
    """A request without a body, to a device that is watched."""
    yield from watch(cast.device)
    yield command_call(cast.platform, cast.device, None, body=b"")
    yield from watch_end(cast.platform, cast.device)


@scenario("malformed_command_is_refused", *REFUSED)
def malformed_bodies(cast: Cast) -> Workload:
    """Bodies that are no command request, each to a device that is watched."""
    yield from watch(cast.device)
    for body in _MALFORMED:
        yield command_call(cast.platform, cast.device, None, body=body)
    yield from watch_end(cast.platform, cast.device)


@scenario("malformed_keys_are_refused", *REFUSED)
def malformed_keys_of_send_configuration(cast: Cast) -> Workload:
    """`keys` that are no list of strings."""
    yield from watch(cast.device)
    keys: tuple[Any, ...] = ("sampling_rate", 5, True, None, {"a": 1}, [1, 2], ["a", None], [["a"]])
    for value in keys:
        yield from send(cast.platform, cast.device, SEND_CONFIGURATION, {"keys": value})
    yield from watch_end(cast.platform, cast.device)


@scenario("command_without_valid_key_is_unauthorized", *REFUSED)
def commands_without_valid_key(cast: Cast) -> Workload:
    """No key, an unknown key, malformed headers, and a device token in the key's place; other commands without any key."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    full = platform.api_keys.full
    keys = ["QB_unknown_key_of_nobody", "", full[:-1], full[: len(full) // 2], f"{full}x", f"x{full}", f"{full} {full}"]
    keys += [full.swapcase()] if full.swapcase() != full else []
    keys += ["%", "*"]  # whatever looks keys up by a pattern
    values = [*(f"Bearer {key}" for key in keys), "Bearer", "", full, f"Basic {full}", f"Token {full}"]
    attempts = [("none", None), *(("unknown", value) for value in values)]
    attempts += [(f"token:{device.id}", f"{scheme} {device.token}") for scheme in ("Bearer", "Basic")]
    for credential, value in attempts:
        headers = (JSON_TYPE,) if value is None else (("Authorization", value), JSON_TYPE)
        yield command_call(platform, device, CONFIGURATION, {"as": credential}, headers=headers, credential=credential)
    for command, data in one_of_each(cast):
        yield command_call(platform, device, command, data, headers=(JSON_TYPE,), credential="none")
    yield from watch_end(platform, device)


@scenario("command_without_scope_is_forbidden", *REFUSED, needs=Needs(api_keys=("read_only",)))
def command_without_scope(cast: Cast) -> Workload:
    """Well-formed commands with a key that lacks the scope."""
    yield from _without_scope(cast)


def _without_scope(cast: Cast) -> Workload:
    yield from watch(cast.device)
    for command, data in one_of_each(cast):
        yield command_call(cast.platform, cast.device, command, data, key="read_only")
    yield from watch_end(cast.platform, cast.device)


@scenario("command_without_scope_is_forbidden", *REFUSED, needs=Needs(devices=ELSEWHERE.devices, api_keys=("read_only",)))
def command_without_scope_in_another_project(cast: Cast) -> Workload:
    """The same with a key that lacks the scope, to a device of another project than most."""
    yield from _without_scope(cast)


@scenario("organisation_without_feature_is_refused", "error_bodies_follow_the_contract", needs=Needs(api_keys=("disabled",)))
def organisation_without_feature(cast: Cast) -> Workload:
    """The command and list endpoints with a key of an organisation without the feature."""
    platform, device = cast.platform, cast.device
    for command, data in one_of_each(cast):
        yield command_call(platform, device, command, data, key="disabled")
    for file_type in FileType:
        for project_id in (ORGANISATION, device.project_id):
            yield list_call(platform, project_id, file_type, key="disabled")


_OTHERS_MAX = 8
_RESTRICTED = Needs(devices={"device": DeviceNeed(kinds=COMMANDABLE, commands="restricted")})


@scenario("unlisted_command_is_forbidden", "permitted_command_is_accepted", *REFUSED, *ARRIVES, needs=_RESTRICTED)
def unlisted_commands(cast: Cast) -> Workload:
    """Commands that a restricted device's list leaves out: other names, parts of names, other case; and one to each restricted device."""
    others = [device for device in cast.platform.devices if device.kind.takes_commands and command_names(device.allowed_commands)]
    for other in [device for device in others if device != cast.device][:_OTHERS_MAX]:
        yield from send(cast.platform, other, UNLISTED, {"unlisted": True})
    yield from _try_unlisted(cast)


_LOOSE = Needs(devices={"device": DeviceNeed(kinds=COMMANDABLE, commands="loose")})


@scenario("unlisted_command_is_forbidden", "permitted_command_is_accepted", needs=_LOOSE)
def list_with_blanks(cast: Cast) -> Workload:
    """A device whose list holds blanks or empty entries: the names on it, and others."""
    yield from _try_unlisted(cast)


def _try_unlisted(cast: Cast) -> Workload:
    listed = sorted(command_names(cast.device.allowed_commands))
    yield from watch(cast.device)
    names = [UNLISTED, CONFIGURATION, SEND_CONFIGURATION, ";"]
    # A platform that reads a list liberally takes a name like `rebootx` for a reboot.
    harmless = [name for name in listed if cast.device.disposable or name not in DISTURBING]
    for name in harmless:
        names += [name[:-1], name[1:], name + "x", "x" + name, name + " ", name.upper(), name.title(), name.replace("_", "-")]
    names += [";".join(harmless), *(name + ";" for name in harmless[:1])]
    for name in dict.fromkeys(name for name in names if name.strip() and name not in listed):
        yield from send(cast.platform, cast.device, name, {"unlisted": True})
    for name, data in one_of_each(cast):
        if name in (*DISTURBING, *DOWNLOADS) and name not in listed:
            yield from send(cast.platform, cast.device, name, data)
    yield from _listed_commands(cast, listed)


def _listed_commands(cast: Cast, listed: list[str]) -> Workload:
    """The accepting twin: listed commands that need no file go through, and end the watch."""
    commands = [(name, {"listed": True}) for name in listed if name not in (*DOWNLOADS, REBOOT, RESET, SEND_CONFIGURATION)]
    accepted = yield from send_all(cast.platform, cast.device, commands)
    if last_command(cast.device) is not None:
        yield from watch_end(cast.platform, cast.device, accepted)


_LISTS = ("configuration", "configuration;blink_led", " configuration ; blink_led ", ";configuration;;blink_led;", "", ";", " ; ")


@scenario(
    "unlisted_command_is_forbidden",
    "permitted_command_is_accepted",
    needs=Needs(hooks=("set_allowed_commands",), devices={"device": DeviceNeed(commands="any")}),
    alone=True,
    duration_s=3.0,
)
def lists_of_allowed_commands(cast: Cast) -> Workload:
    """Lists with blanks, empty entries and nothing but separators are set by a hook, and tried."""
    for value in _LISTS:
        yield from _set_list(cast.device, value)
        for name in (CONFIGURATION, CUSTOM, CUSTOM.upper(), UNLISTED):
            yield from send(cast.platform, cast.device, name, {"list": value})
    yield from _set_list(cast.device, cast.device.allowed_commands)


def _set_list(device: TargetDevice, value: str) -> Workload:
    yield RunHook("set_allowed_commands", {"project_id": device.project_id, "device_id": device.id, "value": value})
    yield Announce("allowed commands set", {"device_id": device.id, "value": value})


@scenario("unknown_device_is_not_found", *REFUSED)
def unknown_devices(cast: Cast) -> Workload:
    """Devices that do not exist, or not in this project."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    yield command_call(platform, device, CONFIGURATION, {"wrong": "device"}, device_id=UNKNOWN_ID)
    yield command_call(platform, device, CONFIGURATION, {"wrong": "project"}, project_id=UNKNOWN_ID)
    yield command_call(platform, device, CONFIGURATION, {"wrong": "both"}, project_id=UNKNOWN_ID, device_id=UNKNOWN_ID)
    for command, data in one_of_each(cast):
        yield command_call(platform, device, command, data, device_id=UNKNOWN_ID)
        for other in (project.id for project in platform.projects if project.id != device.project_id and command not in DOWNLOADS):
            yield command_call(platform, device, command, data, project_id=other)
    yield from watch_end(platform, device)


@scenario("unknown_device_is_not_found", *REFUSED, needs=Needs(api_keys=("other_org",)))
def device_of_another_organisation(cast: Cast) -> Workload:
    """Commands with the key of another organisation."""
    yield from watch(cast.device)
    for command, data in one_of_each(cast):
        yield command_call(cast.platform, cast.device, command, data, key="other_org")
    yield from watch_end(cast.platform, cast.device)


@scenario("unknown_device_is_not_found", needs=Needs(devices={"device": DeviceNeed(kinds=(DeviceKind.HTTP,), commands="any")}))
def http_only_device(cast: Cast) -> Workload:
    """A device that is HTTP only takes no command."""
    listed = command_names(cast.device.allowed_commands)
    for name, data in one_of_each(cast):
        if not listed or name in listed:
            yield from send(cast.platform, cast.device, name, data)


@scenario("ids_of_another_form_are_refused")
def ids_that_are_no_uuid(cast: Cast) -> Workload:
    """Project and device ids that are no UUID."""
    for strange in ("dev-123", "1", "x" * 64, "00000000-0000-0000-0000-00000000000g"):
        yield command_call(cast.platform, cast.device, CONFIGURATION, {"id": strange}, device_id=strange)
        yield command_call(cast.platform, cast.device, CONFIGURATION, {"id": strange}, project_id=strange)
