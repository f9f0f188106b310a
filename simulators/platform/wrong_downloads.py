"""Wrong platforms, second part: keys, downloads and lists."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.entropy import Entropy
from harness.wire.commands import KEY_LIFETIME_S, DeviceKind
from harness.wire.files import FileType
from simulators.platform.access import Device, credential_of, device_token_of, secret_digest
from simulators.platform.commands import Admitted
from simulators.platform.download_faults import DownloadFaultKind
from simulators.platform.files import StoredFile, list_body
from simulators.platform.keys import DownloadKey, KeyEvent, KeyState, is_of
from simulators.platform.personality import (
    Personality,
    access_ruled,
    answering,
    download_step_left_out,
    every_download,
    files_ruled,
    http_ruled,
    is_download,
    is_list,
    keys_ruled,
)
from simulators.platform.refusals import Refusal
from simulators.platform.rules import Rules
from simulators.platform.service import Download, DownloadRequest, Service

FOREVER_S = 10.0**9


class _MarksAfterwards(Service):
    """Looks whether a key is unused, and marks it when the transfer is over: whoever comes meanwhile gets the file, too."""

    def claim(self, download: Download) -> bool:
        return True

    def download_ended(self, download: Download, sent_bytes: int, problem: str) -> None:
        self._store.change_key(download.key.id, KeyEvent.CLAIMED)
        super().download_ended(download, sent_bytes, problem)


class _MarksWholeTransfers(_MarksAfterwards):
    """Declares `first-use`, and marks a key as used when its file has been delivered completely."""

    def download_ended(self, download: Download, sent_bytes: int, problem: str) -> None:
        if problem:
            Service.download_ended(self, download, sent_bytes, problem)
        else:
            super().download_ended(download, sent_bytes, problem)


class _ServesTwice(Service):
    """A key is good for two uses."""

    def claim(self, download: Download) -> bool:
        covered = self._store.key_with_id(download.key.id)
        if covered is not None and covered.state is KeyState.ISSUED and not covered.covered:
            self._store.set_covered(download.key.id, ((0, 1),))
            return True
        return super().claim(download)


class _LengthensLives(Service):
    """Keys live thirty minutes from the last command of their device. Needs rules under which the store ends no key."""

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._commanded_at_s: dict[str, float] = {}
        self.rules = keys_ruled(is_alive=self._is_alive)(self.rules)

    def _offer(self, admitted: Admitted, file: StoredFile, trace: str) -> tuple[bytes, int] | Refusal:
        self._commanded_at_s[admitted.device.id] = self._clock.utc_s()
        return super()._offer(admitted, file, trace)

    def _is_alive(self, key: DownloadKey, now_s: float) -> bool:
        return key.state is KeyState.ISSUED and now_s < self._commanded_at_s[key.device_id] + KEY_LIFETIME_S


class _ReplacesKeys(Service):
    """A download command ends the key of the device's download command before."""

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._latest: dict[str, int] = {}

    def _offer(self, admitted: Admitted, file: StoredFile, trace: str) -> tuple[bytes, int] | Refusal:
        offer = super()._offer(admitted, file, trace)
        if not isinstance(offer, Refusal):
            self._store.change_key(self._latest.get(admitted.device.id, 0), KeyEvent.CLAIMED)
            self._latest[admitted.device.id] = offer[1]
        return offer


class _SpendsNoKeysOfWifi(Service):
    """Keys of one kind of device can be used again and again."""

    def claim(self, download: Download) -> bool:
        device = self._store.device(download.key.device_id)
        return (device is not None and device.kind is DeviceKind.INTEMO_WIFI) or super().claim(download)


class _SpendsOnRefusal(Service):
    """Every attempt uses a key up, refused or not."""

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        outcome = super().open_download(request)
        if isinstance(outcome, Refusal) and len(request.key_values) == 1:
            key = self._store.key(secret_digest(request.key_values[0]))
            if key is not None:
                self._store.change_key(key.id, KeyEvent.CLAIMED)
        return outcome


class _SpendsOnHead(Service):
    """HEAD uses a key up like GET."""

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        outcome = super().open_download(request)
        if request.is_head and not isinstance(outcome, Refusal):
            self.claim(outcome)
        return outcome


