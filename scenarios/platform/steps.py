"""The sentences of which the platform scenarios are made: send a command, watch a device, fetch a file.

Each is a sub-generator, used with `yield from`; none of them judges. They must stay right in front of a wrong platform: a message that was
not expected is passed over, and a wait has an end.
"""

import base64
import json
from collections.abc import Generator, Iterable
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from harness.bench.target import Platform, TargetDevice, TargetFile
from harness.history.events import API_KEY, Headers, MqttDelivered
from harness.operations import Announce, Answer, Call, Connect, Connected, Receive, RunHook
from harness.scenario import Cast, DeviceNeed, Needs
from harness.wire.commands import (
    CONFIGURATION,
    DOWNLOAD_FIRMWARE,
    DOWNLOADS,
    REBOOT,
    RESET,
    SEND_CONFIGURATION,
    STANDARD_COMMANDS,
    DeviceKind,
    DownloadOffer,
    command_names,
    parse_download_offer,
)
from harness.wire.files import FileType
from harness.wire.responses import ORGANISATION_FILES_PATH, command_path, project_files_path
from harness.wire.topics import control_filter, control_topic

T = TypeVar("T")
Step: TypeAlias = Generator[Any, Any, T]

JSON_TYPE = ("Content-Type", "application/json")
CUSTOM = "blink_led"  # a command of the device's own
UNLISTED = "hil_unlisted"
DISTURBING = (REBOOT, RESET)  # never sent to a device that is not disposable
ORGANISATION = ""  # in the place of a project: the lists of all its projects
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
# A file of which the target cannot have sent the end when we stop reading.
LARGE_BYTES = 400_000
ENDS_WITHIN_S = 60.0  # beyond the time that a transfer should take
WITH_FIRMWARE = Needs(files={"firmware": FileType.FIRMWARE})
# The other device only lends its token, so that it may be of any kind and project.
WITH_A_STRANGER = Needs(
    devices={"device": DeviceNeed(), "other": DeviceNeed(kinds=tuple(DeviceKind), commands="any")}, files=WITH_FIRMWARE.files
)
# The checks that any refused download gives evidence for.
REFUSED_DOWNLOAD_CHECKS = ("download_errors_follow_the_contract", "unauthorized_names_its_scheme", "secrets_do_not_leak")
DOWNLOAD_OF = {file_type: command for command, file_type in DOWNLOADS.items()}
ARRIVES_WITHIN_S = 5.0  # a message that the target has accepted
_PASSED_OVER_MAX = 50
_SETTLES_WITHIN_S = 0.2


def bearer(platform: Platform, name: str = "full") -> Headers:
    """The header that carries one of the target's API keys."""
    return (("Authorization", f"Bearer {getattr(platform.api_keys, name)}"),)


def basic(device: TargetDevice) -> Headers:
    """The header that carries a device's raw token. Source: DLD-02."""
    return (("Authorization", f"Basic {device.token}"),)


def base64_basic(text: str) -> Headers:
    """Credentials as RFC 7617 would write them, which the protocol does not. Source: DLD-14."""
    return (("Authorization", "Basic " + base64.b64encode(text.encode()).decode()),)


def command_call(
    platform: Platform,
    device: TargetDevice,
    command: Any,
    data: Any = None,
    *,
    key: str = "full",
    body: bytes | None = None,
    project_id: str | None = None,
    device_id: str | None = None,
    headers: Headers | None = None,
    credential: str | None = None,
) -> Call:
    """A call of the command endpoint; what is not given is well-formed. `body` replaces the body as a whole."""
    project_id = device.project_id if project_id is None else project_id
    device_id = device.id if device_id is None else device_id
    return Call(
        method="POST",
        path=command_path(project_id, device_id),
        endpoint="command",
        credential=API_KEY + key if credential is None else credential,
        headers=((*bearer(platform, key), JSON_TYPE) if headers is None else headers),
        body=json.dumps({"command": command, "data": {} if data is None else data}).encode() if body is None else body,
        project_id=project_id,
        device_id=device_id,
    )


def send(platform: Platform, device: TargetDevice, command: str, data: Any = None) -> Step[Answer]:
    """Sends one well-formed command."""
    answer: Answer = yield command_call(platform, device, command, data)
    return answer


