"""The BoardLink of bridge boards: the pure link on a serial line, and downloads served to the board piece by piece.

What stands between frames is the board's log and goes to its console. What to do with results, and how a URL is fetched, is the world's
business (`ports.BoardWorld`).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.bench.serial import messages
from harness.bench.serial.console import Console
from harness.bench.serial.framing import ConsoleText, CorruptFrame, encode_body
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.link import (
    Arrived,
    Booted,
    ConnectionLost,
    Delivered,
    GaveUp,
    LinkEvent,
    LinkSettings,
    Opened,
    Refused,
)
from harness.bench.serial.link_host import HostEnd, HostState
from harness.bench.serial.ports import BoardSilent, BoardUnreadable, BoardWorld, Download
from harness.clock import Clock
from harness.entropy import Entropy
from harness.errors import BenchError, DriverTimeout, RemoteWireError

_log = logging.getLogger(__name__)

PART_BYTES_MAX = 4_096
ANSWER_S = 30.0  # within which a board takes what it asked for


@dataclass(slots=True)
class _Served:
    """A download on its way to the board: what was read, how far, and the last piece, should the board ask for it again."""

    number: int
    response: Download
    at: int = 0
    last_at: int = -1
    last: dict[str, Any] = field(default_factory=dict)


class FramedBridge:
    """A BoardLink over `line`; opened and closed as an asynchronous context manager. `on_event` sees everything that the link tells.

    `retries` counts the messages to the board that needed more than one try.
    """

    def __init__(
        self,
        line: AsyncioSerialLine,
        console: Console,
        world: BoardWorld,
        *,
        clock: Clock,
        entropy: Entropy,
        settings: LinkSettings | None = None,
        on_event: Callable[[LinkEvent, float], None] | None = None,
    ) -> None:
        self._line, self._console, self._world, self._clock = line, console, world, clock
        self._end = HostEnd(connection=entropy.integer(0, 65_535), settings=settings)
        self._on_event = on_event
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._connected = asyncio.Event()
        self._about: Mapping[str, Any] = {}
        self._last_number = 0
        self._served: _Served | None = None
        self._arrived: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._output: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._stop_listening: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._bytes_received = 0
        self.retries = 0

    async def __aenter__(self) -> "FramedBridge":
        self._stop_listening = [self._line.on_bytes(self._received), self._line.on_gone(self._gone)]
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._write())]
        self._turn()
        return self

    async def __aexit__(self, *_: object) -> None:
        for stop in self._stop_listening:
            stop()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._drop_download()
        for future in self._waiting.values():
            future.cancel()

    async def command(self, name: str, payload: bytes, *, deadline_s: float) -> int:
        await self.wait_connected(deadline_s=deadline_s)
        self._last_number += 1
        number = self._last_number
        await self._deliver(messages.command(number, name, payload), deadline_s)
        return number

    async def wait_connected(self, *, deadline_s: float) -> Mapping[str, Any]:
        seen_before = self._bytes_received
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._connected.wait()
        except TimeoutError as error:
            if self._end.state is HostState.REFUSED:
                raise BenchError("the board speaks another version of the link") from error
            if self._bytes_received == seen_before:
                raise BoardSilent(f"{self._line.port.url}: the port opens, and the board says nothing") from error
            raise BoardUnreadable(f"{self._line.port.url}: the board talks, and nothing of it is a link frame") from error
        return self._about

    async def watch(self) -> None:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _deliver(self, message: dict[str, Any], deadline_s: float) -> None:
        ticket = self._end.send(message, now_s=self._now_s(), deadline_s=deadline_s)
        self._waiting[ticket] = asyncio.get_running_loop().create_future()
        self._turn()
        try:
            await self._waiting[ticket]
        finally:
            del self._waiting[ticket]

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _received(self, data: bytes, at_s: float) -> None:
        self._console.log_raw(data)
        self._bytes_received += len(data)
        for event in self._end.receive(data, at_s):
            self._handle(event, at_s)
        self._turn()

    def _gone(self, problem: BenchError | None) -> None:
        self._connected.clear()
        self._end.reopen()
        if problem is None:
            self._turn()

    def _turn(self) -> None:
        """Does what is due, lets the writer write, and sets the alarm for what is due next."""
        now_s = self._now_s()
        for event in self._end.tick(now_s):
            self._handle(event, now_s)
        output = self._end.take_output()
        if output:
            self._output.put_nowait(output)
        if self._timer is not None:
            self._timer.cancel()
        wake_s = self._end.next_wake_s
        self._timer = None if wake_s is None else asyncio.get_running_loop().call_at(max(wake_s, now_s), self._turn)

    async def _write(self) -> None:
        while True:
            data = await self._output.get()
            with contextlib.suppress(BenchError):  # the port is away: the link sends again when it is back
                await self._line.write(data)

    def _handle(self, event: LinkEvent, at_s: float) -> None:
        if self._on_event is not None:
            self._on_event(event, at_s)
        match event:
            case ConsoleText():
                self._console.feed_text(event, at_s)
            case Opened():
                self._opened(event)
            case Booted():
                self._world.booted(event.about)
            case ConnectionLost() | Refused():
                self._connected.clear()
            case Delivered():
                self._settle(event.ticket, event.tries, None)
            case GaveUp():
                why = "has no room for it" if event.was_busy else "does not acknowledge it"
                self._settle(event.ticket, event.tries, DriverTimeout(f"after {event.tries} tries the board still {why}"))
            case Arrived():
                self._arrived.put_nowait(event.message)

    def _opened(self, event: Opened) -> None:
        self._last_number = max(self._last_number, event.done)
        self._about = event.about
        self._connected.set()
        self._world.connected(event.about)
        self._say(messages.time_message(self._clock.utc_s()))

    def _settle(self, ticket: int, tries: int, problem: BenchError | None) -> None:
        self.retries += tries > 1
        future = self._waiting.get(ticket)
        if future is not None and not future.done():
            future.set_exception(problem) if problem else future.set_result(None)

    def _say(self, message: dict[str, Any]) -> None:
        """Sends what nobody waits for."""
        now_s = self._now_s()
        self._end.send(message, now_s=now_s, deadline_s=now_s + ANSWER_S)
        self._turn()

    async def _work(self) -> None:
        while True:
            message = await self._arrived.get()
            try:
                await self._answer(message)
            except Exception:
                _log.exception("the bench tripped over the board's message %r", message)
                raise  # A result that is not heard would read as one that never came: whoever watches the link ends the run.

    async def _answer(self, message: dict[str, Any]) -> None:
        try:
            wish = messages.read_from_board(message)
        except RemoteWireError as error:
            if self._on_event is not None:
                self._on_event(CorruptFrame(error.raw, error.problem), self._now_s())
            return
        match wish:
            case messages.Result():
                self._world.result(wish.number, wish.command, wish.payload)
            case messages.Fetch():
                await self._fetch(wish)
            case messages.More():
                await self._more(wish)
            case messages.Stop():
                await self._drop_download()
            case messages.ClockWanted():
                self._say(messages.time_message(self._clock.utc_s()))

    async def _fetch(self, wish: messages.Fetch) -> None:
        if self._served is not None and self._served.number == wish.number:
            return  # a copy: the answer is on its way
        await self._drop_download()
        response = await self._world.fetch(wish.url)
        self._served = _Served(wish.number, response)
        self._say(messages.body(wish.number, status=response.status, size_bytes=response.size_bytes))

    async def _more(self, wish: messages.More) -> None:
        served = self._served
        if served is None or served.number != wish.number:
            self._say(messages.end(wish.number, at=wish.at, is_complete=False))
            return
        if wish.at == served.last_at:
            self._say(served.last)
            return
        size_bytes = min(wish.size_bytes, PART_BYTES_MAX, self._part_bytes_max(served))
        served.last_at, served.last = wish.at, await self._next_part(served, size_bytes)
        self._say(served.last)

    def _part_bytes_max(self, served: _Served) -> int:
        """How many bytes of a download fit into one message that this board takes: three for each four characters of base64."""
        empty = messages.part(served.number, at=served.at, data=b"")
        return (self._end.message_bytes_max - len(encode_body(empty))) // 4 * 3

    async def _next_part(self, served: _Served, size_bytes: int) -> dict[str, Any]:
        is_broken = False
        data = b""
        try:
            data = await served.response.read(size_bytes)
        except (OSError, BenchError, EOFError):
            is_broken = True
        if not data:
            is_complete = not is_broken and served.response.size_bytes in (None, served.at)
            return messages.end(served.number, at=served.at, is_complete=is_complete)
        at, served.at = served.at, served.at + len(data)
        return messages.part(served.number, at=at, data=data)

    async def _drop_download(self) -> None:
        served, self._served = self._served, None
        if served is not None:
            await served.response.close()
