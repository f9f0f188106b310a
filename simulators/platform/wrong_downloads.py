"""Wrong platforms, by the rows of DLD: what a download brings, to whom, how fast, and what is left of it."""

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.wire.files import FileType
from simulators.platform.access import credential_of, device_token_of, secret_digest
from simulators.platform.commands import Admitted
from simulators.platform.download_faults import DownloadFaultKind
from simulators.platform.files import StoredFile
from simulators.platform.keys import refuse_missing_file
from simulators.platform.personality import Personality, answering, every_download, is_download
from simulators.platform.readings import READINGS
from simulators.platform.refusals import Refusal
from simulators.platform.rules import access_ruled, download_steps_ruled, files_ruled, http_ruled, keys_ruled
from simulators.platform.service import Download, DownloadRequest, Service
from simulators.platform.storage import Storage

NEVER_S = 10.0**9
_TURNS: WeakKeyDictionary[web.Application, asyncio.Lock] = WeakKeyDictionary()


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

    def release_copy(self, download: Download) -> None:
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

    def release_copy(self, download: Download) -> None:
        super().release_copy(download)
        self._held.pop(download.key.id, None)


class _KeepsContents(Storage):
    """Keeps every content."""

    def _drop_unwanted(self, file: StoredFile | None) -> None: ...


class _ServesFirstUploads(Service):
    """A file that is uploaded again is served as it was uploaded first."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.storage = _KeepsContents(self._store, self._contents, self._clock, self._trail)
        self._first: dict[tuple[str, FileType, str], StoredFile] = {}

    def _offer(self, admitted: Admitted, file: StoredFile, trace: str) -> tuple[bytes, int] | Refusal:
        return super()._offer(admitted, self._first.setdefault((file.project_id, file.type, file.name), file), trace)


class _ForgetsTheFile(Service):
    """Deletes the stored file after its download."""

    def download_ended(self, download: Download, sent_bytes: int, problem: str) -> None:
        super().download_ended(download, sent_bytes, problem)
        if not problem:
            self._store.delete_file(download.key.project_id, download.key.file_type, download.key.file_name)


def _first_characters(authorization: Sequence[str]) -> str | None:
    token = device_token_of(authorization)
    return token[:32] if token else None


def _unquoted(name: str) -> str:
    return f"attachment; filename={name.encode('ascii', 'replace').decode()}"


def _inline(name: str) -> str:
    return f"inline; filename={name}"


async def _one_at_a_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not is_download(request):
        return await handler(request)
    async with _TURNS.setdefault(request.app, asyncio.Lock()):
        return await handler(request)


WRONG_DOWNLOADS: tuple[Personality, ...] = (
    Personality(
        "leaves-the-end-out",
        "the last byte is missing",
        ("DLD-01",),
        {"KEY-08": "no transfer is whole"},
        faults=every_download(DownloadFaultKind.SHORT),
    ),
    Personality(
        "changes-a-byte", "a byte in the middle is another one", ("DLD-01",), faults=every_download(DownloadFaultKind.CORRUPT, at_byte=100)
    ),
    Personality("sends-chunks", "there is no Content-Length", ("DLD-01",), faults=every_download(DownloadFaultKind.CHUNKED)),
    Personality(
        "serves-first-uploads", "a file that was uploaded again is served as it was before", ("DLD-01",), service=_ServesFirstUploads
    ),
    Personality(
        "shows-files-inline",
        "Content-Disposition is inline",
        ("DLD-01",),
        {"DLD-09": "for every name"},
        rules=files_ruled(content_disposition=_inline),
    ),
    Personality(
        "reads-tokens-by-their-start",
        "what follows a token is not looked at",
        ("DLD-02",),
        rules=access_ruled(device_token_of=_first_characters),
    ),
    Personality(
        "forbids-without-a-token",
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
    Personality("serves-users", "an API key downloads", ("DLD-03",), service=_ServesUsers),
    Personality("serves-deleted-files", "a deleted file is served", ("DLD-04",), rules=download_steps_ruled({refuse_missing_file: ()})),
    Personality("cuts-after-five-minutes", "a transfer may take five minutes", ("DLD-05",), rules=keys_ruled(transfer_time_s_max=300.0)),
    Personality("never-cuts", "a transfer may take for ever", ("DLD-05",), rules=keys_ruled(transfer_time_s_max=NEVER_S)),
    Personality("keeps-temporary-copies", "the temporary copy stays after its download", ("DLD-06",), service=_KeepsCopies),
    Personality("holds-downloads", "each open download holds 8 MiB of memory", ("DLD-11",), service=_HoldsDownloads),
    Personality("serves-one-at-a-time", "downloads wait for each other", ("DLD-07",), answers=_one_at_a_time),
    Personality(
        "apologises-for-downloads",
        "download errors are plain text",
        ("DLD-08",),
        answers=answering(where=is_download, status=401, text=b"denied", media_type="text/plain"),
    ),
    Personality("quotes-nothing", "odd names stand unquoted in the header", ("DLD-09",), rules=files_ruled(content_disposition=_unquoted)),
    Personality("knows-no-head", "HEAD is 405", ("DLD-10",), rules=READINGS["DLD-10"]["405"]),
    Personality(
        "forgets-files",
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
    Personality("reads-base64", "the token is taken in base64, too", ("DLD-14",), rules=READINGS["DLD-14"]["base64-too"]),
    Personality("challenges-nobody", "a 401 has no WWW-Authenticate", ("DLD-15",), rules=http_ruled(announces_challenge=False)),
)
