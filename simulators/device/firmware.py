"""The firmware's decisions about commands: a message in, effects out. Pure.

`decide` reads one message and answers with effects; it changes nothing. `apply` says what an effect does to the flash. Between the two
stands the seam where a personality replaces a decision. Every message on a control topic gets exactly one result, refused ones too; what
is no command for this device (another topic, its own result echoed) gets nothing at all.

Left to others: exactly-once delivery (`harness.mqtt`), the download itself (`downloader`), when a due reboot happens (`machine`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeAlias

from harness.wire import commands
from harness.wire.json_values import refuse_constant
from harness.wire.topics import parse_control_topic
from simulators.device.flash import DownloadJob, Flash, JsonObject

JOBS_MAX = 4
"""Downloads that may wait or run at a time; one more is refused."""


@dataclass(frozen=True, slots=True)
class Message:
    """An application message as it reached the device."""

    topic: str
    payload: bytes
    qos: int = 2
    retain: bool = False


@dataclass(frozen=True, slots=True)
class ApplyConfiguration:
    """The configuration becomes this one, as a whole (DEV-29)."""

    configuration: JsonObject


@dataclass(frozen=True, slots=True)
class RestoreFactory:
    """The configuration becomes the factory's (DEV-10). Images and credentials stay."""

    configuration: JsonObject


@dataclass(frozen=True, slots=True)
class StartDownload:
    """A download is owed; its result comes when it ends."""

    command: str
    url: str
    expires_at: str
    file_name: str


@dataclass(frozen=True, slots=True)
class DropDownloads:
    """The downloads that wait or run are given up, each with a failure result."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reboot:
    """The device restarts once its exchanges are complete (DEV-07)."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """A JSON object goes out on the command's result topic. For personalities: `topic` replaces that topic, `is_retained` sets RETAIN."""

    command: str
    body: JsonObject
    topic: str = ""
    is_retained: bool = False


class Keeps(Enum):
    """What of the current step outlives a crash."""

    NOTHING = "nothing"  # the server will send the packet again
    SAVED = "saved"  # the effect stays, its packets were not sent
    SENT = "sent"  # the packets left, too


@dataclass(frozen=True, slots=True)
class Crash:
    """The firmware dies, or, where `is_reboot`, restarts on the spot. The reference never does; personalities do."""

    reason: str
    keeps: Keeps = Keeps.NOTHING
    is_reboot: bool = False


Effect: TypeAlias = ApplyConfiguration | RestoreFactory | StartDownload | DropDownloads | Reboot | PublishResult | Crash


class WhenBusy(Enum):
    """What a download command does while another download waits or runs (DEV-23). In each case every command gets its own result."""

    QUEUE = "queue"  # one after the other; the last one's image stays
    REFUSE = "refuse"  # the running one goes on, the new one fails at once
    REPLACE = "replace"  # the running one fails, the new one starts


@dataclass(frozen=True, slots=True)
class FirmwareRules:
    """What this firmware declares. `payload_bytes_max`: longer payloads are refused unread."""

    device_id: str
    commands: frozenset[str] = frozenset(commands.STANDARD_COMMANDS)
    factory_configuration: JsonObject = field(default_factory=dict)
    payload_bytes_max: int = 4096
    when_busy: WhenBusy = WhenBusy.QUEUE


class Refusal(Exception):
    """A command is not executed; the text goes into its result."""


def decide(rules: FirmwareRules, flash: Flash, message: Message) -> tuple[Effect, ...]:
    """The effects of one message, in order; none where it is no command for this device."""
    topic = parse_control_topic(message.topic)
    if topic is None or topic.device_id != rules.device_id or topic.role != "control":
        # A result of our own, echoed by a wide filter or a wrong broker, is no command (DEV-28).
        return ()
    try:
        return _execute(rules, flash, topic.command, message)
    except Refusal as refusal:
        return (failure(topic.command, str(refusal)),)


def success(command: str, message: str, **members: Any) -> PublishResult:
    """The result of a command that was executed."""
    return PublishResult(command, {"success": True, "message": message, **members})


def failure(command: str, message: str, **members: Any) -> PublishResult:
    """The result of a command that was refused or failed."""
    return PublishResult(command, {"success": False, "message": message, **members})


