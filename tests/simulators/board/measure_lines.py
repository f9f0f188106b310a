"""Measures what the bench takes: lines per second over pseudo terminals, and commands per second of many pty boards in one process.

Run it by hand: .venv/bin/python tests/simulators/board/measure_lines.py [boards]
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness.bench.serial.bridge import FramedBridge
from harness.bench.serial.console import Console
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.ports import SerialPort
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from simulators.board.pty_board import PtyBoard

LINES = 50_000
ROUNDS = 10


class Quiet:
    def __init__(self) -> None:
        self.results: asyncio.Queue[bytes] = asyncio.Queue()

    def connected(self, about: object) -> None: ...

    def booted(self, about: object) -> None: ...

    def result(self, number: int, command: str, payload: bytes) -> None:
        self.results.put_nowait(payload)

    async def fetch(self, url: str) -> Any: ...


async def lines_per_s(directory: Path) -> float:
    board = PtyBoard(directory / "chatter", entropy=SeededEntropy(1), talks=False)
    await board.start()
    async with AsyncioSerialLine(SerialPort(str(directory / "chatter"))) as line:
        console = Console(line, patterns={"boot": "Booting v(?P<version>[0-9.]+)", "error": "ERROR (?P<text>.*)"})
        console.listen()
        started = time.perf_counter()
        for number in range(0, LINES, 50):
            board._write(b"".join(b"I (%d) sensor: temperature 21.5 C, supply 3.30 V, rssi -61\r\n" % (number + k) for k in range(50)))
            await asyncio.sleep(0)
        while console.last_number < LINES:
            await asyncio.sleep(0.001)
        took_s = time.perf_counter() - started
    await board.off()
    return LINES / took_s


async def commands_per_s(directory: Path, boards: int) -> float:
    async def one(number: int, ready: asyncio.Barrier) -> None:
        path = directory / f"board-{number}"
        async with PtyBoard(path, entropy=SeededEntropy(number)), AsyncioSerialLine(SerialPort(str(path))) as line:
            world = Quiet()
            async with FramedBridge(line, Console(line), world, clock=SystemClock(), entropy=SeededEntropy(number)) as bridge:
                deadline_s = asyncio.get_running_loop().time() + 60
                await bridge.wait_connected(deadline_s=deadline_s)
                await ready.wait()
                for _ in range(ROUNDS):
                    await bridge.command("send_configuration", b"{}", deadline_s=deadline_s)
                    await world.results.get()
                await ready.wait()

    ready = asyncio.Barrier(boards + 1)
    jobs = [asyncio.create_task(one(number, ready)) for number in range(boards)]
    await ready.wait()
    started = time.perf_counter()
    await ready.wait()
    took_s = time.perf_counter() - started
    await asyncio.gather(*jobs)
    return boards * ROUNDS / took_s


async def main(boards: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        figures = {"lines_per_s": round(await lines_per_s(Path(directory)))}
        figures |= {"boards": boards, "commands_per_s": round(await commands_per_s(Path(directory), boards))}
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
