"""The command API and the downloads of a target, over real HTTP, every exchange on the record.

What a scenario puts into a `Call` goes out as it stands: no header is added that HTTP does not demand, no redirect is followed, and no
request is repeated (a second GET would spend a one-time key). Judging is not done here; but a target that cannot be reached or bans us is
`TargetUnavailable`, as nothing can be said about its promises then.
"""

import asyncio
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from harness.bench.pace import Pace
from harness.bench.raw_connection import RawConnection, open_raw
from harness.bench.received_response import ReceivedResponse
from harness.bench.target import Platform
from harness.bench.tls import ssl_context
from harness.bench.traces import Traces
from harness.entropy import SystemEntropy
from harness.errors import TargetUnavailable
from harness.history.events import Headers, HttpEnded, HttpRequest, HttpResponse, Stimulus, text_of
from harness.history.recorder import Recorder
from harness.operations import Answer, Call
from harness.wire.json_values import read_json
from harness.wire.responses import ORGANISATION_FILES_PATH

BODY_RECORDED_BYTES_MAX = 256 * 1024
_CHUNK_BYTES = 16 * 1024
# The time a new connection may take; after it the target counts as unreachable.
_CONNECT_WITHIN_S = 10.0
# A ban that ends soon is waited for, a longer one makes the rest of the run an error.
_BAN_WAITED_FOR_S_MAX = 30.0
# After so many calls in a row without an answer, each for its whole time, the target is asked whether it answers anything at all.
_UNANSWERED_MAX = 4
# What a gateway answers where its server does not.
_GATEWAY_ERRORS = (502, 503, 504)
# For slow reading: with these a Linux server can have some 100 KB under way that we have not read, instead of megabytes.
_WINDOW_BYTES = 4 * 1024
_SEGMENT_BYTES = 1400