def _execute(rules: FirmwareRules, flash: Flash, command: str, message: Message) -> tuple[Effect, ...]:
    if message.retain:
        raise Refusal("a retained command is stale (DEV-21)")
    if command not in rules.commands or command not in HANDLERS:
        raise Refusal(f"unknown command {command[:64]!r}")
    if len(message.payload) > rules.payload_bytes_max:
        raise Refusal(f"the payload has {len(message.payload)} bytes, more than {rules.payload_bytes_max}")
    return HANDLERS[command](rules, flash, command, read_data(message.payload))


def read_data(payload: bytes) -> JsonObject | None:
    """The command's `data`: a JSON object, or None for JSON null (what a platform in Go makes of absent `data`). Raises Refusal."""
    try:
        data = json.loads(payload, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal("the payload is no JSON") from error
    if data is not None and not isinstance(data, dict):
        raise Refusal(f"the payload is no JSON object but {type(data).__name__}")
    return data


def _configuration(rules: FirmwareRules, flash: Flash, command: str, data: JsonObject | None) -> tuple[Effect, ...]:
    if data is None:
        raise Refusal("a configuration is a JSON object, not null")
    return ApplyConfiguration(data), success(command, f"{len(data)} values applied")


def _send_configuration(rules: FirmwareRules, flash: Flash, command: str, data: JsonObject | None) -> tuple[Effect, ...]:
    keys = (data or {}).get("keys")
    if keys is None:
        return (success(command, "all values", configuration=flash.configuration),)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refusal("'keys' is no array of strings")
    wanted = {key: flash.configuration[key] for key in keys if key in flash.configuration}
    return (success(command, f"{len(wanted)} of {len(keys)} values", configuration=wanted),)


def _download(rules: FirmwareRules, flash: Flash, command: str, data: JsonObject | None) -> tuple[Effect, ...]:
    offer = data or {}
    url, expires_at, file_name = (offer.get(member, "") for member in ("url", "expires_at", "file_name"))
    if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
        raise Refusal("'url' is no http or https address")
    start = StartDownload(command, url, expires_at if isinstance(expires_at, str) else "", file_name if isinstance(file_name, str) else "")
    if flash.jobs and rules.when_busy is WhenBusy.REPLACE:
        return DropDownloads("replaced by a newer command"), start
    if len(flash.jobs) >= (JOBS_MAX if rules.when_busy is WhenBusy.QUEUE else 1):
        raise Refusal(f"busy: {len(flash.jobs)} downloads are waiting or running")
    return (start,)


def _reboot(rules: FirmwareRules, flash: Flash, command: str, data: JsonObject | None) -> tuple[Effect, ...]:
    return success(command, "rebooting"), Reboot()


def _reset(rules: FirmwareRules, flash: Flash, command: str, data: JsonObject | None) -> tuple[Effect, ...]:
    return RestoreFactory(rules.factory_configuration), success(command, "factory configuration restored")


Handler: TypeAlias = Callable[[FirmwareRules, Flash, str, JsonObject | None], tuple[Effect, ...]]

HANDLERS: dict[str, Handler] = {
    commands.CONFIGURATION: _configuration,
    commands.SEND_CONFIGURATION: _send_configuration,
    commands.DOWNLOAD_FIRMWARE: _download,
    commands.DOWNLOAD_LOGO: _download,
    commands.REBOOT: _reboot,
    commands.RESET: _reset,
}


def apply(effect: Effect, flash: Flash) -> Flash:
    """The flash after `effect`. Given-up downloads stay in it: the machine settles them, as it owes their results."""
    match effect:
        case ApplyConfiguration(configuration) | RestoreFactory(configuration):
            return replace(flash, configuration=configuration)
        case StartDownload(command, url, expires_at, file_name):
            job = DownloadJob(flash.next_job, command, commands.DOWNLOADS[command], url, expires_at, file_name)
            return replace(flash, jobs=(*flash.jobs, job), next_job=flash.next_job + 1)
        case Reboot():
            return replace(flash, is_reboot_due=True)
        case DropDownloads() | PublishResult() | Crash():
            return flash
