"""A transparent proxy in front of any broker or HTTP server: what passes is the peer's own bytes, until a fault of the plan says otherwise.

`MqttProxy` understands packets, `HttpProxy` exchanges and bytes of their bodies; both take the plan of `harness.faults`. What they cannot
read they hand on as it is. Left to others: what the faults are (`harness.fault_interpreter`), bandwidth and latency of a whole link.
"""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from harness.errors import BenchError, RemoteWireError
from harness.fault_interpreter import Fired
from harness.faults import Answer, BodyFault, Corrupt, Cut, Delay, FaultPlan, Throttle
from harness.mqtt.decoding import Decoder
from harness.mqtt.packets import Packet, Side
from simulators.network.addresses import host_in_url
from simulators.network.faulty_traffic import FaultyLine, FaultyTraffic
from simulators.network.framing import PacketFramer
from simulators.network.http_messages import Body, End, Head, MessageReader

CHUNK_BYTES = 65_536
DEFAULT_PORTS = {"mqtt": 1883, "http": 80}


class ProxyObserver(Protocol):
    """Sees what passes. `connection` numbers the proxy's connections from 1."""

    def packet(self, connection: int, side: Side, packet: Packet, size_bytes: int) -> None: ...

    def fault(self, fired: Fired) -> None: ...


class _Proxy(ABC):
    """Listening, connecting, and the life of connections; what passes is the business of the classes below."""

    def __init__(self, upstream_url: str, *, bind: str = "127.0.0.1", port: int = 0, observer: ProxyObserver | None = None) -> None:
        parts = urlsplit(upstream_url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise BenchError(f"a proxy needs a URL of the form mqtt://host:port or http://host:port, not {upstream_url!r}")
        self._scheme = parts.scheme
        self._upstream = (parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme])
        self._bind = bind
        self._port = port
        self._observer = observer
        self._plan = FaultPlan()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_number = 0

    async def start(self) -> None:
        """Serves when it returns. Raises BenchError when the port is taken."""
        try:
            self._server = await asyncio.start_server(self._accept, self._bind, self._port)
        except OSError as error:
            raise BenchError(f"the proxy cannot listen on {self._bind}:{self._port}: {error}") from error
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the listener and all connections."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._server = None

    @property
    def url(self) -> str:
        """Where clients connect, in place of the upstream; known after `start`."""
        return f"{self._scheme}://{host_in_url(self._bind)}:{self._port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._last_number = number = self._last_number + 1
        try:
            await self._bridge(number, _Wire(reader, writer))
        except OSError:
            writer.transport.abort()  # as the server itself would be seen: no connection
        except asyncio.CancelledError:
            return  # the proxy stops
        finally:
            self._tasks.discard(task)
            writer.transport.close()

    async def _bridge(self, number: int, client: "_Wire") -> None:
        """Serves one connection to its end. Raises OSError where the upstream cannot be reached."""
        server = _Wire(*await asyncio.open_connection(*self._upstream))
        try:
            await self._serve(number, client, server)
        finally:
            server.writer.transport.close()

    @abstractmethod
    async def _serve(self, number: int, client: "_Wire", server: "_Wire") -> None:
        """Lets pass what comes from either end, until one of them ends."""


@dataclass(slots=True)
class _Wire:
    """One end of a proxied connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        """What has come; empty at the end, in order or not."""
        try:
            return await self.reader.read(CHUNK_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Writes unless the end is gone."""
        if not self.writer.transport.is_closing():
            self.writer.write(data)

    async def drained(self) -> None:
        try:
            await self.writer.drain()
        except OSError:
            return  # the reader of this end will see it


async def _until_one_ends(*pumps: "asyncio.Task[None]") -> None:
    """Raises what the one that ends first raises."""
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in done:
            pump.result()
    finally:
        for pump in pumps:
            pump.cancel()


