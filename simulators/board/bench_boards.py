"""The boards of the serial bench, in a process of their own, behind pseudo terminals.

Run as `python -m simulators.board.bench_boards KIND COUNT DIRECTORY`; prints the ports as one JSON line when they stand, and serves until
it is killed. Kinds: `chatter` prints as many log lines as the number in a line that it gets, `echo` answers a line with a line, `link`
is a PtyBoard.
"""

import asyncio
import json
import os
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from harness.entropy import SeededEntropy
from simulators.board.pty_board import PtyBoard

LOG_LINE = b"I (123456) sensor: temperature 21.5 C, supply 3.30 V, rssi -61\r\n"
ANSWER = b'{"t":"result","n":7,"name":"send_configuration","text":"{\\"success\\":true}"}\n'
LINES_AT_A_TIME = 50
Answers = Callable[[bytes], Iterator[bytes]]


def chatter(request: bytes) -> Iterator[bytes]:
    """As many log lines as the request says."""
    missing = int(request)
    while missing > 0:
        yield LOG_LINE * min(missing, LINES_AT_A_TIME)
        missing -= LINES_AT_A_TIME


def echo(request: bytes) -> Iterator[bytes]:
    """One line, whatever is asked."""
    yield ANSWER


def _serve(master: int, answers: Answers) -> None:
    kept = b""
    while True:
        *requests, kept = (kept + os.read(master, 65_536)).split(b"\n")
        for request in requests:
            for answer in answers(request):
                while answer:
                    answer = answer[os.write(master, answer) :]


def _terminals(count: int, answers: Answers) -> list[str]:
    """Bare terminals, each with a thread; their slaves stay open here, so that a reader may come and go."""
    ports = []
    for _ in range(count):
        master, slave = os.openpty()
        tty.setraw(slave)
        threading.Thread(target=_serve, args=(master, answers), daemon=True).start()
        ports.append(os.ttyname(slave))
    return ports


async def _serve_boards(count: int, directory: Path) -> None:
    async with AsyncExitStack() as stack:
        boards = [PtyBoard(directory / f"board-{number}", entropy=SeededEntropy(number)) for number in range(count)]
        for board in boards:
            await stack.enter_async_context(board)
        _tell([board.serial_url for board in boards])
        await asyncio.Event().wait()


def _tell(ports: list[str]) -> None:
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()


def main(kind: str, count: int, directory: Path) -> None:
    """Serves boards of one kind."""
    if kind == "link":
        asyncio.run(_serve_boards(count, directory))
        return
    _tell(_terminals(count, {"chatter": chatter, "echo": echo}[kind]))
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
