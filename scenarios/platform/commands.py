"""Questions about commands: which are accepted, what arrives, and what is refused without a trace."""

import json
from typing import Any

from harness.bench.target import TargetDevice
from harness.operations import Announce, Disconnect, Receive, RunHook
from harness.scenario import COMMANDABLE, Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import (
    CONFIGURATION,
    DOWNLOAD_FIRMWARE,
    DOWNLOAD_LOGO,
    DOWNLOADS,
    REBOOT,
    RESET,
    SEND_CONFIGURATION,
    DeviceKind,
    command_names,
)
from harness.wire.files import FileType
from scenarios.platform.steps import (
    CUSTOM,
    JSON_TYPE,
    UNKNOWN_ID,
    UNLISTED,
    command_call,
    last_command,
    list_call,
    send,
    send_all,
    watch,
    watch_end,
)

ARRIVES = (
    "accepted_command_reaches_its_device",
    "command_arrives_on_no_other_topic",
    "command_is_published_with_qos_2",
    "command_arrives_exactly_once",
    "command_is_not_retained",
    "payload_carries_the_data",
    "payload_is_the_data_itself",
)
_ACCEPTED = (
    "well_formed_command_is_accepted",
    "accepted_command_answers_the_documented_texts",
    "permitted_command_is_accepted",
    "answers_are_json",
    *ARRIVES,
)
_REFUSED = ("error_bodies_follow_the_contract", "answers_are_json", "secrets_do_not_leak")
_DISTURBING = (REBOOT, RESET)  # never sent to a device that is not disposable
_STORED_WITHIN_S = 0.2  # a message that was stored for later subscribers comes at once
_VALUES = {
    "sampling_rate": 60,
    "Mixed-Case.key": {"Inner": "Ab"},
    "threshold": {"high": 30.5, "low": -10},
    "name": "Ğüneş ☀ 😀",
    "quoted": 'a "b" \\ / \n',
    "on": True,
    "off": False,
    "nothing": None,
    "list": [1, [], {}, "x", None, 1.5e-7],
    "single": [1],
    "large": 9007199254740991,
    "empty": "",
}


@scenario(*_ACCEPTED, "commands_arrive_in_order", needs=Needs(devices={"device": DeviceNeed(disposable=True)}))
def every_command_of_the_table(cast: Cast) -> Workload:
    """Each standard command that needs no file, and custom ones, to a connected device."""
    yield from watch(cast.device)
    commands: list[tuple[str, Any]] = [
        (CONFIGURATION, _VALUES),
        (SEND_CONFIGURATION, {"keys": ["sampling_rate", "threshold"]}),
        (SEND_CONFIGURATION, {}),
        (SEND_CONFIGURATION, {"keys": []}),
        (REBOOT, {}),
        (REBOOT, {}),  # The same once more is another command, and comes, too.
        (RESET, {}),
        (CUSTOM, {"times": 3}),
        (CUSTOM, {"times": 3}),
        ("Hil.custom-1_2", {"custom": True}),
        (CONFIGURATION, {"text": "0123456789abcdef" * 256}),
    ]
    accepted = yield from send_all(cast.platform, cast.device, commands)
    yield from watch_end(cast.platform, cast.device, accepted)
    yield from _subscribe_later(cast.device)


def _subscribe_later(device: TargetDevice) -> Workload:
    """The device comes again and subscribes anew: what was stored for later subscribers comes now."""
    yield Disconnect(device.id)
    yield from watch(device, announcement="subscribed later")
    yield Receive(device.id, within_s=_STORED_WITHIN_S)


@scenario(*_ACCEPTED)
def commands_that_disturb_nothing(cast: Cast) -> Workload:
    """Configurations and a custom command, which any device may get."""
    yield from watch(cast.device)
    commands = [(CONFIGURATION, {"sampling_rate": 60}), (SEND_CONFIGURATION, {}), (CUSTOM, _VALUES)]
    accepted = yield from send_all(cast.platform, cast.device, commands)
    yield from watch_end(cast.platform, cast.device, accepted)