def send_all(platform: Platform, device: TargetDevice, commands: Iterable[tuple[str, Any]]) -> Step[int]:
    """Sends commands one after the other; returns how many were accepted."""
    accepted = 0
    for command, data in commands:
        answer = yield from send(platform, device, command, data)
        accepted += answer.status == 200
    return accepted


def watch(device: TargetDevice, *, clean_session: bool = True, announcement: str = "watching") -> Step[Connected]:
    """Connects as the device and subscribes to its control topics with QoS 2; from here on its commands are expected to arrive.

    A platform that does not grant the wildcard (CMD-26b) is asked for each topic that scenarios use; only there are commands expected then.
    """
    facts: dict[str, Any] = {"device_id": device.id}
    connected: Connected = yield Connect(device.id, clean_session=clean_session, filters=((control_filter(device.id), 2),))
    if connected.is_accepted and connected.granted != (2,):
        names = dict.fromkeys((*STANDARD_COMMANDS, *sorted(command_names(device.allowed_commands)), CUSTOM, UNLISTED))
        filters = tuple((control_topic(device.id, name), 2) for name in names)
        connected = yield Connect(device.id, clean_session=clean_session, filters=filters)
        facts["topics"] = [name for (name, _), code in zip(filters, connected.granted, strict=False) if code < 0x80]
    if connected.is_accepted and any(code < 0x80 for code in connected.granted):
        yield Announce(announcement, facts)
    return connected


def one_of_each(cast: Cast) -> list[tuple[str, dict[str, Any]]]:
    """A well-formed command of every name that may be sent to the device, those with a file where its project has one.

    The data name the device where they may hold something: what comes to another one by mistake can be told from its own.
    """
    device_id = cast.device.id
    named: list[tuple[str, dict[str, Any]]] = [
        (CONFIGURATION, {"for": device_id}),
        (SEND_CONFIGURATION, {"keys": [device_id]}),
        (CUSTOM, {"for": device_id}),
    ]
    bare: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in (DISTURBING if cast.device.disposable else ())]
    stored = {file.type: file.name for file in cast.platform.files if file.project_id == cast.device.project_id}
    downloads = [(name, {"file_name": stored[file_type]}) for name, file_type in DOWNLOADS.items() if file_type in stored]
    return [*named, *bare, *downloads]


def last_command(device: TargetDevice) -> str | None:
    """A harmless command that the device's list permits."""
    names = command_names(device.allowed_commands) or {CONFIGURATION}
    harmless = [CONFIGURATION, *sorted(names - {REBOOT, RESET, *DOWNLOADS})]
    return next((name for name in harmless if name in names), None)


def watch_end(platform: Platform, device: TargetDevice, accepted: int = 0) -> Step[list[MqttDelivered]]:
    """Sends a last command and waits until it and the `accepted` ones have come, and a moment more. Returns all that came.

    What was published for a refused command has come by then: the last command took the same way after it.
    """
    command = last_command(device)
    answer = (yield from send(platform, device, command, {"hil_end": accepted})) if command else None
    expected = accepted + (answer is not None and answer.status == 200)
    came: list[MqttDelivered] = []
    while len(came) < expected:
        more = yield Receive(device.id, count=1, within_s=ARRIVES_WITHIN_S)
        if not more:
            break
        came += [message for message in more if not message.retain]
    came += yield Receive(device.id, count=expected + 1, within_s=_SETTLES_WITHIN_S)
    return came


def offered(platform: Platform, device: TargetDevice, file: TargetFile | None, *, name: str = "", command: str = "") -> Step[str | None]:
    """Sends a download command to a watched device and returns the URL that arrives; None where none does."""
    offer = yield from whole_offer(platform, device, file, name=name, command=command)
    return offer.url if offer is not None else None


def several_offered(platform: Platform, device: TargetDevice, file: TargetFile, count: int) -> Step[list[str]]:
    """Sends so many download commands one after the other; returns the URLs that arrive."""
    urls = []
    for _ in range(count):
        url = yield from offered(platform, device, file)
        urls += [url] if url is not None else []
    return urls


