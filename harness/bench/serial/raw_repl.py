"""MicroPython's raw REPL as a link: each command is a call of a function on the board, and what the board prints is its result.

The protocol (docs.micropython.org, "raw mode"): Ctrl-A enters, the board prompts with `>`; code and Ctrl-D are answered by `OK`, what the
code printed, 0x04, its exception, 0x04 and `>`. There is no checksum, and the receive ring of small boards is short: what is written is
paced, the code of a command counts what arrived of it, and what comes back is one JSON object or it is asked for again. The agent on the
board takes each command number once, so asking again is harmless.

`RawRepl` is the pure part; `RawReplLink` is the BoardLink.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.bench.serial.console import Console
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.ports import BoardSilent, BoardUnreadable, BoardWorld
from harness.errors import BenchError, DriverTimeout, LocalWireError
from harness.wire.commands import REBOOT

ENTER = b"\r\x03\x03\x01"  # stop what runs, twice, and enter raw mode
EXECUTE = b"\x04"
ENTERED = b"raw REPL; CTRL-B to exit\r\n>"
ANSWER_S = 3.0
ENTER_S = 2.0
PAYLOAD_BYTES_MAX = 1_024
_LENGTH_WEIGHT = 65_536  # a lost NUL changes no sum
CODE_REBOOT = "import microbit\nmicrobit.reset()"


@dataclass(frozen=True, slots=True)
class Executed:
    """What a piece of code printed, and its exception's text (empty if there was none)."""

    output: bytes
    error: bytes


class RawRepl:
    """Reads what a board in raw mode says. Feed it bytes; ask it for what it made of them."""

    def __init__(self) -> None:
        self._kept = b""
        self.is_entered = False

    def feed(self, data: bytes) -> None:
        self._kept += data
        if ENTERED in self._kept:
            self.is_entered = True
            self._kept = self._kept.rpartition(ENTERED)[2]

    def start(self) -> None:
        """Forgets everything: raw mode is entered anew."""
        self._kept, self.is_entered = b"", False

    def take_executed(self) -> Executed | None:
        """The end of the execution that is under way, if it has come."""
        parts = self._kept.split(EXECUTE, 2)
        if len(parts) < 3 or not parts[2].startswith(b">"):
            return None
        self._kept = parts[2][1:]
        return Executed(parts[0].partition(b"OK")[2], parts[1])

    @property
    def unread(self) -> bytes:
        return self._kept