@scenario("unusual_data_is_accepted", "payload_carries_the_data", needs=Needs(devices={"device": DeviceNeed(disposable=True)}))
def unusual_data(cast: Cast) -> Workload:
    """Absent data, data for reboot and reset, an empty configuration."""
    yield from watch(cast.device)
    accepted = yield from send_all(cast.platform, cast.device, [(CONFIGURATION, {}), (REBOOT, {"delay": 5}), (RESET, {"keep": "wifi"})])
    for command in (REBOOT, CUSTOM):
        answer = yield command_call(cast.platform, cast.device, None, body=json.dumps({"command": command}).encode())
        accepted += answer.status == 200
    yield from watch_end(cast.platform, cast.device, accepted)


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
    b'{"command": "configuration", "data": 1}',
    b'{"command": "configuration", "data": true}',
    b'{"command": "download_firmware", "data": {}}',
    b'{"command": "download_firmware"}',
    b'{"command": "download_logo", "data": {}}',
    b'{"command": "download_firmware", "data": {"file_name": 5}}',
    b'{"command": "download_firmware", "data": {"file_name": ["firmware.bin"]}}',
    b'{"command": "download_firmware", "data": {"file_name": true}}',
    b'{"command": "download_logo", "data": {"file_name": null}}',
    b'{"command": "download_logo", "data": {"file_name": {"name": "logo.png"}}}',
)


@scenario("malformed_command_is_refused", "empty_body_is_refused", *_REFUSED)
def empty_body(cast: Cast) -> Workload:
    """A request without a body, to a device that is watched."""
    yield from watch(cast.device)
    yield command_call(cast.platform, cast.device, None, body=b"")
    yield from watch_end(cast.platform, cast.device)


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
    keys: tuple[Any, ...] = ("sampling_rate", 5, True, {"a": 1}, [1, 2], ["a", None], [["a"]])
    for value in keys:
        yield from send(cast.platform, cast.device, SEND_CONFIGURATION, {"keys": value})
    yield from watch_end(cast.platform, cast.device)


@scenario("command_without_valid_key_is_unauthorized", *_REFUSED)
def commands_without_valid_key(cast: Cast) -> Workload:
    """No key, an unknown key, malformed headers, and a device token in the key's place; other commands without any key."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    full = platform.api_keys.full
    keys = ["QB_unknown_key_of_nobody", "", full[:-1], full[: len(full) // 2], f"{full}x", f"x{full}", f"{full} {full}"]
    keys += [full.swapcase()] if full.swapcase() != full else []
    values = [*(f"Bearer {key}" for key in keys), "Bearer", "", full, f"Basic {full}", f"Token {full}"]
    attempts = [("none", None), *(("unknown", value) for value in values)]
    attempts += [(f"token:{device.id}", f"{scheme} {device.token}") for scheme in ("Bearer", "Basic")]
    for credential, value in attempts:
        headers = (JSON_TYPE,) if value is None else (("Authorization", value), JSON_TYPE)
        yield command_call(platform, device, CONFIGURATION, {"as": credential}, headers=headers, credential=credential)
    for command, data in _one_of_each(cast):
        yield command_call(platform, device, command, data, headers=(JSON_TYPE,), credential="none")
    yield from watch_end(platform, device)


def _one_of_each(cast: Cast) -> list[tuple[str, dict[str, Any]]]:
    """A well-formed command of every name that may be sent to the device, those with a file where its project has one.

    The data name the device where they may hold something: what comes to another one by mistake can be told from its own.
    """
    device_id = cast.device.id
    named: list[tuple[str, dict[str, Any]]] = [
        (CONFIGURATION, {"for": device_id}),
        (SEND_CONFIGURATION, {"keys": [device_id]}),
        (CUSTOM, {"for": device_id}),
    ]
    bare: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in (_DISTURBING if cast.device.disposable else ())]
    stored = {file.type: file.name for file in cast.platform.files if file.project_id == cast.device.project_id}
    downloads = [(name, {"file_name": stored[file_type]}) for name, file_type in DOWNLOADS.items() if file_type in stored]
    return [*named, *bare, *downloads]


@scenario("command_without_scope_is_forbidden", *_REFUSED, needs=Needs(api_keys=("read_only",)))
def command_without_scope(cast: Cast) -> Workload:
    """Well-formed commands with a key that lacks the scope."""
    yield from _without_scope(cast)


def _without_scope(cast: Cast) -> Workload:
    yield from watch(cast.device)
    for command, data in _one_of_each(cast):
        yield command_call(cast.platform, cast.device, command, data, key="read_only")
    yield from watch_end(cast.platform, cast.device)


@scenario("organisation_without_feature_is_refused", "error_bodies_follow_the_contract", needs=Needs(api_keys=("disabled",)))
def organisation_without_feature(cast: Cast) -> Workload:
    """The command and list endpoints with a key of an organisation without the feature."""
    platform, device = cast.platform, cast.device
    for command, data in _one_of_each(cast):
        yield command_call(platform, device, command, data, key="disabled")
    for file_type in FileType:
        for project_id in ("", device.project_id):
            yield list_call(platform, project_id, file_type, key="disabled")


_OTHERS_MAX = 8
_RESTRICTED = Needs(devices={"device": DeviceNeed(kinds=COMMANDABLE, commands="restricted")})


@scenario("unlisted_command_is_forbidden", "permitted_command_is_accepted", *_REFUSED, *ARRIVES, needs=_RESTRICTED)
def unlisted_commands(cast: Cast) -> Workload:
    """Commands that a restricted device's list leaves out: other names, parts of names, other case; and one to each restricted device."""
    others = [device for device in cast.platform.devices if device.kind.takes_commands and command_names(device.allowed_commands)]
    for other in [device for device in others if device != cast.device][:_OTHERS_MAX]:
        yield from send(cast.platform, other, UNLISTED, {"unlisted": True})
    yield from _try_unlisted(cast, cast.device.allowed_commands)


