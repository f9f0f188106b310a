"""Jobs that share boards by their leases: who finds one in use waits for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench.serial.leases import Lease

ROOT = Path(__file__).parents[3]
BOARDS = ROOT / "fixtures" / "boards"
NAMES = [f"board-{number}" for number in range(8)]
BOARD = '[[boards]]\nname = "{name}"\nemulator = "mps2-an385"\ndevice = "{device}"\nreset.method = "emulator"\npower.method = "emulator"\n'
HIL = [sys.executable, "-m", "harness.cli", "certify", "device"]


def started(leases: Path, *arguments: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "HIL_LEASE_DIR": str(leases)}
    return subprocess.Popen(
        [*HIL, *map(str, arguments)], text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT
    )


@pytest.mark.slow
def test_a_leased_board_is_waited_for(tmp_path: Path) -> None:
    out, leases = tmp_path / "out", tmp_path / "leases"
    with Lease("emulator:pty:pty", holder="a rival", directory=leases) as lease:
        job = started(leases, "--device", BOARDS / "pty.toml", "--only", "DEV-09", "--wait-for-board", "60s", "--out", out)
        with pytest.raises(subprocess.TimeoutExpired):
            job.communicate(timeout=3)
        lease.release()
        _, errors = job.communicate(timeout=120)

    assert job.returncode == 0, errors


@pytest.mark.nightly
@pytest.mark.qemu
@pytest.mark.timeout(1_200)
def test_two_jobs_certify_the_same_eight_boards_in_parallel_without_cross_talk(tmp_path: Path) -> None:
    inventory = tmp_path / "boards.toml"
    inventory.write_text("\n".join(BOARD.format(name=name, device=BOARDS / "mps2.toml") for name in NAMES))
    asked = ("--inventory", inventory, "--all", "-j", 4, "--only", "DEV-08,DEV-09,DEV-10,DEV-12", "--wait-for-board", "15m")
    jobs = [started(tmp_path / "leases", *asked, "--seed", seed, "--out", tmp_path / f"out-{seed}") for seed in (1, 2)]
    ended = [job.communicate(timeout=1_100) for job in jobs]
    devices = {}
    for seed in (1, 2):
        for name in NAMES:
            events = [json.loads(line) for line in (tmp_path / f"out-{seed}" / name / "history.jsonl").read_text().splitlines()]
            devices[seed, name] = {event["device_id"] for event in events if event.get("device_id")}

    assert [job.returncode for job in jobs] == [0, 0], ended
    for seed in (1, 2):
        matrix = json.loads((tmp_path / f"out-{seed}" / "matrix.json").read_text())
        assert [(board["name"], board["verdict"]) for board in matrix["boards"]] == [(name, "pass") for name in NAMES]
    assert all(len(seen) == 1 for seen in devices.values())