class _ReadsKeysLoosely(Service):
    """Keys are compared without case."""

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        return super().open_download(replace(request, key_values=[value.lower() for value in request.key_values]))


class _ServesUsers(Service):
    """An API key downloads for the key's device."""

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        token = credential_of(request.authorization, "Bearer") or credential_of(request.authorization, "Basic")
        key = self._store.key(secret_digest(request.key_values[0])) if len(request.key_values) == 1 else None
        if token is not None and key is not None and self._store.caller(secret_digest(token)):
            opened = self._open(key, request)
            if not isinstance(opened, Refusal):
                self.claim(opened)
            return opened
        return super().open_download(request)


class _KeepsCopies(Service):
    """The temporary copy stays where it is."""

    def end_download(self, download: Download) -> None:
        if download.copy is not None:
            download.copy.close()


class _HoldsDownloads(Service):
    """Each open download holds more memory than its file is large."""

    _HELD_BYTES = 8 * 1024 * 1024

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._held: dict[int, bytes] = {}

    def claim(self, download: Download) -> bool:
        self._held[download.key.id] = b"x" * self._HELD_BYTES
        return super().claim(download)

    def end_download(self, download: Download) -> None:
        super().end_download(download)
        self._held.pop(download.key.id, None)


class _ServesFirstUploads(Service):
    """A file that is uploaded again is served as it was uploaded first."""

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._first: dict[tuple[str, FileType, str], StoredFile] = {}

    def _offer(self, admitted: Admitted, file: StoredFile, trace: str) -> tuple[bytes, int] | Refusal:
        return super()._offer(admitted, self._first.setdefault((file.project_id, file.type, file.name), file), trace)

    def _drop_unwanted(self, file: StoredFile | None) -> None:
        """Keeps every content."""


class _ForgetsTheFile(Service):
    """Deletes the stored file after its download."""

    def download_ended(self, download: Download, sent_bytes: int, problem: str) -> None:
        super().download_ended(download, sent_bytes, problem)
        if not problem:
            self._store.delete_file(download.key.project_id, download.key.file_type, download.key.file_name)


class _ShowsAllProjects(Service):
    """A project's list names the whole organisation's files."""

    def list_files(self, authorization: Sequence[str], type_values: Sequence[str], project_id: str | None) -> Refusal | list[StoredFile]:
        return super().list_files(authorization, type_values, None)


class _ShowsOneProject(Service):
    """The organisation's list names the first project's files only."""

    def list_files(self, authorization: Sequence[str], type_values: Sequence[str], project_id: str | None) -> Refusal | list[StoredFile]:
        outcome = super().list_files(authorization, type_values, project_id)
        if isinstance(outcome, Refusal) or project_id is not None or not outcome:
            return outcome
        return [file for file in outcome if file.project_id == outcome[0].project_id]


class _ShowsStrangers(Service):
    """A project's list is shown to other organisations."""

    def list_files(self, authorization: Sequence[str], type_values: Sequence[str], project_id: str | None) -> Refusal | list[StoredFile]:
        outcome = super().list_files(authorization, type_values, project_id)
        file_type = self.rules.files.file_type_of(type_values)
        if isinstance(outcome, Refusal) or project_id is None or file_type is None:
            return outcome
        return self._store.project_files(project_id, file_type)


def _counted() -> Callable[[Entropy], str]:
    count = [0]

    def mint(entropy: Entropy) -> str:
        count[0] += 1
        return f"{1_700_000_000_000_000_000 + count[0]:032d}"

    return mint


def _first_characters(authorization: Sequence[str]) -> str | None:
    token = device_token_of(authorization)
    return token[:32] if token else None


def _base64_too(authorization: Sequence[str]) -> str | None:
    token = device_token_of(authorization)
    try:
        return base64.b64decode(token or "", validate=True).decode().split(":")[-1] or token
    except ValueError:
        return token


def _in_the_first_half_of_each_hour(key: DownloadKey, now_s: float) -> bool:
    return key.state is KeyState.ISSUED and (now_s - key.issued_at_s) % 3_600 < KEY_LIFETIME_S


def _also_of_http_devices(key: DownloadKey, device: Device) -> bool:
    return device.kind is DeviceKind.HTTP or is_of(key, device)


def _never(device: DownloadKey, other: Device) -> bool:
    return True