class MqttProxy(_Proxy):
    """In front of a broker. The plan may be changed at any time; events are counted from then on."""

    def __init__(self, upstream_url: str, *, bind: str = "127.0.0.1", port: int = 0, observer: ProxyObserver | None = None) -> None:
        super().__init__(upstream_url, bind=bind, port=port, observer=observer)
        self._traffic: FaultyTraffic | None = None

    async def start(self) -> None:
        """Serves when it returns. Raises BenchError when the port is taken."""
        await super().start()
        self._traffic = FaultyTraffic(self._plan, asyncio.get_running_loop(), self._fired)

    def set_faults(self, plan: FaultPlan | None) -> None:
        """Puts a plan to work, in the place of another. Connected clients are on their first connection."""
        self._plan = plan or FaultPlan()
        if self._traffic is not None:
            self._traffic.change_plan(self._plan)

    def _fired(self, line: FaultyLine, fired: Fired) -> None:
        if self._observer is not None:
            self._observer.fault(fired)

    async def _serve(self, number: int, client: _Wire, server: _Wire) -> None:
        assert self._traffic is not None
        cut = asyncio.Event()
        pair = (self._traffic.line("client", server.write, cut.set), self._traffic.line("server", client.write, cut.set))
        try:
            await _until_one_ends(
                asyncio.create_task(self._pump(number, client, server, pair[0], pair)),
                asyncio.create_task(self._pump(number, server, client, pair[1], pair)),
                asyncio.create_task(_wait(cut)),
            )
        finally:
            self._traffic.closed(pair)

    async def _pump(self, number: int, source: _Wire, sink: _Wire, line: FaultyLine, pair: tuple[FaultyLine, FaultyLine]) -> None:
        framer = PacketFramer()
        while data := await source.read():
            for raw in framer.feed(data):
                packet = _decoded(raw)
                if packet is None:
                    line.pass_on(raw)
                    continue
                if self._observer is not None:
                    self._observer.packet(number, line.stream.sent_by, packet, len(raw))
                assert self._traffic is not None
                self._traffic.packet(line, pair, packet, raw)
            await sink.drained()
        await line.done()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _decoded(raw: bytes) -> Packet | None:
    """The packet, or None where the codec calls it malformed: that is for the ends to judge."""
    try:
        return Decoder(max_packet_bytes=len(raw)).feed(raw)[0]
    except (RemoteWireError, IndexError):
        return None


@dataclass(slots=True)
class _Exchange:
    """A request and its answer, and the faults that concern them."""

    is_head: bool
    faults: list[BodyFault]
    rate_bytes_per_s: dict[str, float] = field(default_factory=dict)


class _CutHere(Exception):
    """A fault ends the connection."""


