"""`hil certify device --all` that is killed: nothing of it goes on, no board stays leased, no emulator runs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.bench.serial.inventory import read_inventory
from harness.bench.serial.leases import Lease
from harness.bench.serial.ports import PortBusy

ROOT = Path(__file__).parents[3]
BOARD = '[[boards]]\nname = "{name}"\nemulator = "{emulator}"\ndevice = "{device}"\npower.method = "emulator"\n'
BOARDS = ("board-0", "board-1")
WITHIN_S = 60


def until(is_so: Callable[[], bool]) -> None:
    """Looks again and again: what other processes do is told to nobody."""
    deadline_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not come true in time"
        time.sleep(0.05)


def processes_of(leases: Path) -> dict[int, str]:
    """The processes that have this lease directory in their environment, and what they run."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if os.fsencode(leases) in (process / "environ").read_bytes():
                    found[int(process.name)] = (process / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            except OSError:
                continue  # it has ended meanwhile
    return found


def is_free(identity: str, leases: Path) -> bool:
    try:
        with Lease(identity, directory=leases):
            return True
    except PortBusy:
        return False


def is_under_way(log: Path) -> bool:
    """Whether a first scenario has ended there."""
    return log.exists() and b"[  1/" in log.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("emulator", ["pty", pytest.param("mps2-an385", marks=pytest.mark.qemu)])
def test_a_killed_bench_leaves_no_process_no_lease_and_no_emulator(tmp_path: Path, emulator: str) -> None:
    leases, inventory, out = tmp_path / "leases", tmp_path / "boards.toml", tmp_path / "out"
    device = ROOT / "fixtures" / "boards" / "pty.toml"
    inventory.write_text("\n".join(BOARD.format(name=name, emulator=emulator, device=device) for name in BOARDS))
    identities = [board.identity for board in read_inventory(inventory).boards]
    command = [sys.executable, "-m", "harness.cli", "certify", "device", "--inventory", str(inventory), "--all", "-j", "2"]
    bench = subprocess.Popen(
        [*command, "--seed", "1", "--out", str(out)], stderr=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "HIL_LEASE_DIR": str(leases)}
    )
    try:
        until(lambda: all(is_under_way(out / f"{board}.log") for board in BOARDS))
        assert not any(is_free(identity, leases) for identity in identities)
        bench.send_signal(signal.SIGKILL)
        bench.wait()
        until(lambda: not processes_of(leases))
    finally:
        for process in (bench.pid, *processes_of(leases)):
            if bench.returncode is None or process != bench.pid:
                os.kill(process, signal.SIGKILL)

    assert all(is_free(identity, leases) for identity in identities)
    assert [json.loads((out / board / "report.json").read_text())["verdict"] for board in BOARDS] == ["aborted", "aborted"]