_LOOSE = Needs(devices={"device": DeviceNeed(kinds=COMMANDABLE, commands="loose")})


@scenario("unlisted_command_is_forbidden", "permitted_command_is_accepted", needs=_LOOSE)
def list_with_blanks(cast: Cast) -> Workload:
    """A device whose list holds blanks or empty entries: the names on it, and others."""
    yield from _try_unlisted(cast, cast.device.allowed_commands)


def _try_unlisted(cast: Cast, allowed_commands: str) -> Workload:
    listed = sorted(command_names(allowed_commands))
    yield from watch(cast.device)
    names = [UNLISTED, CONFIGURATION, SEND_CONFIGURATION]
    for name in listed:
        names += [name[:-1], name[1:], name + "x", "x" + name, name + " ", name.upper(), name.title(), name.replace("_", "-")]
    names += [";".join(listed), ";", listed[0] + ";"]
    for name in dict.fromkeys(name for name in names if name.strip() and name not in listed):
        yield from send(cast.platform, cast.device, name, {"unlisted": True})
    for name, data in _one_of_each(cast):
        if name in (*_DISTURBING, *DOWNLOADS) and name not in listed:
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


@scenario("unknown_device_is_not_found", *_REFUSED)
def unknown_devices(cast: Cast) -> Workload:
    """Devices that do not exist, or not in this project."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    yield command_call(platform, device, CONFIGURATION, {"wrong": "device"}, device_id=UNKNOWN_ID)
    yield command_call(platform, device, CONFIGURATION, {"wrong": "project"}, project_id=UNKNOWN_ID)
    yield command_call(platform, device, CONFIGURATION, {"wrong": "both"}, project_id=UNKNOWN_ID, device_id=UNKNOWN_ID)
    for command, data in _one_of_each(cast):
        yield command_call(platform, device, command, data, device_id=UNKNOWN_ID)
        for other in (project.id for project in platform.projects if project.id != device.project_id and command not in DOWNLOADS):
            yield command_call(platform, device, command, data, project_id=other)
    yield from watch_end(platform, device)


@scenario("unknown_device_is_not_found", *_REFUSED, needs=Needs(api_keys=("other_org",)))
def device_of_another_organisation(cast: Cast) -> Workload:
    """Commands with the key of another organisation."""
    yield from watch(cast.device)
    for command, data in _one_of_each(cast):
        yield command_call(cast.platform, cast.device, command, data, key="other_org")
    yield from watch_end(cast.platform, cast.device)


@scenario("unknown_device_is_not_found", needs=Needs(devices={"device": DeviceNeed(kinds=(DeviceKind.HTTP,), commands="any")}))
def http_only_device(cast: Cast) -> Workload:
    """A device that is HTTP only takes no command."""
    listed = command_names(cast.device.allowed_commands)
    for name, data in _one_of_each(cast):
        if not listed or name in listed:
            yield from send(cast.platform, cast.device, name, data)


@scenario("ids_of_another_form_are_refused")
def ids_that_are_no_uuid(cast: Cast) -> Workload:
    """Project and device ids that are no UUID."""
    for strange in ("dev-123", "1", "x" * 64, "00000000-0000-0000-0000-00000000000g"):
        yield command_call(cast.platform, cast.device, CONFIGURATION, {"id": strange}, device_id=strange)
        yield command_call(cast.platform, cast.device, CONFIGURATION, {"id": strange}, project_id=strange)


_TAKES_COMMANDS = ("every_commandable_kind_takes_commands", *ARRIVES)


_ELSEWHERE = Needs(
    devices={"usual": DeviceNeed(kinds=tuple(DeviceKind), commands="any"), "device": DeviceNeed(kinds=COMMANDABLE, apart_from="usual")}
)


@scenario(
    *_TAKES_COMMANDS,
    "well_formed_command_is_accepted",
    "command_without_valid_key_is_unauthorized",
    "malformed_command_is_refused",
    *_REFUSED,
    needs=_ELSEWHERE,
)
def commands_in_another_project(cast: Cast) -> Workload:
    """Commands to a device of another project than most: every one goes through, and none without a key."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    accepted = yield from send_all(platform, device, [(CONFIGURATION, {"project": device.project_id}), *_one_of_each(cast)])
    yield command_call(platform, device, None, body=b"{")
    for command, data in _one_of_each(cast):
        yield command_call(platform, device, command, data, headers=(JSON_TYPE,), credential="none")
    yield from watch_end(platform, device, accepted)
    yield from _subscribe_later(device)