def whole_offer(
    platform: Platform, device: TargetDevice, file: TargetFile | None, *, name: str = "", command: str = ""
) -> Step[DownloadOffer | None]:
    """Sends a download command to a watched device and returns what arrives; None where nothing does."""
    command = command or (DOWNLOAD_OF[file.type] if file else DOWNLOAD_FIRMWARE)
    yield Receive(device.id, count=_PASSED_OVER_MAX, within_s=0.0)  # What came too often before must not be taken for the answer.
    answer = yield from send(platform, device, command, {"file_name": file.name if file else name})
    if answer.status != 200:
        return None
    for _ in range(_PASSED_OVER_MAX):
        message = yield Receive(device.id, count=1, within_s=ARRIVES_WITHIN_S)
        if not message:
            yield Announce("nothing came", {"topic": control_topic(device.id, command)})
            return None
        offer = parse_download_offer(message[0].payload.encode())
        if message[0].topic == control_topic(device.id, command) and offer is not None and not message[0].retain:
            return offer
    return None


def fetch_call(
    url: str,
    device: TargetDevice,
    *,
    method: str = "GET",
    headers: Headers | None = None,
    credential: str | None = None,
    **options: Any,
) -> Call:
    """A call of a download URL, verbatim; by default as the device itself would make it."""
    parts = urlsplit(url)
    return Call(
        method=method,
        path=f"{parts.path}?{parts.query}" if parts.query else parts.path,
        endpoint="download",
        credential=f"token:{device.id}" if credential is None else credential,
        headers=basic(device) if headers is None else headers,
        device_id=device.id,
        origin=f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else "",
        **options,
    )


def slow_fetch_call(url: str, device: TargetDevice, file: TargetFile, *, takes_s: float) -> Call:
    """A call of a download URL by a device that reads so slowly that the file takes it `takes_s`."""
    return fetch_call(url, device, read_bytes_per_s=file.size_bytes / takes_s, within_s=takes_s + ENDS_WITHIN_S)


def store_file(device: TargetDevice, name: str, file: TargetFile, *, may_refuse: bool = False) -> Step[bool]:
    """Stores a file's bytes under a name, in the device's project; False where the target refuses to."""
    facts = storage_place(device, name, file.type)
    values = {**facts, "device_id": device.id, "path": str(file.path)}
    if (yield RunHook("upload_file", values, may_refuse=may_refuse)) is None:
        return False
    yield Announce("file uploaded", {**facts, "size": file.size_bytes, "sha256": file.sha256})
    return True


def delete_file(device: TargetDevice, name: str, file_type: FileType = FileType.FIRMWARE, *, may_refuse: bool = False) -> Step[None]:
    """Deletes what `store_file` stored."""
    facts = storage_place(device, name, file_type)
    yield RunHook("delete_file", {**facts, "device_id": device.id}, may_refuse=may_refuse)
    yield Announce("file deleted", facts)


def storage_place(device: TargetDevice, name: str, file_type: FileType) -> dict[str, str]:
    """Where a file of the device's project lies, in the words of hooks and announcements."""
    return {"project_id": device.project_id, "type": file_type.value, "name": name}


def list_call(platform: Platform, project_id: str, file_type: FileType, *, key: str = "full") -> Call:
    """A call of a file list; `project_id` may be ORGANISATION."""
    return raw_list_call(project_id, f"?type={file_type.value}", API_KEY + key, bearer(platform, key))


def raw_list_call(project_id: str, query: str, credential: str, headers: Headers) -> Call:
    """A call of a file list with the query and the headers as they are given."""
    path = project_files_path(project_id) if project_id else ORGANISATION_FILES_PATH
    return Call("GET", path + query, "files", credential, headers, project_id=project_id)


def stored_logo(platform: Platform, device: TargetDevice) -> TargetFile | None:
    """The first stored logo of the device's project; None where it has none."""
    return next((file for file in platform.files if file.project_id == device.project_id and file.type is FileType.LOGO), None)


def largest_file(platform: Platform, device: TargetDevice) -> TargetFile | None:
    """The largest stored firmware in the device's project."""
    files = [file for file in platform.files if file.type is FileType.FIRMWARE and file.project_id == device.project_id]
    return max(files, key=lambda file: file.size_bytes, default=None)
