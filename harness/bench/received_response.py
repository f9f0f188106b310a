"""What has come of one HTTP response: its head, its bytes as they come, and the byte timeline on the record."""

import hashlib
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from typing import Any, cast

from harness.history.events import Headers, HttpProgress, header_of
from harness.history.recorder import Recorder

_PROGRESS_EVERY_S = 1.0


class ReceivedResponse:
    """One response, from its first byte to what has come by now. `status` is None until its head is there."""

    def __init__(self, recorder: Recorder, exchange: int) -> None:
        self._recorder = recorder
        self._exchange = exchange
        self._told_at_s: float | None = None
        self.status: int | None = None
        self.headers: Headers = ()
        self.size_bytes = 0
        self.hash = hashlib.sha256()
        self.kept = bytearray()

    def header(self, name: str) -> str | None:
        """The header of that name, as `header_of` finds it."""
        return header_of(self.headers, name)

    def add(self, chunk: bytes, at_s: float) -> None:
        """Takes the next bytes of the body, which came at `at_s` (monotonic seconds)."""
        self.size_bytes += len(chunk)
        self.hash.update(chunk)
        self.kept += chunk
        if self._told_at_s is None or at_s - self._told_at_s >= _PROGRESS_EVERY_S:
            self._told_at_s = at_s
            self._recorder.record(HttpProgress(self._exchange, self.size_bytes))

    def parse(self, raw: bytes, method: str) -> str:
        """Takes a whole response apart; returns what is wrong with it, or nothing."""
        response = HTTPResponse(cast(Any, _Readable(raw)), method=method)
        try:
            response.begin()
            self.status = response.status
            self.headers = tuple((name, value) for name, value in response.getheaders())
            self.add(response.read(), 0.0)
        except (HTTPException, ValueError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return ""


class _Readable:
    """What the standard library's response parser wants of a socket."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, mode: str) -> BytesIO:
        return BytesIO(self._raw)