def compact(source: str) -> str:
    """Python text without comments and empty lines, indented by one blank a level: a small board compiles it in its heap."""
    lines = [line.rstrip() for line in source.splitlines()]
    kept = [line for line in lines if line.strip() and not line.strip().startswith("#")]
    return "\n".join(" " * ((len(line) - len(line.lstrip())) // 4) + line.lstrip() for line in kept)


def call(number: int, name: str, payload: bytes) -> str:
    """The code that executes a command and prints its result; nothing, where a byte of the command was lost on its way."""
    total = number + sum(name.encode()) + sum(payload) + len(payload) * _LENGTH_WEIGHT
    is_whole = f"_c[0]+sum(bytes(_c[1],'utf-8'))+sum(_c[2])+len(_c[2])*{_LENGTH_WEIGHT}=={total}"
    # No function of its own: a micro:bit's stack has no room for one more frame.
    return f"_c=({number},{name!r},{payload!r})\nprint(run(_c[0],_c[1],_c[2])if {is_whole} else'')"


class RawReplLink:
    """A BoardLink over the raw REPL; opened and closed as an asynchronous context manager. `agent` is the Python text for the board."""

    def __init__(self, line: AsyncioSerialLine, console: Console, world: BoardWorld, *, agent: str) -> None:
        self._line, self._console, self._world = line, console, world
        self._agent = compact(agent)
        self._repl = RawRepl()
        self._heard = asyncio.Event()
        self._turn = asyncio.Lock()
        self._is_ready = asyncio.Event()
        self._has_restarted = asyncio.Event()
        self._last_number = 0
        self._task: asyncio.Task[None] | None = None
        self._problem: BenchError | None = None
        self._bytes_received = 0

    async def __aenter__(self) -> "RawReplLink":
        self._stop = self._line.on_bytes(self._received)
        self._task = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_connected(self, *, deadline_s: float) -> Mapping[str, Any]:
        seen_before = self._bytes_received
        try:
            async with asyncio.timeout_at(deadline_s):
                await self._is_ready.wait()
        except TimeoutError as error:
            if self._bytes_received == seen_before:
                raise BoardSilent(f"{self._line.port.url}: the port opens, and the board says nothing") from error
            raise self._problem or BoardUnreadable(f"{self._line.port.url}: the board talks, and offers no raw REPL") from error
        return {"model": "MicroPython", "done": self._last_number}

    async def watch(self) -> None:
        assert self._task is not None
        await asyncio.wait({self._task})
        self._task.result()

    async def command(self, name: str, payload: bytes, *, deadline_s: float) -> int:
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise LocalWireError(f"a payload of {len(payload)} bytes; a raw REPL takes {PAYLOAD_BYTES_MAX}")
        await self.wait_connected(deadline_s=deadline_s)
        self._last_number += 1
        number = self._last_number
        result = await self._ask(call(number, name, payload), deadline_s)
        self._world.result(number, name, result)
        if name == REBOOT and json.loads(result).get("success"):
            await self._restart()
        return number

    async def _restart(self) -> None:
        self._is_ready.clear()
        async with self._turn:
            await self._line.write(CODE_REBOOT.encode() + EXECUTE)
        self._has_restarted.set()

    async def _work(self) -> None:
        while True:
            await self._prepare()
            await self._has_restarted.wait()
            self._has_restarted.clear()

    async def _prepare(self) -> None:
        """Enters raw mode, loads the agent, learns which command was the last: again and again until it works."""
        while not self._is_ready.is_set():
            try:
                async with self._turn:
                    await self._enter()
                    await self._checked(self._agent)
                    self._last_number = max(self._last_number, int(await self._checked("print(done())")))
            except (BenchError, ValueError) as problem:
                self._problem = problem if isinstance(problem, BenchError) else None
                continue
            self._is_ready.set()
            self._world.booted({})
            self._world.connected({"model": "MicroPython"})

    async def _ask(self, code: str, deadline_s: float) -> bytes:
        """Executes until the answer is a whole JSON object; a garbled one is asked for again."""
        while asyncio.get_running_loop().time() < deadline_s:
            async with self._turn:
                with contextlib.suppress(BenchError, ValueError):
                    answer = (await self._checked(code)).strip()
                    if isinstance(json.loads(answer), dict):
                        return answer
                with contextlib.suppress(BenchError):
                    await self._enter()
        raise DriverTimeout(f"the board did not execute {code[:60]!r} until the deadline")

    async def _enter(self) -> None:
        self._repl.start()
        await self._line.write(ENTER)
        await self._until(lambda: self._repl.is_entered, ENTER_S, "does not enter raw mode")

    async def _checked(self, code: str) -> bytes:
        """Executes code that must not raise. Raises BenchError with the board's own words where it does, DriverTimeout."""
        await self._line.write(code.encode() + EXECUTE)
        found: list[Executed] = []

        def is_over() -> bool:
            executed = self._repl.take_executed()
            found.extend([executed] if executed is not None else [])
            return bool(found)

        await self._until(is_over, ANSWER_S, "does not end what it executes")
        if found[0].error.strip():
            raise BenchError(f"the board refused code: {found[0].error.decode(errors='replace').strip().splitlines()[-1]}")
        return found[0].output

    async def _until(self, is_so: Callable[[], bool], within_s: float, problem: str) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not is_so():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError as error:
            raise DriverTimeout(f"the board {problem}; it said {self._repl.unread[-80:]!r}") from error

    def _received(self, data: bytes, at_s: float) -> None:
        self._bytes_received += len(data)
        self._console.feed(data, at_s)
        self._repl.feed(data)
        self._heard.set()
