"""One board of the inventory, opened: its lease, its line, its console, its link, its buttons. The strategy that brings them together.

Emulated boards come in through the entry points `hil.emulators`, so that the harness knows no simulator.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import BinaryIO, Protocol

from serial import SerialException, serial_for_url

from harness.bench.serial.bridge import FramedBridge
from harness.bench.serial.buttons import ModemLineReset, ShellPower, ShellReset
from harness.bench.serial.console import Console
from harness.bench.serial.inventory import BoardEntry
from harness.bench.serial.leases import Lease
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.link import LinkEvent, LinkSettings
from harness.bench.serial.ports import BoardLink, BoardWorld, LinkKind, PortAbsent, Power, Reset
from harness.bench.serial.raw_repl import RawReplLink
from harness.bench.serial.usb import plugged_ports, port_of
from harness.clock import Clock
from harness.entropy import Entropy
from harness.errors import ResourceMissing

EMULATOR_GROUP = "hil.emulators"
LINE_BITS_PER_BYTE = 10
PATIENCE = 1.5  # a link waits half as long again as the line needs


class EmulatedBoard(Power, Reset, Protocol):
    """What stands behind the entry points `hil.emulators`: called with (name, state directory, program or None)."""

    serial_url: str

    async def start(self) -> None:
        """Gives it power, stopped before its first instruction."""
        ...

    async def resume(self) -> None:
        """Lets it run."""
        ...


@dataclass(slots=True)
class OpenBoard:
    """One board, opened: what a bench works with.

    `link` is there with a world only, and never for network boards; `reset` and `power` where the inventory names them; `emulator` for
    emulated boards only.
    """

    entry: BoardEntry
    lease: Lease
    line: AsyncioSerialLine
    console: Console
    link: BoardLink | None
    reset: Reset | None
    power: Power | None
    emulator: EmulatedBoard | None

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def kind(self) -> LinkKind:
        return self.entry.link

    async def cycle_power(self, *, off_s: float = 0.2) -> None:
        """Cuts the supply for `off_s` seconds and opens the line again. Raises BenchError where the board has no power port."""
        if self.power is None:
            raise ResourceMissing(f"{self.name}: the inventory names no way to cut its power")
        self.lease.require()
        await self.line.close()
        await self.power.off()
        await asyncio.sleep(off_s)
        await self.power.on()
        if self.emulator is not None:
            self.line.port = self.entry.port(self.emulator.serial_url)
        await self.line.open()
        if self.emulator is not None:
            await self.emulator.resume()


@contextlib.asynccontextmanager
async def open_board(
    entry: BoardEntry,
    *,
    clock: Clock,
    entropy: Entropy,
    state: Path,
    world: BoardWorld | None = None,
    holder: str = "",
    lease: Lease | None = None,
    raw_log: BinaryIO | None = None,
    on_link_event: Callable[[LinkEvent, float], None] | None = None,
    patterns: Mapping[str, str] | None = None,
    prepare: Callable[["OpenBoard"], None] | None = None,
) -> AsyncIterator[OpenBoard]:
    """Leases and opens a board, resets it where it can, and ends everything in the other order.

    `lease` is one that the caller holds, and keeps; without it one is taken here for as long as the board is open. `state` is where an
    emulated board keeps its flash. Without `world` the whole line is console. `prepare` is called before the board
    runs, so that listeners miss nothing. Raises PortBusy, PortAbsent, BenchError.
    """
    async with contextlib.AsyncExitStack() as stack:
        if lease is None:
            lease = stack.enter_context(Lease(entry.identity, holder=holder))
        lease.require()
        emulator = await stack.enter_async_context(_emulated(entry, state)) if entry.emulator else None
        line = await stack.enter_async_context(AsyncioSerialLine(entry.port(emulator.serial_url if emulator else url_of(entry))))
        console = Console(line, patterns={**entry.patterns, **(patterns or {})}, raw_log=raw_log)
        reset = _reset(entry, line, emulator)
        link = await stack.enter_async_context(_link(entry, line, console, world, clock=clock, entropy=entropy, on_event=on_link_event))
        board = OpenBoard(entry, lease, line, console, link, reset, _power(entry, emulator), emulator)
        if prepare is not None:
            prepare(board)
        if emulator is not None:
            await emulator.resume()
        elif reset is not None:
            await reset.reset()
        yield board


def url_of(entry: BoardEntry) -> str:
    """Where the board is now. Raises PortAbsent."""
    if entry.usb is not None:
        return port_of(entry.usb, plugged_ports())
    return entry.url or ""


def device_behind(url: str) -> str:
    """The port behind a pyserial URL as other programs want it (`/dev/ttyACM0` for `hwgrep://…`); the URL itself where none is.

    Raises PortAbsent.
    """
    try:
        return str(serial_for_url(url, do_not_open=True).port)
    except (SerialException, ValueError) as error:
        raise PortAbsent(f"no such port: {url}: {error}") from error


@contextlib.asynccontextmanager
async def _emulated(entry: BoardEntry, state: Path) -> AsyncIterator[EmulatedBoard]:
    emulator = make_emulator(entry, state)
    await emulator.start()
    try:
        yield emulator
    finally:
        await emulator.off()


def make_emulator(entry: BoardEntry, state: Path) -> EmulatedBoard:
    """The emulator that the inventory names, off. Raises ResourceMissing."""
    points = {point.name: point for point in entry_points(group=EMULATOR_GROUP)}
    if entry.emulator not in points:
        raise ResourceMissing(f"no emulator {entry.emulator!r}; there are: {', '.join(sorted(points)) or 'none'}")
    made: EmulatedBoard = points[entry.emulator].load()(entry.name, state / entry.name, entry.program)
    return made


@contextlib.asynccontextmanager
async def _link(
    entry: BoardEntry,
    line: AsyncioSerialLine,
    console: Console,
    world: BoardWorld | None,
    *,
    clock: Clock,
    entropy: Entropy,
    on_event: Callable[[LinkEvent, float], None] | None,
) -> AsyncIterator[BoardLink | None]:
    if world is None or entry.link is LinkKind.NETWORK:
        stop = console.listen()
        yield None
        stop()
        return
    if entry.link is LinkKind.RAW_REPL and entry.agent is not None:
        async with RawReplLink(line, console, world, agent=entry.agent.read_text(encoding="utf-8")) as repl:
            yield repl
        return
    settings = LinkSettings(byte_s=PATIENCE * LINE_BITS_PER_BYTE / entry.baud)
    async with FramedBridge(line, console, world, clock=clock, entropy=entropy, settings=settings, on_event=on_event) as bridge:
        yield bridge


def _reset(entry: BoardEntry, line: AsyncioSerialLine, emulator: EmulatedBoard | None) -> Reset | None:
    match entry.reset.method:
        case "modem-lines":
            return ModemLineReset(line, entry.reset.sequence)
        case "shell":
            return ShellReset(entry.reset)
        case _:
            return emulator


def _power(entry: BoardEntry, emulator: EmulatedBoard | None) -> Power | None:
    return ShellPower(entry.power) if entry.power.method == "shell" else emulator
