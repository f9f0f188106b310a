"""Power cuts during firmware updates: many updates, each cut at a moment that the seed decides; each boot must be into a complete image.

A moment is a piece of the download and a delay after it, so that cuts fall into the transfer, into the erasing and writing of flash, and
into the last check. What is judged: after each cut the board comes up, says the version of one of the two images (or the one it started
with), and executes a command.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.bench.serial.board import OpenBoard
from harness.bench.serial.ports import BoardLink
from harness.entropy import Entropy
from harness.errors import BenchError, DriverTimeout, ResourceMissing

DELAY_S_MAX = 0.02
LATE_DELAY_S_MAX = 0.2  # after the last piece: the check, the seal, and the time after it
URL = "http://127.0.0.1/v2/device/download?key=power-cut"


@dataclass(frozen=True, slots=True)
class Moment:
    """When power goes: `delay_s` after the board asked for piece `piece` (0: for the download itself)."""

    piece: int
    delay_s: float


@dataclass(frozen=True, slots=True)
class Cut:
    """One update that was cut, and what the board was afterwards. `problem` is empty where it is well."""

    number: int
    moment: Moment
    before: str
    offered: str
    after: str
    problem: str


@dataclass(slots=True)
class CutWorld:
    """The world of a board whose updates are cut: serves one image, and says when the moment has come."""

    image: bytes = b""
    moment: Moment = Moment(0, 0.0)
    boots: int = 0
    about: Mapping[str, object] = field(default_factory=dict)
    asked: int = 0
    has_come: asyncio.Event = field(default_factory=asyncio.Event)
    has_booted: asyncio.Event = field(default_factory=asyncio.Event)
    results: "asyncio.Queue[int]" = field(default_factory=asyncio.Queue)

    def offer(self, image: bytes, moment: Moment) -> None:
        """Makes the next download this one."""
        self.image, self.moment, self.asked = image, moment, 0
        self.has_come.clear()
        self.has_booted.clear()

    def connected(self, about: Mapping[str, object]) -> None:
        self.about = about

    def booted(self, about: Mapping[str, object]) -> None:
        self.boots += 1
        self.has_booted.set()

    def result(self, number: int, command: str, payload: bytes) -> None:
        self.results.put_nowait(number)

    async def fetch(self, url: str) -> "_Piecewise":
        self._asked()
        return _Piecewise(self.image, self)

    def _asked(self) -> None:
        if self.asked == self.moment.piece:
            self.has_come.set()
        self.asked += 1


class _Piecewise:
    """A download that tells its world about every piece."""

    def __init__(self, data: bytes, world: CutWorld) -> None:
        self.status, self.size_bytes = 200, len(data)
        self._data, self._world = data, world

    async def read(self, size_bytes: int) -> bytes:
        self._world._asked()
        piece, self._data = self._data[:size_bytes], self._data[size_bytes:]
        return piece

    async def close(self) -> None:
        self._data = b""


def draw_moment(entropy: Entropy, pieces: int) -> Moment:
    """A moment of an update of so many pieces; one in four falls after the last of them."""
    if entropy.integer(1, 4) == 1:
        return Moment(pieces + 1, entropy.uniform(0, LATE_DELAY_S_MAX))
    return Moment(entropy.integer(0, pieces), entropy.uniform(0, DELAY_S_MAX))


async def cut_updates(
    board: OpenBoard, world: CutWorld, images: Mapping[str, bytes], *, cuts: int, entropy: Entropy, piece_bytes: int = 3_072
) -> list[Cut]:
    """Cuts that many updates. `images` maps a version to its image, two at least; `world` is the one the board was opened with.

    Raises BenchError where the board cannot be cut off or does not take commands in the first place.
    """
    if board.link is None or board.power is None:
        raise ResourceMissing(f"{board.name}: power-cut tests need a bridge or raw-repl board whose power can be cut")
    await board.link.wait_connected(deadline_s=_now_s() + board.entry.boot_s)
    done: list[Cut] = []
    for number in range(1, cuts + 1):
        before = str(world.about.get("version", ""))
        offered = entropy.choice([version for version in sorted(images) if version != before])
        moment = draw_moment(entropy, -(-len(images[offered]) // piece_bytes))
        world.offer(images[offered], moment)
        problem = await _cut_one(board, board.link, world, moment)
        after = str(world.about.get("version", ""))
        if not problem and after not in (before, offered):
            problem = f"it runs {after}, which is neither the image before ({before}) nor the one that was offered ({offered})"
        done.append(Cut(number, moment, before, offered, after, problem))
    return done


async def _cut_one(board: OpenBoard, link: BoardLink, world: CutWorld, moment: Moment) -> str:
    """One update and its cut; what is wrong with the board afterwards, or nothing."""
    await link.command("download_firmware", f'{{"url":"{URL}"}}'.encode(), deadline_s=_now_s() + board.entry.answer_s)
    try:
        async with asyncio.timeout(board.entry.answer_s):
            await world.has_come.wait()
    except TimeoutError as error:
        raise DriverTimeout(f"{board.name} asked for {world.asked - 1} pieces, not for piece {moment.piece}: no moment to cut") from error
    await asyncio.sleep(moment.delay_s)
    await board.cycle_power(off_s=0.0)
    try:
        async with asyncio.timeout(board.entry.boot_s):
            await world.has_booted.wait()
        await link.wait_connected(deadline_s=_now_s() + board.entry.boot_s)
        await _require_life(board, link, world)
    except (BenchError, TimeoutError) as error:
        return f"no life after the cut: {error or 'it did not boot in time'}"
    return ""


async def _require_life(board: OpenBoard, link: BoardLink, world: CutWorld) -> None:
    number = await link.command("send_configuration", b"{}", deadline_s=_now_s() + board.entry.answer_s)
    async with asyncio.timeout(board.entry.answer_s):
        while await world.results.get() != number:
            pass  # a result from before the cut


def _now_s() -> float:
    return asyncio.get_running_loop().time()