@scenario("command_without_scope_is_forbidden", *_REFUSED, needs=Needs(devices=_ELSEWHERE.devices, api_keys=("read_only",)))
def command_without_scope_in_another_project(cast: Cast) -> Workload:
    """The same with a key that lacks the scope, to a device of another project than most."""
    yield from _without_scope(cast)


def _command_to_a_kind(cast: Cast) -> Workload:
    device = cast.device
    yield from watch(device)
    accepted = yield from send_all(cast.platform, device, [(CONFIGURATION, {"kind": device.kind.value}), *_one_of_each(cast)])
    yield from watch_end(cast.platform, device, accepted)
    yield from _subscribe_later(device)


def _of_kind(kind: DeviceKind) -> Needs:
    return Needs(devices={"device": DeviceNeed(kinds=(kind,))})


@scenario(*_TAKES_COMMANDS, needs=_of_kind(DeviceKind.MQTT))
def mqtt_device_takes_commands(cast: Cast) -> Workload:
    """Every command to a device of kind MQTT."""
    yield from _command_to_a_kind(cast)


@scenario(*_TAKES_COMMANDS, needs=_of_kind(DeviceKind.INTEMO_WIFI))
def wifi_device_takes_commands(cast: Cast) -> Workload:
    """Every command to a device of kind Intemo WiFi."""
    yield from _command_to_a_kind(cast)


@scenario(*_TAKES_COMMANDS, needs=_of_kind(DeviceKind.INTEMO_CELLULAR))
def cellular_device_takes_commands(cast: Cast) -> Workload:
    """Every command to a device of kind Intemo Cellular."""
    yield from _command_to_a_kind(cast)


_EACH_FILE = Needs(files={"firmware": FileType.FIRMWARE, "logo": FileType.LOGO})


@scenario(
    "download_command_carries_url_and_expiry",
    "expiry_is_thirty_minutes_ahead",
    "every_download_command_has_its_own_key",
    "download_command_fits_in_a_small_buffer",
    "stored_file_of_the_type_is_accepted",
    "well_formed_command_is_accepted",
    "key_is_hard_to_guess",
    *ARRIVES,
    needs=_EACH_FILE,
)
def download_commands(cast: Cast) -> Workload:
    """Several download commands for firmware and logo to a connected device."""
    yield from watch(cast.device)
    commands = [(DOWNLOAD_FIRMWARE, {"file_name": cast.files["firmware"].name}), (DOWNLOAD_LOGO, {"file_name": cast.files["logo"].name})]
    accepted = yield from send_all(cast.platform, cast.device, [*commands, *commands])
    yield from watch_end(cast.platform, cast.device, accepted)
    yield from _subscribe_later(cast.device)


