"""Power cuts in the middle of firmware updates: the old or the new image boots, never a broken one."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from harness.bench.serial.board import open_board
from harness.bench.serial.inventory import read_inventory
from harness.bench.serial.power_cuts import Cut, CutWorld, cut_updates
from harness.clock import SystemClock
from harness.entropy import SeededEntropy

BOARDS = Path(__file__).parents[3] / "fixtures" / "boards" / "boards.toml"
SEED = 20_261_122


def cuts_of(name: str, tmp_path: Path, images: dict[str, bytes], cuts: int, *, piece_bytes: int = 3_072) -> list[Cut]:
    async def story() -> list[Cut]:
        world = CutWorld()
        entry = read_inventory(BOARDS).board(name)
        async with open_board(entry, clock=SystemClock(), entropy=SeededEntropy(SEED), state=tmp_path, world=world) as board:
            return await cut_updates(board, world, images, cuts=cuts, entropy=SeededEntropy(SEED), piece_bytes=piece_bytes)

    return asyncio.run(story())


@pytest.fixture
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_LEASE_DIR", str(tmp_path / "leases"))


def outcomes(cuts: list[Cut]) -> Counter[str]:
    return Counter("new" if cut.after == cut.offered else "old" for cut in cuts)


@pytest.mark.qemu
@pytest.mark.slow
@pytest.mark.usefixtures("leases")
@pytest.mark.requirement("DEV-12")
def test_twelve_cut_updates_leave_a_complete_image(tmp_path: Path, image) -> None:
    cuts = cuts_of("mps2", tmp_path, {version: image(version) for version in ("1.1.0", "1.2.0")}, 12)
    assert [cut for cut in cuts if cut.problem] == []
    assert len(outcomes(cuts)) == 2  # some were cut too early to be the new one, some too late to be the old one


@pytest.mark.qemu
@pytest.mark.nightly
@pytest.mark.usefixtures("leases")
@pytest.mark.requirement("DEV-12")
def test_a_hundred_cut_updates_leave_a_complete_image(tmp_path: Path, image) -> None:
    cuts = cuts_of("mps2", tmp_path, {version: image(version) for version in ("1.1.0", "1.2.0")}, 100)
    assert [cut for cut in cuts if cut.problem] == []
    assert min(outcomes(cuts).values()) >= 10
