"""Two processes share eight emulated boards by their leases: nobody hears another's board, and who is killed holds nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("bench_process.py")
BOARD = '[[boards]]\nname = "board-{number}"\nemulator = "mps2-an385"\n'
pytestmark = [pytest.mark.qemu, pytest.mark.slow]


@pytest.fixture
def bench(tmp_path: Path):
    inventory = tmp_path / "boards.toml"
    inventory.write_text("\n".join(BOARD.format(number=number) for number in range(8)))
    environment = {**os.environ, "HIL_LEASE_DIR": str(tmp_path / "leases")}

    def start(mark: str, count: int) -> subprocess.Popen[str]:
        arguments = [sys.executable, str(PROGRAM), str(inventory), str(tmp_path / "state"), mark, str(count)]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)

    return start


def served(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return [json.loads(line) for line in output.splitlines()]


def test_eight_boards_and_two_processes_without_cross_talk(bench) -> None:
    first, second = bench("first", 4), bench("second", 4)
    done = served(first) + served(second)
    assert sorted(str(entry["board"]) for entry in done) == [f"board-{number}" for number in range(8)]
    for entry in done:
        assert entry["seen"] == [{"mark": entry["mark"], "board": entry["board"], "round": number} for number in range(10)]


def test_who_finds_a_board_in_use_serves_the_others_and_is_told_who_has_it(bench) -> None:
    holder, rival = bench("first", 8), bench("second", 8)
    done = served(holder) + served(rival)
    assert {entry["board"] for entry in done if "seen" in entry} == {f"board-{number}" for number in range(8)}
    for entry in done:
        assert "seen" in entry or "is leased by process" in str(entry["busy"])


def test_a_killed_process_leaves_neither_a_lease_nor_an_emulator(bench, tmp_path: Path) -> None:
    killed = bench("first", 8)
    assert killed.stdout.readline()  # one board is done, others are at work
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    done = served(bench("second", 4))
    assert [entry for entry in done if "busy" in entry] == []
    assert not emulators_below(tmp_path)


def emulators_below(directory: Path) -> list[str]:
    """Emulators that still run with state in this directory."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            found += [command] if "qemu-system-arm" in command and str(directory) in command else []
    return found
