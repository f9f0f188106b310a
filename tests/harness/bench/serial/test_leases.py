"""Leases: one holder at a time, over processes, and none after a SIGKILL."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench.serial.leases import Lease
from harness.bench.serial.ports import PortBusy
from harness.errors import BenchError

HOLDER = """
import sys
from pathlib import Path
from harness.bench.serial.leases import Lease
lease = Lease("board-1", holder="night run", directory=Path(sys.argv[1]))
lease.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process(tmp_path: Path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_second_holder_is_told_who_has_the_board(tmp_path: Path, other_process) -> None:
    with pytest.raises(PortBusy, match=rf"board-1 is leased by process {other_process.pid} \(night run\)"):
        Lease("board-1", directory=tmp_path).acquire()


@pytest.mark.usefixtures("other_process")
def test_another_board_is_free(tmp_path: Path) -> None:
    with Lease("board-2", directory=tmp_path) as lease:
        assert lease.is_held


def test_a_killed_holder_holds_nothing(tmp_path: Path, other_process) -> None:
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    with Lease("board-1", directory=tmp_path) as lease:
        assert lease.is_held


def test_a_released_lease_can_be_taken_by_those_who_wait(tmp_path: Path) -> None:
    async def story() -> bool:
        first, second = Lease("b", directory=tmp_path), Lease("b", directory=tmp_path)
        first.acquire()
        waiting = asyncio.create_task(second.acquire_until(asyncio.get_running_loop().time() + 10))
        await asyncio.sleep(0)
        first.release()
        await waiting
        return second.is_held

    assert asyncio.run(story())


def test_waiting_for_a_lease_ends_at_the_deadline(tmp_path: Path) -> None:
    async def story() -> None:
        with Lease("b", directory=tmp_path):
            await Lease("b", directory=tmp_path).acquire_until(asyncio.get_running_loop().time() + 0.15)

    with pytest.raises(PortBusy):
        asyncio.run(story())


def test_a_lease_whose_file_was_taken_away_is_lost(tmp_path: Path) -> None:
    with Lease("b", directory=tmp_path) as lease:
        lease.require()
        lease.path.unlink()
        with pytest.raises(BenchError, match="was lost"):
            lease.require()


def test_identities_that_look_alike_are_different_boards(tmp_path: Path) -> None:
    with Lease("/dev/tty-1", directory=tmp_path), Lease("/dev/tty/1", directory=tmp_path) as other:
        assert other.is_held