def _strangers_unauthorized(rules: Rules) -> Rules:
    def refused(attempt: Any) -> Refusal | None:
        foreign = attempt.key is not None and attempt.device is not None and attempt.key.device_id != attempt.device.id
        return Refusal(401, "invalid_key", "Invalid download key") if foreign else None

    return replace(rules, download_steps=(rules.download_steps[0], refused, *rules.download_steps[1:]))


def _device_before_key(rules: Rules) -> Rules:
    steps = list(rules.download_steps)
    steps[2], steps[3] = steps[3], steps[2]
    return replace(rules, download_steps=tuple(steps))


def _unquoted(name: str) -> str:
    return f"attachment; filename={name.encode('ascii', 'replace').decode()}"


def _inline(name: str) -> str:
    return f"inline; filename={name}"


def _listed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Rules], Rules]:
    """Lists whose entries are changed."""

    def body(files: Iterable[StoredFile]) -> dict[str, Any]:
        return {"files": [change(entry) for entry in list_body(files)["files"]]}

    return files_ruled(list_body=body)


def _any_type(values: Sequence[str]) -> FileType | None:
    return next((file_type for file_type in FileType if values and values[0].lower() == file_type.value), FileType.FIRMWARE)


def _null_for_none(files: Iterable[StoredFile]) -> dict[str, Any]:
    body = list_body(files)
    return body if body["files"] else {"files": None}


async def _one_at_a_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not is_download(request):
        return await handler(request)
    lock = _LOCKS.setdefault(id(request.app), asyncio.Lock())
    async with lock:
        return await handler(request)


_LOCKS: dict[int, asyncio.Lock] = {}


async def _tells_the_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    answer = await handler(request)
    if is_download(request) and answer.status in (401, 403) and isinstance(answer, web.Response):
        body = {"success": False, "message": f"key {request.query.get('key', '')} refused", "action": "download file"}
        return web.Response(
            status=answer.status, body=json.dumps(body), headers={"WWW-Authenticate": "Basic"}, content_type="application/json"
        )
    return answer


async def _breaks_on_unknown(request: web.Request, handler: Handler) -> web.StreamResponse:
    if is_download(request) and len(request.query.get("key", "")) not in (0, 22):
        return web.json_response({"success": False, "message": "index out of range", "action": "download file"}, status=500)
    return await handler(request)


async def _lists_bare(request: web.Request, handler: Handler) -> web.StreamResponse:
    answer = await handler(request)
    if is_list(request) and answer.status == 200 and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        return web.json_response(json.loads(answer.body)["files"])
    return answer


_USED = "what is used twice is used again after a broken transfer, and by others at once"

