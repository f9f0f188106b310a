"""Measures the serial line beside what people read it with otherwise: log lines, answers to commands, and many boards in one process.

The boards are a process of their own; what is measured is this one: how much a second, and its processor time for each, which other users
of the machine's cores disturb least. The peers read a line and do nothing with it; ours notes its time and matches it against patterns, and
on the link it checks, acknowledges and numbers, with four lines for each answer where a peer's exchange has two.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import serial
import serial_asyncio_fast
from rich.table import Table

from harness.bench.serial.bridge import FramedBridge
from harness.bench.serial.console import Console
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.ports import ConsoleLine, SerialPort
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.errors import BenchError
from simulators.broker.benchmark import Ratio

OURS, READLINE, STREAM = "hil", "pyserial readline", "pyserial-asyncio readline"
LOG_LINES, ANSWERS = "log lines", "answers"
LINES_PER_ANSWER = 4  # command, acknowledgement, result, acknowledgement
ROUNDS = 3
WITHIN_S = 120.0
PATTERNS = {"boot": "Booting v(?P<version>[0-9.]+)", "error": "ERROR (?P<text>.*)"}
QUESTION = b'{"t":"command","n":7,"name":"send_configuration","text":"{}"}\n'


@dataclass(frozen=True, slots=True)
class Figures:
    """What one reader made of the lines or answers of so many boards, each second; processor time is that of the reader's process."""

    what: str
    reader: str
    boards: int
    per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Trial:
    """One reader at one kind of board (`simulators.board.bench_boards`). `read` takes the ports, and how much to read of each."""

    what: str
    reader: str
    kind: str
    read: Callable[[list[str], int], None]


def measure(trial: Trial, count: int, *, boards: int = 1) -> Figures:
    """The best of some rounds: neighbours on the machine only add. `count` is for each board.

    Raises BenchError where the boards do not come up.
    """
    clock, rounds = SystemClock(), []
    with running_boards(trial.kind, boards) as ports:
        for _ in range(ROUNDS):
            began_s, cpu_before_s = clock.monotonic_s(), _cpu_s()
            trial.read(ports, count)
            took_s, cpu_s = clock.monotonic_s() - began_s, _cpu_s() - cpu_before_s
            rounds.append(Figures(trial.what, trial.reader, boards, boards * count / took_s, cpu_s / (boards * count) * 1e6))
    return min(rounds, key=attrgetter("cpu_us"))


def ratios(figures: Iterable[Figures]) -> list[Ratio]:
    """What is promised of the line, as far as the figures reach."""
    at = {(one.what, one.reader, one.boards): one for one in figures}
    found = []
    for (what, reader, boards), one in at.items():
        if reader == OURS:
            lines = LINES_PER_ANSWER if what == ANSWERS else 1
            found.append(Ratio(f"lines per second, {what}, boards: {boards}", lines * one.per_s, 5_000, at_most=False))
    for what, peer, limit in ((LOG_LINES, READLINE, 1 / 10), (LOG_LINES, STREAM, 2.0), (ANSWERS, READLINE, 1.0)):
        if (ours := at.get((what, OURS, 1))) and (theirs := at.get((what, peer, 1))):
            found.append(Ratio(f"CPU, {what}, to {peer}'s", ours.cpu_us / theirs.cpu_us, limit))
    return found


def as_json(figures: list[Figures]) -> str:
    """All figures and ratios."""
    shown = [{**asdict(one), "is_kept": one.is_kept} for one in ratios(figures)]
    return json.dumps({"figures": [asdict(one) for one in figures], "ratios": shown}, indent=1)


def table(figures: Iterable[Figures]) -> Table:
    """The figures for a reader."""
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("what", "reader", "boards", "per second", "CPU each µs"):
        shown.add_column(heading, justify="left" if heading in ("what", "reader") else "right")
    for one in figures:
        shown.add_row(one.what, one.reader, str(one.boards), f"{one.per_s:,.0f}", f"{one.cpu_us:.1f}")
    return shown


@contextmanager
def running_boards(kind: str, count: int) -> Iterator[list[str]]:
    """The ports of so many boards of a kind."""
    with tempfile.TemporaryDirectory(prefix="hil-bench-") as directory:
        command = [sys.executable, "-m", "simulators.board.bench_boards", kind, str(count), directory]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line:
                    raise BenchError(f"the boards {kind!r} did not come up")
                ports: list[str] = json.loads(line)
                yield ports
            finally:
                process.kill()


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# ------------------------------------------------------------------------------------------------ ours


def _console(ports: list[str], count: int) -> None:
    async def read() -> None:
        async with AsyncioSerialLine(SerialPort(ports[0])) as line, asyncio.timeout(WITHIN_S):
            console, all_read = Console(line, patterns=PATTERNS), asyncio.Event()

            def look(seen: ConsoleLine) -> None:
                if seen.number == count:
                    all_read.set()

            console.on_line(look)
            console.listen()
            await line.write(b"%d\n" % count)
            await all_read.wait()

    asyncio.run(read())


class _Results:
    """A BoardWorld that waits for results."""

    def __init__(self) -> None:
        self.results: asyncio.Queue[bytes] = asyncio.Queue()

    def connected(self, about: object) -> None: ...

    def booted(self, about: object) -> None: ...

    def result(self, number: int, command: str, payload: bytes) -> None:
        self.results.put_nowait(payload)

    async def fetch(self, url: str) -> Any:
        raise BenchError(f"nothing is downloaded here, not {url} either")


def _links(ports: list[str], count: int) -> None:
    async def ask(bridge: FramedBridge, world: _Results, deadline_s: float) -> None:
        for _ in range(count):
            await bridge.command("send_configuration", b"{}", deadline_s=deadline_s)
            await world.results.get()

    async def ask_all() -> None:
        deadline_s = asyncio.get_running_loop().time() + WITHIN_S
        async with asyncio.timeout_at(deadline_s), AsyncExitStack() as stack:
            asking = []
            for number, port in enumerate(ports):
                line, world = await stack.enter_async_context(AsyncioSerialLine(SerialPort(port))), _Results()
                bridge = FramedBridge(line, Console(line), world, clock=SystemClock(), entropy=SeededEntropy(number))
                asking.append(ask(await stack.enter_async_context(bridge), world, deadline_s))
            await asyncio.gather(*asking)

    asyncio.run(ask_all())


# ------------------------------------------------------------------------------------------------ the peers


def _readline(ports: list[str], count: int) -> None:
    with serial.Serial(ports[0], 115_200, timeout=WITHIN_S) as port:
        port.write(b"%d\n" % count)
        for _ in range(count):
            port.readline()


def _ask_readline(ports: list[str], count: int) -> None:
    with serial.Serial(ports[0], 115_200, timeout=WITHIN_S) as port:
        for _ in range(count):
            port.write(QUESTION)
            port.readline()


def _stream(ports: list[str], count: int) -> None:
    async def read() -> None:
        reader, writer = await serial_asyncio_fast.open_serial_connection(url=ports[0], baudrate=115_200)
        writer.write(b"%d\n" % count)
        for _ in range(count):
            await reader.readline()
        writer.close()

    asyncio.run(read())


TRIALS = (
    Trial(LOG_LINES, OURS, "chatter", _console),
    Trial(LOG_LINES, READLINE, "chatter", _readline),
    Trial(LOG_LINES, STREAM, "chatter", _stream),
    Trial(ANSWERS, READLINE, "echo", _ask_readline),
    Trial(ANSWERS, OURS, "link", _links),
)
