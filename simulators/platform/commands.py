"""Admission of a command: from the facts of a request to a message, or to a refusal.

The order of the reasons is data (`COMMAND_STEPS`, CMD-25). Nothing here publishes, looks up or draws a key: the file that a download
command names is one of the facts, and the platform mints the key for the one that was admitted.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from harness.wire.commands import DOWNLOADS, SEND_CONFIGURATION, permits
from harness.wire.files import FileType, has_extension_of
from harness.wire.json_values import refuse_constant
from harness.wire.topics import command_name_problem, control_topic
from simulators.platform import access
from simulators.platform.access import AccessRules, Caller, Device
from simulators.platform.files import StoredFile
from simulators.platform.refusals import Refusal


@dataclass(frozen=True, slots=True)
class CommandBody:
    """A well-formed request body. `data_text` is `data` as JSON text, the same value as was sent (CMD-05)."""

    command: str
    data: dict[str, Any]
    data_text: str


def data_payload(body: CommandBody) -> bytes:
    """The message's payload for every command but downloads: the `data` object.   Source: CMD-05."""
    return body.data_text.encode()


@dataclass(frozen=True, slots=True)
class CommandRules:
    """The decisions of this core; a wrong platform replaces one."""

    permits: Callable[[str, str], bool] = permits
    name_problem: Callable[[str], str | None] = command_name_problem
    topic_of: Callable[[str, str], str] = control_topic
    payload_of: Callable[[CommandBody], bytes] = data_payload
    has_extension_of: Callable[[FileType, str], bool] = has_extension_of
    takes_commands: Callable[[Device], bool] = lambda device: device.kind.takes_commands
    qos: int = 2
    retain: bool = False


@dataclass(frozen=True, slots=True)
class CommandAttempt:
    """What is known of a command request. `device` is the device of that id, whichever project it belongs to; `file` the `wanted_file`."""

    caller: Caller | None
    project_id: str
    device: Device | None
    body: CommandBody | Refusal
    file: StoredFile | None
    rules: CommandRules
    access: AccessRules


@dataclass(frozen=True, slots=True)
class Admitted:
    """A command that is to be sent; with `file`, its payload is a download offer that the platform still has to make."""

    device: Device
    command: str
    topic: str
    payload: bytes
    qos: int
    retain: bool
    file: StoredFile | None = None


# --- the body --------------------------------------------------------------------------------------------------------------------


def parse_body(raw: bytes, rules: CommandRules | None = None) -> CommandBody | Refusal:
    """The command and its data, or the 400 that a body deserves which is no such thing.   Source: CMD-10, CMD-18, CMD-29, CMD-32."""
    rules = rules or CommandRules()
    is_exact = True

    def exact_float(text: str) -> float:
        nonlocal is_exact
        value = float(text)
        is_exact = is_exact and Decimal(repr(value)) == Decimal(text)
        return value

    try:
        text = raw.decode()
        body = json.loads(text, parse_float=exact_float, parse_constant=refuse_constant)
    except (ValueError, ArithmeticError, RecursionError):  # NaN, 5,000 digits, 10,000 brackets and bad UTF-8 are no JSON to us
        return Refusal(400, "malformed_json", "Invalid request body: not valid JSON")
    if not isinstance(body, dict):
        return Refusal(400, "invalid_body", "Invalid request body: not a JSON object")
    command, data = body.get("command"), body.get("data", {})
    if not isinstance(command, str) or not command:
        return Refusal(400, "invalid_command", "Invalid request body: 'command' must be a non-empty string")
    if not isinstance(data, dict):
        return Refusal(400, "invalid_data", "Invalid request body: 'data' must be an object")
    if problem := rules.name_problem(command):
        return Refusal(400, "invalid_command", f"Invalid request body: 'command': {problem}")
    return CommandBody(command, data, _compact(data) if is_exact else _member_text(text, "data"))