class HttpProxy(_Proxy):
    """In front of an HTTP server. Exchanges are counted per plan."""

    def __init__(self, upstream_url: str, *, bind: str = "127.0.0.1", port: int = 0, observer: ProxyObserver | None = None) -> None:
        super().__init__(upstream_url, bind=bind, port=port, observer=observer)
        self._seen: dict[int, int] = {}

    def set_faults(self, plan: FaultPlan | None) -> None:
        """Puts a plan to work, in the place of another."""
        self._plan = plan or FaultPlan()
        self._seen.clear()

    async def _serve(self, number: int, client: _Wire, server: _Wire) -> None:
        exchanges: deque[_Exchange] = deque()
        with contextlib.suppress(_CutHere):
            await _until_one_ends(
                asyncio.create_task(self._requests(client, server, exchanges)),
                asyncio.create_task(self._responses(client, server, exchanges)),
            )

    async def _requests(self, client: _Wire, server: _Wire, exchanges: deque[_Exchange]) -> None:
        reader = MessageReader(is_response=False)
        exchange = _Exchange(False, [])
        while data := await client.read():
            for piece in reader.feed(data):
                if isinstance(piece, Head):
                    exchange = self._exchange(piece)
                    exchanges.append(exchange)
                if answer := self._own_answer(exchange):
                    client.write(_spelled(answer))
                    await client.drained()
                    return
                await self._pass_on(piece, "request", exchange, server)
        if server.writer.can_write_eof():
            server.writer.write_eof()
        await asyncio.Event().wait()  # The answer may still be on its way: its direction ends the connection.

    async def _responses(self, client: _Wire, server: _Wire, exchanges: deque[_Exchange]) -> None:
        reader = MessageReader(is_response=True)
        while data := await server.read():
            reader.expects_body = not (exchanges and exchanges[0].is_head)
            for piece in reader.feed(data):
                exchange = exchanges[0] if exchanges else _Exchange(False, [])
                await self._pass_on(piece, "response", exchange, client)
                if isinstance(piece, End) and exchanges:
                    exchanges.popleft()

    def _exchange(self, head: Head) -> _Exchange:
        method, path = head.method_and_path
        faults = []
        for place, fault in enumerate(self._plan.bodies):
            if fault.at.method not in (None, method) or not fnmatchcase(path, fault.at.path):
                continue
            before = self._seen.get(place, 0)
            self._seen[place] = before + 1
            if fault.at.skip <= before and (fault.at.times is None or before < fault.at.skip + fault.at.times):
                faults.append(fault)
        return _Exchange(method == "HEAD", faults)

    def _own_answer(self, exchange: _Exchange) -> Answer | None:
        for fault in exchange.faults:
            if isinstance(fault.action, Answer):
                self._record(fault, "answers by itself")
                return fault.action
        return None

    async def _pass_on(self, piece: Head | Body | End, part: str, exchange: _Exchange, sink: _Wire) -> None:
        if isinstance(piece, End):
            return
        here = [fault for fault in exchange.faults if fault.at.part == part and not isinstance(fault.action, Answer)]
        if isinstance(piece, Head):
            for fault in (fault for fault in here if fault.at.at_byte == 0):
                await self._act(fault, exchange, sink, part)
            sink.write(piece.raw)
        else:
            await self._pass_body(piece, here, part, exchange, sink)
        await sink.drained()

    async def _pass_body(self, body: Body, faults: list[BodyFault], part: str, exchange: _Exchange, sink: _Wire) -> None:
        data, at = bytearray(body.data), 0
        for fault in sorted(faults, key=lambda one: one.at.at_byte):
            place = fault.at.at_byte - body.offset
            if isinstance(fault.action, Corrupt):
                place += fault.action.at
                if 0 <= place < len(data):
                    data[place] ^= fault.action.xor
                    self._record(fault, f"corrupts byte {body.offset + place}")
                continue
            if not 0 <= place < len(data) or fault.at.at_byte == 0:
                continue
            await self._write(bytes(data[at:place]), exchange.rate_bytes_per_s.get(part), sink)
            at = place
            await self._act(fault, exchange, sink, part)
        await self._write(bytes(data[at:]), exchange.rate_bytes_per_s.get(part), sink)

    async def _act(self, fault: BodyFault, exchange: _Exchange, sink: _Wire, part: str) -> None:
        match fault.action:
            case Delay(seconds=seconds):
                self._record(fault, f"waits {seconds:g} s")
                await sink.drained()
                await asyncio.sleep(seconds)
            case Cut():
                self._record(fault, f"cuts at byte {fault.at.at_byte}")
                raise _CutHere
            case Throttle(bytes_per_s=bytes_per_s):
                self._record(fault, f"{bytes_per_s:g} bytes/s from byte {fault.at.at_byte}")
                exchange.rate_bytes_per_s[part] = bytes_per_s
            case Corrupt() | Answer():
                return

    async def _write(self, data: bytes, bytes_per_s: float | None, sink: _Wire) -> None:
        if bytes_per_s is None:
            sink.write(data)
            return
        # Ten pieces a second, or one byte at a time where that is slower.
        step = max(1, int(bytes_per_s / 10))
        for at in range(0, len(data), step):
            sink.write(data[at : at + step])
            await sink.drained()
            await asyncio.sleep(step / bytes_per_s)

    def _record(self, fault: BodyFault, detail: str) -> None:
        if self._observer is not None:
            self._observer.fault(Fired(fault.name, "", detail))


def _spelled(answer: Answer) -> bytes:
    body = answer.body.encode()
    reason = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else ""
    headers = [*answer.headers, ("Content-Length", str(len(body))), ("Connection", "close")]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {answer.status} {reason}\r\n{lines}\r\n".encode("latin-1") + body
