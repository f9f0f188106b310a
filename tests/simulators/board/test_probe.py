"""`hil board probe`: five kinds of trouble are five different sentences, and status 3; a board that works is introduced."""

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from harness.bench.serial.framing import encode_frame
from harness.bench.serial.leases import Lease
from harness.bench.serial.probe import Look, looks_like
from harness.entropy import SeededEntropy
from simulators.board.pty_board import PtyBoard
from simulators.board.serial_faults import LineFaults

BOARDS = Path(__file__).parents[3] / "fixtures" / "boards" / "boards.toml"


@contextlib.contextmanager
def plugged_in(path: Path, **options: object) -> Iterator[str]:
    """A pty board that lives on a loop of its own, as a board beside this machine would."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    board = PtyBoard(path, entropy=SeededEntropy(1), **options)
    for step in (board.start(), board.resume()):
        asyncio.run_coroutine_threadsafe(step, loop).result(5)
    try:
        yield str(path)
    finally:
        asyncio.run_coroutine_threadsafe(board.off(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


def hil(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HIL_LEASE_DIR": str(tmp_path / "leases"), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", "board", *arguments], capture_output=True, text=True, env=environment, timeout=60
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[str]:
    """A port that another program has open for itself alone, as pyserial and its like do it."""
    master, slave = os.openpty()
    tty.setraw(slave)
    fcntl.flock(slave, fcntl.LOCK_EX)
    try:
        yield os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


@contextlib.contextmanager
def leased(path: Path) -> Iterator[str]:
    with plugged_in(path) as url, Lease(str(path.resolve()), holder="another job", directory=path.parent / "leases"):
        yield url


TROUBLES = {
    "absent": (lambda path: contextlib.nullcontext(str(path)), "no such port: "),
    "locked": (locked, "busy port: another program has "),
    "leased": (leased, "busy port: "),
    "silent": (partial(plugged_in, talks=False), "silent board: "),
    "garbled": (partial(plugged_in, chatter_s=0.1, faults=LineFaults(garbled=0.4)), "garbled line: "),
    "wrong baud": (partial(plugged_in, faults=LineFaults(baud=57_600)), "wrong baud rate: "),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", TROUBLES)
def test_each_kind_of_trouble_is_one_sentence_of_its_own_and_status_3(tmp_path: Path, kind: str) -> None:
    trouble, sentence = TROUBLES[kind]
    with trouble(tmp_path / "tty") as url:
        done, port = hil(tmp_path, "probe", url), str(Path(url).resolve())
    (said,) = done.stderr.splitlines()

    assert (done.returncode, done.stdout) == (3, "")
    assert said.startswith(f"hil: {sentence}")
    assert url in said or port in said
    if kind == "leased":
        assert f"is leased by process {os.getpid()} (another job)" in said
    if kind == "wrong baud":
        assert "is set to 115200, and the board is readable at 57600" in said


@pytest.mark.slow
def test_a_board_that_works_is_introduced(tmp_path: Path) -> None:
    with plugged_in(tmp_path / "tty") as url:
        done = hil(tmp_path, "probe", url)
    assert done.returncode == 0
    assert "frames of the board link at 115200 baud" in done.stdout
    assert "model: pty-board" in done.stdout


@pytest.mark.qemu
@pytest.mark.slow
def test_the_emulated_board_of_the_shipped_inventory_is_introduced(tmp_path: Path) -> None:
    done = hil(tmp_path, "probe", "--inventory", str(BOARDS), "--board", "mps2")
    assert done.returncode == 0, done.stderr
    assert "slot: factory" in done.stdout
    assert "Booting v1.0.0 on mps2-an385" in done.stdout


@pytest.mark.slow
def test_the_console_prints_lines_with_their_time(tmp_path: Path) -> None:
    with plugged_in(tmp_path / "tty", chatter_s=0.1) as url:
        done = hil(tmp_path, "console", url, "--seconds", "0.5", "--raw", str(tmp_path / "raw"))
    assert done.returncode == 0, done.stderr
    assert "| adc: 17 mV, supply 3.3 V" in done.stdout
    assert b"adc: 17 mV" in (tmp_path / "raw").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_console_that_is_interrupted_ends_well(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "HIL_LEASE_DIR": str(tmp_path / "leases")}
    command = [sys.executable, "-m", "harness.cli", "board", "console", "--inventory", str(BOARDS), "--board", "python"]
    console = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert "| Booting v1.0.0 on pty-board" in console.stdout.readline()
    console.send_signal(number)
    _, errors = console.communicate(timeout=60)
    assert (console.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("probe", "/dev/ttyNONE", "--baud", "0"), "--baud"),
        (("console", "/dev/ttyNONE", "--seconds", "-1"), "--seconds"),
        (("console", "/dev/ttyNONE", "--raw", "/nowhere/raw"), "--raw: '/nowhere/raw' cannot be written"),
        (("init", "--out", "/nowhere/boards.toml"), "--out: '/nowhere/boards.toml' cannot be written"),
        (("init", "--name", "a b"), "--name: 'a b': letters, digits"),
        (("probe",), "which board?"),
    ],
)
@pytest.mark.slow
def test_a_mistake_of_the_user_is_one_line_and_status_2(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    done = hil(tmp_path, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_micropython_board_can_be_looked_at_without_an_inventory(tmp_path: Path) -> None:
    assert "no such port" in hil(tmp_path, "probe", "/dev/ttyNONE", "--link", "raw-repl").stderr


@pytest.mark.slow
def test_list_only_looks(tmp_path: Path) -> None:
    done = hil(tmp_path, "list", "--inventory", str(BOARDS))
    assert done.returncode == 0
    assert "mps2: emulated, mps2-an385" in done.stdout


@pytest.mark.slow
def test_init_writes_a_file_once(tmp_path: Path) -> None:
    out = str(tmp_path / "boards.toml")
    assert hil(tmp_path, "init", "--out", out, "--url", "/dev/ttyACM0").returncode == 0
    again = hil(tmp_path, "init", "--out", out)
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.slow
def test_a_board_that_is_not_named_is_a_usage_error(tmp_path: Path) -> None:
    done = hil(tmp_path, "probe", "--inventory", str(BOARDS))
    assert done.returncode == 2
    assert "mps2, python, microbit, netduino" in done.stderr


@pytest.mark.parametrize(
    ("data", "look"),
    [
        (b"", Look.NOTHING),
        (b"\x00\x00", Look.NOTHING),
        (b"Booting v1.0.0\r\n", Look.TEXT),
        (b"Booting" + encode_frame({"k": "boot"}), Look.LINK),
        (b"\xff\x80\xe1" * 5, Look.NOISE),
        (encode_frame({"k": "boot"})[:-3] + b"x\n", Look.NOISE),
    ],
)
def test_bytes_are_judged_by_what_they_are(data: bytes, look: Look) -> None:
    assert looks_like(data) is look
