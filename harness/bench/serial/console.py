"""The board's console: bytes into lines with their time, lines into events by declared patterns, and the raw bytes as evidence."""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import BinaryIO

from harness.bench.serial.framing import ConsoleText
from harness.bench.serial.ports import ConsoleEvent, ConsoleLine, SerialLine
from harness.errors import DriverTimeout

LINES_KEPT = 10_000
LINE_BYTES_MAX = 4_096
SHOWN_LINES = 5


class LineSplitter:
    """Cuts a stream at line ends, at any split. A line of more than `line_bytes_max` bytes comes in pieces of so many."""

    def __init__(self, *, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._kept = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes completed, without their ends; empty lines are left out."""
        *whole, last = (self._kept + data).split(b"\n")
        *cut, self._kept = self._pieces(last)
        pieces = [piece for line in whole for piece in self._pieces(line)] + cut
        return [line for line in (piece.rstrip(b"\r") for piece in pieces) if line]

    def _pieces(self, line: bytes) -> list[bytes]:
        size = self._line_bytes_max
        return [line[start : start + size] for start in range(0, len(line), size)] or [b""]

    @property
    def unfinished(self) -> bytes:
        """What has no end yet: a prompt, or a line that was cut."""
        return self._kept


class Console:
    """The board's log: lines with their time, and events.

    `patterns` maps an event's name to a regular expression, searched in the text of each line. `raw_log` gets every byte.
    """

    def __init__(self, line: SerialLine, *, patterns: Mapping[str, str] | None = None, raw_log: BinaryIO | None = None) -> None:
        self._line = line
        self._patterns = {name: re.compile(pattern) for name, pattern in (patterns or {}).items()}
        self._raw_log = raw_log
        self._splitter = LineSplitter()
        self._lines: deque[ConsoleLine] = deque(maxlen=LINES_KEPT)
        self._count = 0
        self._line_listeners: list[Callable[[ConsoleLine], None]] = []
        self._event_listeners: list[Callable[[ConsoleEvent], None]] = []

    def listen(self) -> Callable[[], None]:
        """Takes the line's bytes from now on, all of them; returns what ends that. For boards whose whole line is console."""
        return self._line.on_bytes(self.feed)

    @property
    def lines(self) -> tuple[ConsoleLine, ...]:
        """The last ones, oldest first."""
        return tuple(self._lines)

    @property
    def last_number(self) -> int:
        """The number of the last line; what comes next has a higher one."""
        return self._count

    @property
    def unfinished(self) -> bytes:
        return self._splitter.unfinished

    def feed(self, data: bytes, at_s: float) -> None:
        """Bytes of the console."""
        self.log_raw(data)
        for raw in self._splitter.feed(data):
            self._add(raw, at_s)

    def feed_text(self, text: ConsoleText, at_s: float) -> None:
        """Text that a deframer found between frames (the raw log has had its bytes already)."""
        self._add(text.raw, at_s)

    def log_raw(self, data: bytes) -> None:
        """Appends to the raw log, which is the evidence."""
        if self._raw_log is not None:
            self._raw_log.write(data)
            self._raw_log.flush()

    def on_line(self, listener: Callable[[ConsoleLine], None]) -> Callable[[], None]:
        """Hands each new line to `listener`; returns what ends that."""
        self._line_listeners.append(listener)
        return lambda: self._line_listeners.remove(listener)

    def on_event(self, listener: Callable[[ConsoleEvent], None]) -> Callable[[], None]:
        """Hands each line that matches a pattern to `listener`, as an event; returns what ends that."""
        self._event_listeners.append(listener)
        return lambda: self._event_listeners.remove(listener)

    async def write(self, data: bytes) -> None:
        await self._line.write(data)

    async def wait_for(self, pattern: str | re.Pattern[str], *, deadline_s: float, after_line: int = 0) -> ConsoleLine:
        """The first line with a number above `after_line` that matches. Raises DriverTimeout, which shows the last lines."""
        wanted = re.compile(pattern)
        found: asyncio.Future[ConsoleLine] = asyncio.get_running_loop().create_future()

        def look(line: ConsoleLine) -> None:
            if line.number > after_line and wanted.search(line.text) and not found.done():
                found.set_result(line)

        for line in self._lines:
            look(line)
        stop = self.on_line(look)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline_s):
                    return await found
        finally:
            stop()
        raise DriverTimeout(f"no console line matched {wanted.pattern!r}; the last ones were: {self._shown()}")

    def _shown(self) -> str:
        shown = [repr(line.text) for line in list(self._lines)[-SHOWN_LINES:]]
        return ", ".join(shown) or "none at all"

    def _add(self, raw: bytes, at_s: float) -> None:
        self._count += 1
        line = ConsoleLine(self._count, at_s, raw)
        self._lines.append(line)
        for listener in list(self._line_listeners):
            listener(line)
        for event in self._events(line):
            for event_listener in list(self._event_listeners):
                event_listener(event)

    def _events(self, line: ConsoleLine) -> list[ConsoleEvent]:
        matches = ((name, pattern.search(line.text)) for name, pattern in self._patterns.items())
        return [ConsoleEvent(name, line, match.groupdict(default="")) for name, match in matches if match]
