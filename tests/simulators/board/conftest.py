"""A board in QEMU with a world around it, for the tests of emulated boards."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.bench.serial.bridge import FramedBridge
from harness.bench.serial.console import Console
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.ports import SerialPort
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from simulators.board.emulator import Emulator, EmulatorSettings, Machine
from simulators.board.pty_board import PtyBoard

IMAGES = Path(__file__).parents[3] / "simulators" / "board" / "images"
ANSWER_S = 15.0


class Body:
    """A download of these bytes, which may break off after `break_at` of them."""

    def __init__(self, data: bytes, *, status: int = 200, announced: int | None = -1, break_at: int | None = None) -> None:
        self.status, self.size_bytes = status, len(data) if announced == -1 else announced
        self._data, self._at, self._break_at = data, 0, break_at

    async def read(self, size_bytes: int) -> bytes:
        if self._break_at is not None and self._at >= self._break_at:
            raise ConnectionResetError("the test cut it")
        piece = self._data[self._at : self._at + size_bytes]
        self._at += len(piece)
        return piece

    async def close(self) -> None:
        self._data = b""


@dataclass
class World:
    """Hears results, serves `bodies` by the order of the fetches."""

    bodies: list[Body] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    boots: list[Mapping[str, object]] = field(default_factory=list)
    about: Mapping[str, object] = field(default_factory=dict)
    results: "asyncio.Queue[tuple[int, str, dict[str, Any]]]" = field(default_factory=asyncio.Queue)

    def connected(self, about: Mapping[str, object]) -> None:
        self.about = about

    def booted(self, about: Mapping[str, object]) -> None:
        self.boots.append(about)

    def result(self, number: int, command: str, payload: bytes) -> None:
        self.results.put_nowait((number, command, json.loads(payload)))

    async def fetch(self, url: str) -> Body:
        self.urls.append(url)
        return self.bodies.pop(0)


@dataclass
class Bridged:
    """An emulated board, its console, its link, and the world that the link talks to."""

    emulator: Emulator | PtyBoard
    line: AsyncioSerialLine
    console: Console
    bridge: FramedBridge
    world: World

    async def ask(self, command: str, payload: object = None, *, raw: bytes | None = None) -> dict[str, Any]:
        """Sends one command and waits for its result."""
        data = raw if raw is not None else b"" if payload is None else json.dumps(payload).encode()
        number = await self.send(command, data)
        async with asyncio.timeout(ANSWER_S):
            answered, name, result = await self.world.results.get()
        assert (answered, name) == (number, command)
        return result

    async def send(self, command: str, data: bytes = b"") -> int:
        return await self.bridge.command(command, data, deadline_s=asyncio.get_running_loop().time() + ANSWER_S)

    async def sees(self, pattern: str) -> str:
        line = await self.console.wait_for(pattern, deadline_s=asyncio.get_running_loop().time() + ANSWER_S)
        return line.text


@contextlib.asynccontextmanager
async def _powered(emulator: Emulator | PtyBoard, world: World, *, before: bytes = b"") -> AsyncIterator[Bridged]:
    """Opens the line of a board that is plugged in, writes `before`, and lets it run."""
    async with AsyncioSerialLine(SerialPort(emulator.serial_url)) as line:
        await line.write(before)
        console = Console(line)
        async with FramedBridge(line, console, world, clock=SystemClock(), entropy=SeededEntropy(1)) as bridge:
            await emulator.resume()
            await bridge.wait_connected(deadline_s=asyncio.get_running_loop().time() + ANSWER_S)
            yield Bridged(emulator, line, console, bridge, world)


@pytest.fixture
def mps2(tmp_path: Path) -> Callable[[], contextlib.AbstractAsyncContextManager[Bridged]]:
    """Each call gives power to the one board of this test; its flash stays from call to call."""

    @contextlib.asynccontextmanager
    async def on() -> AsyncIterator[Bridged]:
        async with Emulator(EmulatorSettings(Machine.MPS2, tmp_path / "mps2")) as emulator, _powered(emulator, World()) as board:
            yield board

    return on


@pytest.fixture
def pty_board(tmp_path: Path) -> Callable[..., contextlib.AbstractAsyncContextManager[Bridged]]:
    """A board behind a pty, with what `PtyBoard` takes; boards of one test need different names."""

    @contextlib.asynccontextmanager
    async def on(name: str = "board", **options: Any) -> AsyncIterator[Bridged]:
        board = PtyBoard(tmp_path / name, entropy=SeededEntropy(name), **options)
        await board.start()
        try:
            async with _powered(board, World()) as bridged:
                yield bridged
        finally:
            await board.off()

    return on


@pytest.fixture
def powered() -> Callable[..., contextlib.AbstractAsyncContextManager[Bridged]]:
    """What `_powered` is, for boards that a test makes itself."""
    return _powered


@pytest.fixture
def world() -> World:
    """A world that only listens."""
    return World()


@pytest.fixture
def make_world() -> type[World]:
    return World


@pytest.fixture
def body() -> type[Body]:
    return Body


@pytest.fixture
def image() -> Callable[[str], bytes]:
    """The shipped firmware image of a version."""
    return lambda version: (IMAGES / f"app-{version}.bin").read_bytes()