@scenario("file_of_another_type_is_refused", *_REFUSED, needs=_EACH_FILE)
def files_of_another_type(cast: Cast) -> Workload:
    """Files of the other type, and of none."""
    yield from watch(cast.device)
    for command, name in (
        (DOWNLOAD_FIRMWARE, cast.files["logo"].name),
        (DOWNLOAD_LOGO, cast.files["firmware"].name),
        (DOWNLOAD_FIRMWARE, "readme.txt"),
        (DOWNLOAD_FIRMWARE, "firmware"),
        (DOWNLOAD_FIRMWARE, "firmware.bin.exe"),
        (DOWNLOAD_LOGO, "logo.gif"),
        (DOWNLOAD_LOGO, "logo.jpeg"),
        (DOWNLOAD_FIRMWARE, ""),
    ):
        yield from send(cast.platform, cast.device, command, {"file_name": name})
    yield from watch_end(cast.platform, cast.device)


@scenario("missing_file_is_refused", *_REFUSED, needs=_EACH_FILE)
def files_that_are_not_stored(cast: Cast) -> Workload:
    """Files that nobody stored, that another project has, a path to one that is stored, and names that begin or end as a stored one's."""
    platform, device, firmware = cast.platform, cast.device, cast.files["firmware"].name
    yield from watch(device)
    elsewhere = [file for file in platform.files if file.project_id != device.project_id]
    own_names = {file.name for file in platform.files if file.project_id == device.project_id}
    foreign = [(DOWNLOAD_FIRMWARE if file.type is FileType.FIRMWARE else DOWNLOAD_LOGO, file.name) for file in elsewhere]
    stem, dot, extension = firmware.rpartition(".")
    alike = (f"hil-{firmware}", f"{stem}-hil{dot}{extension}", f"{stem[: len(stem) // 2 + 1]}{dot}{extension}")
    for command, name in (
        *((DOWNLOAD_FIRMWARE, name) for name in alike if name not in own_names),
        (DOWNLOAD_FIRMWARE, "hil-not-there.bin"),
        (DOWNLOAD_LOGO, "hil-not-there.png"),
        (DOWNLOAD_FIRMWARE, "../" + firmware),
        (DOWNLOAD_FIRMWARE, "./" + firmware),
        *(entry for entry in foreign[:4] if entry[1] not in own_names),
    ):
        yield from send(platform, device, command, {"file_name": name})
    yield from watch_end(platform, device)


@scenario(
    "several_defects_are_answered_in_order",
    needs=Needs(devices={"device": DeviceNeed(commands="restricted")}, api_keys=("read_only",)),
)
def several_defects_at_once(cast: Cast) -> Workload:
    """Requests with two defects each, along the order of CMD-25."""
    platform, device = cast.platform, cast.device
    missing_file = {"file_name": "hil-not-there.bin"}
    unlisted = next(name for name in (DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO, UNLISTED) if name not in command_names(device.allowed_commands))
    yield command_call(platform, device, None, body=b"{", headers=(JSON_TYPE,), credential="none")
    yield command_call(platform, device, UNLISTED, headers=(JSON_TYPE,), credential="none", device_id=UNKNOWN_ID)
    yield command_call(platform, device, None, body=b"{", key="read_only")
    yield command_call(platform, device, UNLISTED, key="read_only", device_id=UNKNOWN_ID)
    yield command_call(platform, device, None, body=b"{", device_id=UNKNOWN_ID)
    yield command_call(platform, device, unlisted, {"file_name": 5} if unlisted in DOWNLOADS else {})
    yield command_call(platform, device, unlisted, missing_file)
    yield command_call(platform, device, DOWNLOAD_FIRMWARE, {"file_name": 5}, device_id=UNKNOWN_ID)


@scenario("command_without_broker_is_not_accepted", needs=Needs(hooks=("stop_broker", "start_broker")), alone=True, duration_s=5.0)
def commands_without_a_broker(cast: Cast) -> Workload:
    """Commands while the broker is down."""
    yield RunHook("stop_broker")
    yield Announce("broker stopped")
    for number in range(3):
        yield command_call(cast.platform, cast.device, CONFIGURATION, {"broker": number})
    yield RunHook("start_broker")
    yield Announce("broker started")