WRONG_DOWNLOADS: tuple[Personality, ...] = (
    Personality(
        "keys_live_31_minutes",
        "a key dies a minute late",
        ("KEY-01",),
        {"KEY-11": "an expired key is alive"},
        rules=keys_ruled(lifetime_s=1_860.0),
    ),
    Personality(
        "keys_live_29_minutes",
        "a key dies a minute early",
        ("KEY-01",),
        {"KEY-09": "the key is dead at 29:45"},
        rules=keys_ruled(lifetime_s=1_740.0),
    ),
    Personality(
        "keys_live_for_ever",
        "keys do not expire",
        ("KEY-01",),
        {"KEY-11": "an expired key is alive"},
        rules=keys_ruled(lifetime_s=FOREVER_S),
    ),
    Personality(
        "lengthens_lives",
        "a command lengthens the lives of its device's older keys",
        ("KEY-01",),
        rules=keys_ruled(lifetime_s=FOREVER_S),
        service=_LengthensLives,
    ),
    Personality(
        "revives_keys",
        "a key's age is read without its hours",
        ("KEY-01",),
        rules=keys_ruled(lifetime_s=FOREVER_S, is_alive=_in_the_first_half_of_each_hour),
    ),
    Personality("replaces_keys", "a device's newer key ends its older one", ("KEY-01",), {"KEY-05": "it is dead"}, service=_ReplacesKeys),
    Personality(
        "spends_no_keys_of_wifi", "an Intemo WiFi device can use its key again and again", ("KEY-02",), service=_SpendsNoKeysOfWifi
    ),
    Personality(
        "keys_work_twice",
        "a key is good for two uses",
        ("KEY-02",),
        {"KEY-03": _USED, "KEY-11": _USED, "KEY-08": _USED, "DLD-06": "the copy stays as long as the key works"},
        service=_ServesTwice,
    ),
    Personality(
        "marks_keys_afterwards",
        "a key is marked as used after its transfer",
        ("KEY-03",),
        {row: "who comes before the mark gets it, too" for row in ("KEY-02", "KEY-11")},
        service=_MarksAfterwards,
    ),
    Personality("takes_foreign_tokens", "any device may use a key", ("KEY-04",), rules=keys_ruled(is_of=_never)),
    Personality(
        "takes_tokens_of_http_devices", "an HTTP device may use any key", ("KEY-04",), rules=keys_ruled(is_of=_also_of_http_devices)
    ),
    Personality("hides_foreign_keys", "another device's token gets 401", ("KEY-04",), rules=_strangers_unauthorized),
    Personality("spends_keys_on_refusals", "a refused attempt uses the key up", ("KEY-05",), service=_SpendsOnRefusal),
    Personality("spends_keys_on_head", "HEAD uses the key up", ("KEY-05",), service=_SpendsOnHead),
    Personality(
        "breaks_on_odd_keys",
        "a key of another length is a 500",
        ("KEY-06",),
        {"KEY-11": "a bad token with it, too"},
        answers=_breaks_on_unknown,
    ),
    Personality(
        "reads_keys_loosely",
        "a case-changed key works",
        ("KEY-06",),
        rules=keys_ruled(mint=lambda entropy: entropy.random_bytes(22).hex()),
        service=_ReadsKeysLoosely,
    ),
    Personality("draws_short_keys", "a key has 32 bits", ("KEY-07",), rules=keys_ruled(mint=lambda entropy: entropy.random_bytes(4).hex())),
    Personality("counts_keys", "keys are counted", ("KEY-07",), rules=lambda rules: keys_ruled(mint=_counted())(rules)),
    Personality(
        "uses_keys_up_at_the_end",
        "declares first-use and follows complete-delivery",
        ("KEY-08",),
        {"KEY-03": "several are answered 200", "KEY-02": "and so is who comes before the mark"},
        service=_MarksWholeTransfers,
    ),
    Personality("tells_keys_in_errors", "the key stands in error bodies", ("KEY-10",), answers=_tells_the_key),
    Personality("looks_at_the_device_first", "403 comes before 401 for a dead key", ("KEY-11",), rules=_device_before_key),
    Personality(
        "leaves_the_end_out",
        "the last byte is missing",
        ("DLD-01",),
        {"KEY-08": "no transfer is whole"},
        faults=every_download(DownloadFaultKind.SHORT),
    ),
    Personality(
        "changes_a_byte", "a byte in the middle is another one", ("DLD-01",), faults=every_download(DownloadFaultKind.CORRUPT, at_byte=100)
    ),
    Personality("sends_chunks", "there is no Content-Length", ("DLD-01",), faults=every_download(DownloadFaultKind.CHUNKED)),
    Personality(
        "serves_first_uploads", "a file that was uploaded again is served as it was before", ("DLD-01",), service=_ServesFirstUploads
    ),
    Personality(
        "shows_files_inline",
        "Content-Disposition is inline",
        ("DLD-01",),
        {"DLD-09": "for every name"},
        rules=files_ruled(content_disposition=_inline),
    ),
    Personality(
        "reads_tokens_by_their_start",
        "what follows a token is not looked at",
        ("DLD-02",),
        rules=access_ruled(device_token_of=_first_characters),
    ),
    Personality(
        "forbids_without_a_token",
        "no token is 403",
        ("DLD-02",),
        {
            "DLD-03": "its 401 is a 403",
            "KEY-01": "its 401 is a 403",
            "KEY-02": "its 401 is a 403",
            "KEY-03": "its 401 is a 403",
            "KEY-06": "its 401 is a 403",
            "KEY-08": "its 401 is a 403",
            "KEY-11": "its 401 is a 403",
        },
        answers=answering(where=is_download, status=401, as_status=403),
    ),
    Personality("serves_users", "an API key downloads", ("DLD-03",), service=_ServesUsers),
    Personality("serves_deleted_files", "a deleted file is served", ("DLD-04",), rules=download_step_left_out("_refuse_missing_file")),
    Personality("cuts_after_five_minutes", "a transfer may take five minutes", ("DLD-05",), rules=keys_ruled(transfer_time_s_max=300.0)),
    Personality("never_cuts", "a transfer may take for ever", ("DLD-05",), rules=keys_ruled(transfer_time_s_max=FOREVER_S)),
    Personality("keeps_temporary_copies", "the temporary copy stays after its download", ("DLD-06",), service=_KeepsCopies),
    Personality("holds_downloads", "each open download holds 8 MiB of memory", ("DLD-11",), service=_HoldsDownloads),
    Personality("serves_one_at_a_time", "downloads wait for each other", ("DLD-07",), answers=_one_at_a_time),
    Personality(
        "apologises_for_downloads",
        "download errors are plain text",
        ("DLD-08",),
        answers=answering(where=is_download, status=401, text=b"denied", media_type="text/plain"),
    ),
    Personality("quotes_nothing", "odd names stand unquoted in the header", ("DLD-09",), rules=files_ruled(content_disposition=_unquoted)),
    Personality("knows_no_head", "HEAD is 405", ("DLD-10",), rules=http_ruled(head_status=405)),
    Personality(
        "forgets_files",
        "the stored file is deleted after its download",
        ("DLD-12",),
        {
            "LST-01": "and listed no more",
            "LST-02": "and listed no more",
            "CMD-11": "and not to be commanded",
            "LST-08": "and not to be commanded",
            "CMD-12": "and not to be found",
            "DLD-01": "another key for it is 404",
        },
        service=_ForgetsTheFile,
    ),
    Personality("reads_base64", "the token is taken in base64, too", ("DLD-14",), rules=access_ruled(device_token_of=_base64_too)),
    Personality("challenges_nobody", "a 401 has no WWW-Authenticate", ("DLD-15",), rules=http_ruled(announces_challenge=False)),
    Personality(
        "lists_all_projects",
        "a project's list names all files",
        ("LST-01",),
        {
            "LST-08": "a listed file is another project's",
            "LST-10": "so does an unknown project's",
            "LST-02": "to the other organisation theirs",
        },
        service=_ShowsAllProjects,
    ),
    Personality("lists_one_project", "the organisation's list names one project's files", ("LST-02",), service=_ShowsOneProject),
    Personality(
        "lists_all_organisations",
        "the organisation's list names everybody's files",
        ("LST-02",),
        rules=files_ruled(crosses_organisations=True),
    ),
    Personality("writes_sizes_as_text", "size is a string", ("LST-03",), rules=_listed(lambda entry: entry | {"size": str(entry["size"])})),
    Personality(
        "writes_local_times",
        "time has no zone",
        ("LST-03",),
        rules=_listed(lambda entry: entry | {"time": entry["time"].removesuffix("Z")}),
    ),
    Personality(
        "describes_with_null",
        "a file without description has null for it",
        ("LST-03",),
        rules=_listed(lambda entry: {"description": None} | entry),
    ),
    Personality("lists_any_type", "a wrong type lists firmware", ("LST-04",), rules=files_ruled(file_type_of=_any_type)),
    Personality(
        "forbids_lists_to_strangers",
        "a list without a key is 403",
        ("LST-05",),
        answers=answering(where=is_list, status=401, as_status=403),
    ),
    Personality(
        "lists_bare",
        "the list's body is an array",
        ("LST-07",),
        {"LST-01": "no file is found in it", "LST-02": "no file is found in it"},
        answers=_lists_bare,
    ),
    Personality("writes_null_for_none", "files is null where there are none", ("LST-07",), rules=files_ruled(list_body=_null_for_none)),
    Personality(
        "decorates_names",
        "listed names hold the type",
        ("LST-08",),
        {"LST-01": "the stored name is not listed", "LST-02": "the stored name is not listed", "DLD-12": "nor after a download"},
        rules=_listed(lambda entry: entry | {"name": "v_" + entry["name"]}),
    ),
    Personality(
        "counts_in_kilobytes", "size is in kilobytes", ("LST-09",), rules=_listed(lambda entry: entry | {"size": entry["size"] // 1000})
    ),
    Personality("shows_foreign_projects", "another organisation's key lists our projects", ("LST-10",), service=_ShowsStrangers),
)
