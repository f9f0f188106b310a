"""A process that shares a bench: takes boards of one inventory as they become free, configures each with its own mark, and reads it back.

Arguments: inventory, state directory, mark, how many boards to serve. Prints one JSON line for each board served.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from harness.bench.serial.board import open_board
from harness.bench.serial.inventory import BoardEntry, read_inventory
from harness.bench.serial.ports import PortBusy
from harness.clock import SystemClock
from harness.entropy import SeededEntropy

ROUNDS = 10


class Listener:
    def __init__(self) -> None:
        self.results: asyncio.Queue[tuple[int, dict[str, Any]]] = asyncio.Queue()

    def connected(self, about: object) -> None: ...

    def booted(self, about: object) -> None: ...

    def result(self, number: int, command: str, payload: bytes) -> None:
        self.results.put_nowait((number, json.loads(payload)))

    async def fetch(self, url: str) -> Any:
        raise AssertionError("nothing is downloaded here")


async def serve(entry: BoardEntry, state: Path, mark: str) -> dict[str, Any]:
    world = Listener()
    options: dict[str, Any] = {"clock": SystemClock(), "entropy": SeededEntropy(mark), "state": state, "world": world, "holder": mark}
    async with open_board(entry, **options) as board:
        seen = []
        for number in range(ROUNDS):
            for command, data in (("configuration", {"mark": mark, "board": entry.name, "round": number}), ("send_configuration", {})):
                deadline_s = asyncio.get_running_loop().time() + 30
                sent = await board.link.command(command, json.dumps(data).encode(), deadline_s=deadline_s)
                answered, result = await asyncio.wait_for(world.results.get(), 30)
                assert sent == answered
            seen.append(result["configuration"])
        return {"board": entry.name, "mark": mark, "seen": seen, "retries": board.link.retries}


async def main(inventory: Path, state: Path, mark: str, count: int) -> None:
    boards = list(read_inventory(inventory).boards)
    boards = boards if mark == "first" else boards[::-1]
    limit = asyncio.Semaphore(4)

    async def one(entry: BoardEntry) -> None:
        async with limit:
            try:
                print(json.dumps(await serve(entry, state, mark)), flush=True)
            except PortBusy as busy:
                print(json.dumps({"board": entry.name, "mark": mark, "busy": str(busy)}), flush=True)

    await asyncio.gather(*(one(entry) for entry in boards[:count]))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