class HttpDriver:
    """Performs `Call`s and volleys of them against one platform. Use as an async context manager."""

    def __init__(self, platform: Platform, recorder: Recorder) -> None:
        self._platform = platform
        self._recorder = recorder
        self._pace = Pace(platform.limits.requests_per_s)
        self._traces = Traces(SystemEntropy())
        self._banned_until_s = 0.0
        self._unanswered = 0  # calls in a row
        self._is_silent = False
        self._tls = ssl_context(platform.tls)
        self._takes_connections: dict[str, bool] = {}  # by the origin of a URL that is not the API's

    async def __aenter__(self) -> Self:
        self._session = self._new_session()
        self._slow_session = self._new_session(socket_factory=_slow_socket)
        return self

    def _new_session(self, **options: Any) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0, ssl=self._tls, **options),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_WITHIN_S),
            auto_decompress=False,
            read_bufsize=_WINDOW_BYTES if options else 2**16,
        )
        # A GET that is cut off before its answer is repeated by aiohttp, over a new connection too; there is no public switch.
        session._retry_connection = False
        return session

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._session.close()
        await self._slow_session.close()

    def next_trace(self) -> str:
        """A traceparent for a call that somebody else makes."""
        return self._traces.traceparent(self._recorder.next_number())

    async def call(self, call: Call) -> Answer:
        """Sends one request.

        Raises TargetUnavailable where no connection stands, the target bans us (429, or 503 with Retry-After), takes connections and
        answers none of several calls in a row, or a gateway answers in its place whatever is asked.
        """
        await self._may_ask(1)
        request = self._record_request(call, await self._base_of(call))
        received = ReceivedResponse(self._recorder, request.exchange)
        try:
            async with asyncio.timeout(call.within_s):
                return await self._exchange(request, received)
        except TimeoutError:
            ended = self._ended(request, received, problem=f"not over within {call.within_s:g} s", closed_by="us")
            if received.status is None:
                await self._raise_for_silence(call)
            return ended
        except aiohttp.ClientConnectorError as error:
            self._ended(request, received, problem=f"no connection: {error}", closed_by="")
            raise TargetUnavailable(f"no connection to {request.base}: {error}") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            return self._ended(request, received, problem=f"{type(error).__name__}: {error}", closed_by="peer")

    async def _may_ask(self, requests: int) -> None:
        """Waits for our turn within the target's limits, and for the end of a short ban."""
        if self._is_silent:
            raise TargetUnavailable(f"{self._platform.api_url} takes connections and answers nothing")
        remaining_s = self._banned_until_s - asyncio.get_running_loop().time()
        if remaining_s > _BAN_WAITED_FOR_S_MAX:
            raise TargetUnavailable(f"{self._platform.api_url} bans us for another {remaining_s:.0f} s; see [platform.limits]")
        await asyncio.sleep(max(0.0, remaining_s))
        for _ in range(requests):
            await self._pace.turn()

    async def _exchange(self, request: "_Request", received: ReceivedResponse) -> Answer:
        call = request.call
        session = self._session if call.read_bytes_per_s is None else self._slow_session
        async with session.request(
            call.method,
            URL(request.base + call.path, encoded=True),
            headers=list(request.headers),
            data=call.body,
            skip_auto_headers=("Content-Type", "Accept-Encoding", "User-Agent"),
            allow_redirects=False,
            proxy=self._platform.http.proxy,
        ) as response:
            received.status, received.headers = response.status, _texts(response.raw_headers)
            self._unanswered = 0
            self._recorder.record(HttpResponse(request.exchange, response.status, received.headers))
            if call.abort_after_bytes != 0:
                await self._read(call, response, received)
            self._raise_for_ban(request, received)
            await self._raise_for_lonely_gateway(request, received)
            if call.abort_after_bytes is not None and received.size_bytes >= call.abort_after_bytes:
                response.close()
                return self._ended(request, received, problem=f"aborted by us after {received.size_bytes} bytes", closed_by="us")
            return self._ended(request, received, complete=True)

    def _raise_for_ban(self, request: "_Request", received: ReceivedResponse) -> None:
        after = received.header("retry-after")
        if received.status == 429 or (received.status == 503 and after is not None):
            seconds = float(after) if after is not None and after.isdigit() else 0.0
            self._banned_until_s = asyncio.get_running_loop().time() + seconds
            self._ended(request, received, complete=True)
            said = f"Retry-After: {after or 'not said'}"
            raise TargetUnavailable(f"{self._platform.api_url} answers {received.status} ({said}); see [platform.limits]")

    async def _raise_for_lonely_gateway(self, request: "_Request", received: ReceivedResponse) -> None:
        """A gateway's own error page says nothing of the target, unless that answers another request: then it broke on this one."""
        if received.status not in _GATEWAY_ERRORS or isinstance(read_json(bytes(received.kept)), dict):
            return
        status = await self._status_of_a_bare_list()
        if status not in _GATEWAY_ERRORS:
            return
        self._ended(request, received, complete=True)
        raise TargetUnavailable(f"{self._platform.api_url} answers {received.status}, and {status} to a bare list: a gateway alone")

    async def _raise_for_silence(self, call: Call) -> None:
        """A call without an answer says little of the target; several in a row do, if it does not answer a bare list either."""
        self._unanswered += 1
        if self._unanswered < _UNANSWERED_MAX:
            return
        try:
            async with asyncio.timeout(min(call.within_s, _CONNECT_WITHIN_S)):
                await self._status_of_a_bare_list()
        except TimeoutError:
            self._is_silent = True
            message = f"{self._platform.api_url} takes connections and answers nothing, neither several calls nor a bare list"
            raise TargetUnavailable(message) from None
        except (aiohttp.ClientError, ConnectionError):
            pass  # It does something: whoever asks next hears of it.
        self._unanswered = 0

    async def _status_of_a_bare_list(self) -> int:
        """Asks something harmless without a credential, off the record."""
        async with self._session.get(
            URL(self._platform.api_url + ORGANISATION_FILES_PATH, encoded=True),
            headers=self._platform.http.headers,
            allow_redirects=False,
            proxy=self._platform.http.proxy,
        ) as probe:
            return probe.status

    async def _read(self, call: Call, response: aiohttp.ClientResponse, received: ReceivedResponse) -> None:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        pause_at_bytes = call.pause_after_bytes
        while chunk := await response.content.read(_chunk_bytes(call, received.size_bytes)):
            received.add(chunk, loop.time())
            if call.abort_after_bytes is not None and received.size_bytes >= call.abort_after_bytes:
                return
            if pause_at_bytes is not None and received.size_bytes >= pause_at_bytes:
                await asyncio.sleep(call.pause_s)
                started_s, pause_at_bytes = started_s + call.pause_s, None
            if call.read_bytes_per_s is not None:
                ahead_s = started_s + received.size_bytes / call.read_bytes_per_s - loop.time()
                await asyncio.sleep(max(0.0, ahead_s))

    async def volley(self, calls: tuple[Call, ...]) -> list[Answer]:
        """Sends all requests but for their last byte, then all last bytes in one go."""
        await self._may_ask(len(calls))
        requests = [self._record_request(call, await self._base_of(call)) for call in calls]
        lines = await asyncio.gather(*(self._all_but_last_byte(request) for request in requests))
        for request, line in zip(requests, lines, strict=True):
            line.writer.write(self._request_bytes(request, line)[-1:])
        reads = (self._read_raw(line, request) for request, line in zip(requests, lines, strict=True))
        return list(await asyncio.gather(*reads))

    async def _all_but_last_byte(self, request: "_Request") -> RawConnection:
        line = await self._open_raw(request.base)
        line.writer.write(self._request_bytes(request, line)[:-1])
        await line.writer.drain()
        return line

    async def _open_raw(self, base: str) -> RawConnection:
        tls = self._tls if urlsplit(base).scheme == "https" else None
        return await open_raw(base, self._platform.http.proxy, tls, within_s=_CONNECT_WITHIN_S)

    def _request_bytes(self, request: "_Request", line: RawConnection) -> bytes:
        call, url = request.call, urlsplit(request.base)
        head = [f"{call.method} {line.base}{url.path}{call.path} HTTP/1.1", f"Host: {url.netloc}", "Connection: close", *line.headers]
        head += [f"{name}: {value}" for name, value in request.headers]
        if call.body is not None:
            head.append(f"Content-Length: {len(call.body)}")
        return "\r\n".join([*head, "", ""]).encode() + (call.body or b"")

    async def _read_raw(self, line: RawConnection, request: "_Request") -> Answer:
        received = ReceivedResponse(self._recorder, request.exchange)
        try:
            async with asyncio.timeout(request.call.within_s):
                raw = await line.reader.read(-1)
        except TimeoutError:
            return self._ended(request, received, problem=f"not over within {request.call.within_s:g} s", closed_by="us")
        except ConnectionError as error:
            return self._ended(request, received, problem=f"{type(error).__name__}: {error}", closed_by="peer")
        finally:
            line.writer.close()
        problem = received.parse(raw, request.call.method)
        if received.status is not None:
            self._recorder.record(HttpResponse(request.exchange, received.status, received.headers))
        self._raise_for_ban(request, received)
        return self._ended(request, received, complete=not problem, problem=problem, closed_by="peer" if problem else "")

    async def _base_of(self, call: Call) -> str:
        """What stands before a call's path: the origin of its URL, or else the API's URL.

        Where nobody takes connections at that origin, it is said once, and the API is asked in its place.
        """
        api = self._platform.api_url
        if not call.origin or call.origin == _origin(api):
            return call.origin or api
        if call.origin not in self._takes_connections:
            self._takes_connections[call.origin] = await self._probe(call.origin)
        if self._takes_connections[call.origin]:
            return call.origin
        return _origin(api) if call.path.startswith(urlsplit(api).path) else api

    async def _probe(self, origin: str) -> bool:
        try:
            line = await self._open_raw(origin)
        except (TargetUnavailable, ValueError) as error:  # ValueError: a port that is none
            self._recorder.record(Stimulus("nobody at the URL", {"origin": origin, "problem": str(error)}))
            return False
        line.writer.close()
        return True

    def _record_request(self, call: Call, base: str) -> "_Request":
        exchange = self._recorder.next_number()
        gateway = self._platform.http.headers.items() if _origin(base) == _origin(self._platform.api_url) else ()
        headers = (*gateway, ("traceparent", self._traces.traceparent(exchange)), *call.headers)
        self._recorder.record(
            HttpRequest(
                exchange=exchange,
                endpoint=call.endpoint,
                method=call.method,
                url=base + call.path,
                credential=call.credential,
                headers=headers,
                body=text_of(call.body or b""),
                project_id=call.project_id,
                device_id=call.device_id,
            )
        )
        return _Request(call, base, exchange, headers)

    def _ended(
        self, request: "_Request", received: ReceivedResponse, *, complete: bool = False, problem: str = "", closed_by: str = ""
    ) -> Answer:
        body = bytes(received.kept)
        is_small = received.size_bytes <= BODY_RECORDED_BYTES_MAX
        is_file = received.status in (200, 206) and request.call.endpoint == "download"
        self._recorder.record(
            HttpEnded(
                exchange=request.exchange,
                received_bytes=received.size_bytes,
                complete=complete,
                sha256=received.hash.hexdigest(),
                body=text_of(body) if is_small and not is_file else "",
                problem=problem,
                closed_by=cast(Any, closed_by),
            )
        )
        return Answer(received.status, received.headers, body, complete, problem, read_json(body))


@dataclass(frozen=True, slots=True)
class _Request:
    """A call on the record, with what stands before its path, and all its headers."""

    call: Call
    base: str
    exchange: int
    headers: Headers


def _origin(url: str) -> str:
    """Scheme, host and port of a URL, as they stand there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _slow_socket(address: Any) -> socket.socket:
    """A socket with a small window; not on systems that do not let a client choose its segments."""
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _WINDOW_BYTES)
    if hasattr(socket, "TCP_MAXSEG"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
    return made


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
