"""The command API and the downloads of a target, over real HTTP, every exchange on the record.

What a scenario puts into a `Call` goes out as it stands: no header is added that HTTP does not demand, no redirect is followed, and no
request is repeated (a second GET would spend a one-time key). Judging is not done here; but a target that cannot be reached or bans us is
`TargetUnavailable`, as nothing can be said about its promises then.
"""

import asyncio
import hashlib
import json
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from harness.bench.target import Platform
from harness.bench.tls import ssl_context
from harness.errors import TargetUnavailable
from harness.history.events import Headers, HttpEnded, HttpProgress, HttpRequest, HttpResponse, text_of
from harness.history.recorder import Recorder
from harness.operations import Answer, Call

BODY_RECORDED_BYTES_MAX = 16 * 1024
_CHUNK_BYTES = 16 * 1024
_PROGRESS_EVERY_S = 1.0
# The time a new connection may take; after it the target counts as unreachable.
_CONNECT_WITHIN_S = 10.0


class HttpDriver:
    """Performs `Call`s and volleys of them against one platform. Use as an async context manager."""

    def __init__(self, platform: Platform, recorder: Recorder) -> None:
        self._platform = platform
        self._recorder = recorder
        self._pace = _Pace(platform.limits.requests_per_s)
        self._tls = ssl_context(platform.tls) if urlsplit(platform.api_url).scheme == "https" else None

    async def __aenter__(self) -> Self:
        # A reused connection that the target closes meanwhile would make aiohttp repeat a GET by itself.
        connector = aiohttp.TCPConnector(force_close=True, limit=0, ssl=self._tls or True)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN_S),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._session.close()

    async def call(self, call: Call) -> Answer:
        """Sends one request. Raises TargetUnavailable where no connection stands or the target answers 429."""
        await self._pace.turn()
        exchange = self._record_request(call)
        received = _Body(self._recorder, exchange)
        try:
            async with asyncio.timeout(call.within_s):
                return await self._exchange(call, exchange, received)
        except TimeoutError:
            return self._ended(exchange, received, problem=f"not over within {call.within_s:g} s", closed_by="us")
        except aiohttp.ClientConnectorError as error:
            self._ended(exchange, received, problem=f"no connection: {error}", closed_by="peer")
            raise TargetUnavailable(f"no connection to {self._platform.api_url}: {error}") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            return self._ended(exchange, received, problem=f"{type(error).__name__}: {error}", closed_by="peer")

    async def _exchange(self, call: Call, exchange: int, received: "_Body") -> Answer:
        async with self._session.request(
            call.method,
            URL(self._platform.api_url + call.path, encoded=True),
            headers=list(self._headers(call)),
            data=call.body,
            skip_auto_headers=("Content-Type", "Accept-Encoding", "User-Agent"),
            allow_redirects=False,
            proxy=self._platform.http.proxy,
        ) as response:
            received.status, received.headers = response.status, _texts(response.raw_headers)
            self._recorder.record(HttpResponse(exchange, response.status, received.headers))
            if response.status == 429:
                after = response.headers.get("Retry-After", "not said")
                raise TargetUnavailable(f"{self._platform.api_url} answers 429 (Retry-After: {after}); see [platform.limits]")
            if call.abort_after_bytes == 0:
                response.close()
                return self._ended(exchange, received, problem="aborted by us after 0 bytes", closed_by="us")
            await self._read(call, response, received)
            if call.abort_after_bytes is not None and received.size_bytes >= call.abort_after_bytes:
                response.close()
                return self._ended(exchange, received, problem=f"aborted by us after {received.size_bytes} bytes", closed_by="us")
            return self._ended(exchange, received, complete=True)

    async def _read(self, call: Call, response: aiohttp.ClientResponse, received: "_Body") -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        while chunk := await response.content.read(_chunk_bytes(call, received.size_bytes)):
            received.add(chunk, loop.time())
            if call.abort_after_bytes is not None and received.size_bytes >= call.abort_after_bytes:
                return
            if call.read_bytes_per_s is not None:
                ahead_s = started_s + received.size_bytes / call.read_bytes_per_s - loop.time()
                await asyncio.sleep(max(0.0, ahead_s))

    async def volley(self, calls: tuple[Call, ...]) -> list[Answer]:
        """Sends all requests but for their last byte, then all last bytes in one go."""
        exchanges = [self._record_request(call) for call in calls]
        started = [asyncio.create_task(self._all_but_last_byte(call)) for call in calls]
        lines = await asyncio.gather(*started)
        for (_, writer), call in zip(lines, calls, strict=True):
            writer.write(self._request_bytes(call)[-1:])
        return list(
            await asyncio.gather(
                *(
                    self._read_raw(reader, writer, call, exchange)
                    for (reader, writer), call, exchange in zip(lines, calls, exchanges, strict=True)
                )
            )
        )

    async def _all_but_last_byte(self, call: Call) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        url = urlsplit(self._platform.api_url)
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            async with asyncio.timeout(_CONNECT_WITHIN_S):
                reader, writer = await asyncio.open_connection(url.hostname, port, ssl=self._tls)
        except (OSError, TimeoutError) as error:
            raise TargetUnavailable(f"no connection to {self._platform.api_url}: {error}") from error
        writer.write(self._request_bytes(call)[:-1])
        await writer.drain()
        return reader, writer

    def _request_bytes(self, call: Call) -> bytes:
        url = urlsplit(self._platform.api_url)
        head = [f"{call.method} {url.path}{call.path} HTTP/1.1", f"Host: {url.netloc}", "Connection: close"]
        head += [f"{name}: {value}" for name, value in self._headers(call)]
        if call.body is not None:
            head.append(f"Content-Length: {len(call.body)}")
        return "\r\n".join([*head, "", ""]).encode() + (call.body or b"")

    async def _read_raw(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, call: Call, exchange: int) -> Answer:
        received = _Body(self._recorder, exchange)
        try:
            async with asyncio.timeout(call.within_s):
                raw = await reader.read(-1)
        except (TimeoutError, ConnectionError) as error:
            return self._ended(exchange, received, problem=f"{type(error).__name__}: {error}", closed_by="peer")
        finally:
            writer.close()
        problem = received.parse(raw, call.method)
        if received.status is not None:
            self._recorder.record(HttpResponse(exchange, received.status, received.headers))
        return self._ended(exchange, received, complete=not problem, problem=problem, closed_by="peer" if problem else "")

    def _headers(self, call: Call) -> Headers:
        return (*self._platform.http.headers.items(), *call.headers)

    def _record_request(self, call: Call) -> int:
        exchange = self._recorder.next_number()
        self._recorder.record(
            HttpRequest(
                exchange=exchange,
                endpoint=call.endpoint,
                method=call.method,
                url=self._platform.api_url + call.path,
                credential=call.credential,
                headers=self._headers(call),
                body=text_of(call.body or b""),
                project_id=call.project_id,
                device_id=call.device_id,
            )
        )
        return exchange

    def _ended(self, exchange: int, received: "_Body", *, complete: bool = False, problem: str = "", closed_by: str = "") -> Answer:
        body = bytes(received.kept)
        is_small = received.size_bytes <= BODY_RECORDED_BYTES_MAX
        is_file = received.status == 200 and received.header("content-disposition") is not None
        self._recorder.record(
            HttpEnded(
                exchange=exchange,
                received_bytes=received.size_bytes,
                complete=complete,
                sha256=received.hash.hexdigest(),
                body=text_of(body) if is_small and not is_file else "",
                problem=problem,
                closed_by=cast(Any, closed_by),
            )
        )
        return Answer(received.status, received.headers, body, complete, problem, _json_of(body))


class _Body:
    """What has come of one response."""

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
        return next((value for key, value in self.headers if key.lower() == name), None)

    def add(self, chunk: bytes, at_s: float) -> None:
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


class _Pace:
    """Lets one request pass at a time, so that no more than the target's limit go out in a second."""

    def __init__(self, per_s: float | None) -> None:
        self._interval_s = 1.0 / per_s if per_s else 0.0
        self._next_s = 0.0

    async def turn(self) -> None:
        if not self._interval_s:
            return
        now_s = asyncio.get_running_loop().time()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._interval_s
        await asyncio.sleep(at_s - now_s)


def _chunk_bytes(call: Call, received_bytes: int) -> int:
    """How much to read at once: exact up to an abort, small when slow, so that the byte timeline is even."""
    size = _CHUNK_BYTES
    if call.read_bytes_per_s is not None:
        size = max(1, min(size, int(call.read_bytes_per_s / 4)))
    if call.abort_after_bytes is not None:
        size = min(size, call.abort_after_bytes - received_bytes)
    return size


def _texts(raw_headers: Any) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in raw_headers)


def _json_of(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