def _compact(value: Any) -> str:
    """JSON without blanks: small devices have small buffers. Escapes only where UTF-8 cannot say it (lone surrogates)."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() or _is_unicode(text) else json.dumps(value, separators=(",", ":"))


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _member_text(text: str, wanted: str) -> str:
    """The text of one member of the JSON object `text`, as it was written; the last one where it is repeated, as json.loads has it.

    A number that no float holds exactly must reach the device as it was sent; so its text is passed on untouched.
    """
    decoder = json.JSONDecoder()
    found = "{}"
    position = _skip_blanks(text, text.index("{") + 1)
    while text[position] != "}":
        name, position = decoder.raw_decode(text, position)
        start = _skip_blanks(text, _skip_blanks(text, position) + 1)
        _, end = decoder.raw_decode(text, start)
        if name == wanted:
            found = text[start:end]
        position = _skip_blanks(text, end)
        if text[position] == ",":
            position = _skip_blanks(text, position + 1)
    return found


def _skip_blanks(text: str, position: int) -> int:
    while text[position] in " \t\r\n":
        position += 1
    return position


def wanted_file(body: CommandBody | Refusal) -> tuple[FileType, str] | None:
    """Type and name of the file that a download command is about; None for every other body."""
    if isinstance(body, Refusal) or body.command not in DOWNLOADS:
        return None
    name = body.data.get("file_name")
    return (DOWNLOADS[body.command], name) if isinstance(name, str) else None


# --- the steps -------------------------------------------------------------------------------------------------------------------


def refuse_stranger(attempt: CommandAttempt) -> Refusal | None:
    """Source: CMD-13."""
    return access.refuse_stranger(attempt.caller)


def refuse_without_feature(attempt: CommandAttempt) -> Refusal | None:
    """Source: CMD-22."""
    return access.refuse_without_feature(attempt.caller.organisation, attempt.access) if attempt.caller else None


def refuse_without_scope(attempt: CommandAttempt) -> Refusal | None:
    """Source: CMD-14."""
    return access.refuse_without_scope(attempt.caller, attempt.access) if attempt.caller else None


def refuse_body(attempt: CommandAttempt) -> Refusal | None:
    """Source: CMD-10, CMD-32."""
    return attempt.body if isinstance(attempt.body, Refusal) else None


def refuse_device(attempt: CommandAttempt) -> Refusal | None:
    """One answer for all: whoever may not see a device learns nothing about it.   Source: CMD-16."""
    device, caller = attempt.device, attempt.caller
    is_callers = device is not None and caller is not None and device.organisation_id == caller.organisation.id
    if device is not None and is_callers and device.project_id == attempt.project_id and attempt.rules.takes_commands(device):
        return None
    return Refusal(404, "device_not_found", "Device not found, or it does not support commands")


def refuse_unlisted(attempt: CommandAttempt) -> Refusal | None:
    """Source: CMD-15."""
    assert isinstance(attempt.body, CommandBody)
    assert attempt.device is not None
    if attempt.rules.permits(attempt.device.allowed_commands, attempt.body.command):
        return None
    return Refusal(403, "command_not_allowed", f"Command is not in the device's allowed_commands: {attempt.device.allowed_commands}")


def refuse_data(attempt: CommandAttempt) -> Refusal | None:
    """Source: CMD-09, CMD-10, CMD-11."""
    assert isinstance(attempt.body, CommandBody)
    command, data = attempt.body.command, attempt.body.data
    if command == SEND_CONFIGURATION and "keys" in data:
        keys = data["keys"]
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            return Refusal(400, "invalid_keys", "'keys' must be an array of strings")
    if command in DOWNLOADS:
        name = data.get("file_name")
        if not isinstance(name, str) or not name:
            return Refusal(400, "invalid_file_name", "'file_name' must be a non-empty string")
        if not attempt.rules.has_extension_of(DOWNLOADS[command], name):
            return Refusal(400, "invalid_file_type", f"{command} does not take files of this type")
    return None


def refuse_missing_file(attempt: CommandAttempt) -> Refusal | None:
    """Source: CMD-12."""
    if wanted_file(attempt.body) is None or attempt.file is not None:
        return None
    return FILE_NOT_FOUND


FILE_NOT_FOUND = Refusal(404, "file_not_found", "File not found in the project's storage")

CommandStep = Callable[[CommandAttempt], Refusal | None]

COMMAND_STEPS: tuple[CommandStep, ...] = (  # The order is CMD-25. A step may rely on all before it.
    refuse_stranger,
    refuse_without_feature,
    refuse_without_scope,
    refuse_body,
    refuse_device,
    refuse_unlisted,
    refuse_data,
    refuse_missing_file,
)


def admit(attempt: CommandAttempt, steps: Sequence[CommandStep] = COMMAND_STEPS) -> Admitted | Refusal:
    """What becomes of a command request: the first refusal in the order of `steps`, or the message to send."""
    for step in steps:
        if refusal := step(attempt):
            return refusal
    assert isinstance(attempt.body, CommandBody)
    assert attempt.device is not None
    return Admitted(
        device=attempt.device,
        command=attempt.body.command,
        topic=attempt.rules.topic_of(attempt.device.id, attempt.body.command),
        payload=b"" if attempt.file else attempt.rules.payload_of(attempt.body),
        qos=attempt.rules.qos,
        retain=attempt.rules.retain,
        file=attempt.file,
    )
