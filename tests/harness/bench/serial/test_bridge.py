"""The bridge serves a board what it asks for, in pieces that the board has room for, and goes on hearing it."""

import asyncio
import json

import pytest

from harness.bench.serial.bridge import FramedBridge
from harness.bench.serial.link import Arrived, LinkSettings
from harness.bench.serial.link_board import BoardEnd
from harness.bench.serial.messages import payload_of
from harness.bench.serial.ports import SerialPort
from harness.clock import SystemClock
from harness.entropy import SeededEntropy

FILE = bytes(range(256)) * 8
WITHIN_S = 10.0


class Board:
    """A board at the other end of a line that loses nothing; it fetches a file in pieces of `piece_bytes` and then says that it has it."""

    port = SerialPort("board://")

    def __init__(self, *, body_bytes_max, piece_bytes):
        settings = LinkSettings(body_bytes_max=body_bytes_max)
        self.end = BoardEnd(about={}, accept=lambda message: True, done=lambda: 0, settings=settings)
        self.piece_bytes = piece_bytes
        self.fetched = b""
        self.was_complete = False
        self._hear = None

    def on_bytes(self, listener):
        self._hear = listener
        return lambda: None

    def on_gone(self, listener):
        return lambda: None

    async def write(self, data):
        now_s = asyncio.get_running_loop().time()
        for event in self.end.receive(data, now_s):
            if isinstance(event, Arrived):
                self._answer(event.message, now_s)
        self.say(now_s)

    def say(self, now_s):
        if output := self.end.take_output():
            self._hear(output, now_s)

    def _answer(self, message, now_s):
        match message["t"]:
            case "time":
                self.end.send({"t": "fetch", "n": 1, "url": "http://h/file"}, now_s=now_s)
            case "part":
                self.fetched += payload_of(message)
            case "end":
                self.was_complete = message["complete"]
                self.end.send({"t": "result", "n": 1, "name": "download_firmware", "text": json.dumps({"success": True})}, now_s=now_s)
        if message["t"] in ("body", "part"):
            self.end.send({"t": "more", "n": 1, "at": len(self.fetched), "len": self.piece_bytes}, now_s=now_s)


class Console:
    def log_raw(self, data):
        pass


class World:
    """Serves the file; `heard` is what came of the command."""

    def __init__(self):
        self.heard = asyncio.Event()
        self.status, self.size_bytes, self._left = 200, len(FILE), FILE

    def connected(self, about):
        pass

    def booted(self, about):
        pass

    def result(self, number, command, payload):
        self.heard.set()

    async def fetch(self, url):
        return self

    async def read(self, size_bytes):
        piece, self._left = self._left[:size_bytes], self._left[size_bytes:]
        return piece

    async def close(self):
        pass


@pytest.mark.parametrize(("body_bytes_max", "piece_bytes"), [(8_192, 4_096), (8_192, 100), (600, 384), (200, 4_096)])
def test_a_download_comes_in_pieces_that_the_board_takes_however_many_bytes_it_asks_for(body_bytes_max, piece_bytes):
    board = Board(body_bytes_max=body_bytes_max, piece_bytes=piece_bytes)

    async def story():
        world = World()
        async with FramedBridge(board, Console(), world, clock=SystemClock(), entropy=SeededEntropy(1)):
            async with asyncio.timeout(WITHIN_S):
                await world.heard.wait()

    asyncio.run(story())
    assert (board.fetched, board.was_complete) == (FILE, True)


class StumblingWorld(World):
    """Trips over every result."""

    def result(self, number, command, payload):
        raise RuntimeError("stumbled")


class TalkingBoard(Board):
    """Says a result as soon as it is connected."""

    def _answer(self, message, now_s):
        if message["t"] == "time":
            self.end.send({"t": "result", "n": 1, "name": "status", "text": "{}"}, now_s=now_s)


def test_whoever_watches_the_link_is_told_what_we_tripped_over(caplog):
    board = TalkingBoard(body_bytes_max=8_192, piece_bytes=0)

    async def story():
        async with FramedBridge(board, Console(), StumblingWorld(), clock=SystemClock(), entropy=SeededEntropy(1)) as bridge:
            async with asyncio.timeout(WITHIN_S):
                await bridge.watch()

    with pytest.raises(RuntimeError, match="stumbled"):
        asyncio.run(story())
    assert "'t': 'result'" in caplog.text
