"""Questions about commands: which are accepted, and what arrives."""

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
from harness.wire.files import EXTENSIONS, FileType
from scenarios.platform.steps import (
    CUSTOM,
    DOWNLOAD_OF,
    JSON_TYPE,
    UNKNOWN_ID,
    UNLISTED,
    command_call,
    one_of_each,
    send,
    send_all,
    storage_place,
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
REFUSED = ("error_bodies_follow_the_contract", "answers_are_json", "secrets_do_not_leak")
_STORED_WITHIN_S = 0.2  # a message that was stored for later subscribers comes at once
_VALUES = {
    "sampling_rate": 60,
    "Mixed-Case.key": {"Inner": "Ab"},
    "threshold": {"high": 30.5, "low": -10},
    "name": "Ğüneş ☀ 😀",
    "quoted": 'a "b" \\ / \n',
    "line ends": "one\r\ntwo\rthree\n",
    "composed later": "e\u0301 \u212b \ufb01",
    "escaped for others": "<b>&amp;</b> 100%25 + %s ${x} {{x}}",
    " blank ": " x ",
    "on": True,
    "off": False,
    "nothing": None,
    "list": [1, [], {}, "x", None, 1.5e-7],
    "single": [1],
    "alike": [2, 2, 1, 1],
    "zero": 0,
    "large": 9007199254740991,
    "many": list(range(120)),
    "deep": {"1": {"2": {"3": {"4": [[{"5": "bottom"}]]}}}},
    "day": "2024-01-15",
    "digits": "0042",
    "command": "none",
    "id": "x",
    "_id": 7,
    "$unit": "°C",
    "a.b": {"c.d": 1},
    "empty": "",
    "": "no name",
}


@scenario(*_ACCEPTED, "commands_arrive_in_order", needs=Needs(devices={"device": DeviceNeed(disposable=True)}))
def every_command_of_the_table(cast: Cast) -> Workload:
    """Each standard command that needs no file, and custom ones, to a connected device."""
    yield from watch(cast.device)
    commands: list[tuple[str, Any]] = [
        (CONFIGURATION, _VALUES),
        (SEND_CONFIGURATION, {"keys": ["threshold", "sampling_rate"]}),
        (SEND_CONFIGURATION, {}),
        (SEND_CONFIGURATION, {"keys": []}),
        (REBOOT, {}),
        (REBOOT, {}),  # The same once more is another command, and comes, too.
        (RESET, {}),
        (CUSTOM, {"times": 3}),
        (CUSTOM, {"times": 3}),
        ("Hil.custom-1_2", {"custom": True}),
        (CUSTOM, {"keys": 5, "file_name": None, "url": ""}),  # which mean something to other commands
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
    """Absent data, data for reboot and reset, an empty configuration; text that is not escaped."""
    yield from watch(cast.device)
    accepted = yield from send_all(cast.platform, cast.device, [(CONFIGURATION, {}), (REBOOT, {"delay": 5}), (RESET, {"keep": "wifi"})])
    for command in (REBOOT, CUSTOM):
        answer = yield command_call(cast.platform, cast.device, None, body=json.dumps({"command": command}).encode())
        accepted += answer.status == 200
    unescaped = json.dumps({"command": CUSTOM, "data": {"text": "Ğüneş ☀ 😀"}}, ensure_ascii=False).encode()
    answer = yield command_call(cast.platform, cast.device, None, body=unescaped)
    accepted += answer.status == 200
    yield from watch_end(cast.platform, cast.device, accepted)


_TAKES_COMMANDS = ("every_commandable_kind_takes_commands", *ARRIVES)
ELSEWHERE = Needs(
    devices={"usual": DeviceNeed(kinds=tuple(DeviceKind), commands="any"), "device": DeviceNeed(kinds=COMMANDABLE, apart_from="usual")}
)


@scenario(
    *_TAKES_COMMANDS,
    "well_formed_command_is_accepted",
    "command_without_valid_key_is_unauthorized",
    "malformed_command_is_refused",
    *REFUSED,
    needs=ELSEWHERE,
)
def commands_in_another_project(cast: Cast) -> Workload:
    """Commands to a device of another project than most: every one goes through, and none without a key."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    accepted = yield from send_all(platform, device, [(CONFIGURATION, {"project": device.project_id}), *one_of_each(cast)])
    yield command_call(platform, device, None, body=b"{")
    for command, data in one_of_each(cast):
        yield command_call(platform, device, command, data, headers=(JSON_TYPE,), credential="none")
    yield from watch_end(platform, device, accepted)
    yield from _subscribe_later(device)


def _command_to_a_kind(cast: Cast) -> Workload:
    device = cast.device
    yield from watch(device)
    accepted = yield from send_all(cast.platform, device, [(CONFIGURATION, {"kind": device.kind.value}), *one_of_each(cast)])
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


@scenario("file_of_another_type_is_refused", *REFUSED, needs=_EACH_FILE)
def files_of_another_type(cast: Cast) -> Workload:
    """Files of the other type, and of none."""
    yield from watch(cast.device)
    for command, name in (
        (DOWNLOAD_FIRMWARE, cast.files["logo"].name),
        (DOWNLOAD_LOGO, cast.files["firmware"].name),
        (DOWNLOAD_FIRMWARE, "readme.txt"),
        (DOWNLOAD_FIRMWARE, "firmware"),
        (DOWNLOAD_FIRMWARE, "firmwarebin"),
        (DOWNLOAD_FIRMWARE, "firmware.zip"),
        (DOWNLOAD_LOGO, "logo.svg"),
        (DOWNLOAD_FIRMWARE, "firmware.bin.exe"),
        (DOWNLOAD_LOGO, "logo.gif"),
        (DOWNLOAD_LOGO, "logo.jpeg"),
        (DOWNLOAD_FIRMWARE, ""),
    ):
        yield from send(cast.platform, cast.device, command, {"file_name": name})
    yield from watch_end(cast.platform, cast.device)


_OTHER_ENDS = ("hil-notes.txt", "hil-archive.zip", "hil-no-dot-bin", "hil-twice.bin.gz")


@scenario(
    "file_of_another_type_is_refused",
    needs=Needs(files={"firmware": FileType.FIRMWARE}, hooks=("upload_file", "delete_file")),
    alone=True,
    duration_s=1.0,
)
def stored_files_of_no_type(cast: Cast) -> Workload:
    """Files whose names end as no firmware's do are stored, if the target takes them, and commanded."""
    platform, device, file = cast.platform, cast.device, cast.files["firmware"]
    yield from watch(device)
    for name in _OTHER_ENDS:
        place = {**storage_place(device, name, file.type), "device_id": device.id}
        is_stored = (yield RunHook("upload_file", {**place, "path": str(file.path)}, may_refuse=True)) is not None
        yield from send(platform, device, DOWNLOAD_FIRMWARE, {"file_name": name})
        if is_stored:
            yield RunHook("delete_file", place, may_refuse=True)
    yield from watch_end(platform, device)


@scenario("missing_file_is_refused", *REFUSED, needs=_EACH_FILE)
def files_that_are_not_stored(cast: Cast) -> Workload:
    """Files that nobody stored, one of every extension, or that another project has; a path to a stored one, patterns and names like it."""
    platform, device, firmware = cast.platform, cast.device, cast.files["firmware"].name
    yield from watch(device)
    elsewhere = [file for file in platform.files if file.project_id != device.project_id]
    own_names = {file.name for file in platform.files if file.project_id == device.project_id}
    foreign = [(DOWNLOAD_OF[file.type], file.name) for file in elsewhere]
    stem, dot, extension = firmware.rpartition(".")
    alike = (f"hil-{firmware}", f"{stem}-hil{dot}{extension}", f"{stem[: len(stem) // 2 + 1]}{dot}{extension}")
    patterns = (f"%{dot}{extension}", f"*{dot}{extension}", f"%{ord(firmware[0]):02X}{firmware[1:]}", f"{firmware}\0{dot}{extension}")
    absent = [(DOWNLOAD_OF[each], "hil-not-there" + end) for each, ends in EXTENSIONS.items() for end in (*ends, ends[0].upper())]
    for command, name in (
        *((DOWNLOAD_FIRMWARE, name) for name in (*alike, *patterns) if name not in own_names),
        *absent,
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
