"""`hil certify device` on boards, as its users type it: verdicts per requirement, what is not applicable, and one line where none opens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.bench.serial.leases import Lease
from simulators.board.emulator import MICROPYTHON_HEX

ROOT = Path(__file__).parents[3]
BOARDS = ROOT / "fixtures" / "boards"
FIRMWARE = ROOT / "simulators" / "board" / "firmware"
HIL = [sys.executable, "-m", "harness.cli", "certify", "device"]
OF_THE_BENCH = {f"DEV-{row:02}" for row in (1, 2, 3, 4, 5, 6, 11, 15, 18, 20, 26, 27, 30)}
WITHOUT_DOWNLOADS = {"DEV-12", "DEV-13", "DEV-14", "DEV-16", "DEV-17", "DEV-22", "DEV-23"}
OF_A_BRIDGE_BOARD = {f"DEV-{row:02}" for row in (7, 9, 10, 19, 21, 24, 25, 28, 29)} | WITHOUT_DOWNLOADS
WITHIN_S = 280  # the quick profile's limit is five minutes


@pytest.fixture(autouse=True)
def _own_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_LEASE_DIR", str(tmp_path / "leases"))


def hil(*arguments: object, within_s: float = WITHIN_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HIL, *map(str, arguments)], capture_output=True, text=True, timeout=within_s, check=False, env=dict(os.environ), cwd=ROOT
    )


def certified(name: str, out: Path, *options: str, within_s: float = WITHIN_S) -> tuple[int, dict[str, set[str]], dict[str, object]]:
    """The exit status, the device's rows by verdict, and the report."""
    finished = hil("--device", BOARDS / f"{name}.toml", "--seed", 1, "--out", out, *options, within_s=within_s)
    report = json.loads((out / "report.json").read_text())
    rows: dict[str, set[str]] = {}
    for check in report["checks"]:
        mine = {requirement[:6] for requirement in check["requirements"] if requirement.startswith("DEV-")}
        rows.setdefault(check["verdict"], set()).update(mine)
    return finished.returncode, rows, report


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pty", pytest.param("mps2", marks=pytest.mark.qemu)])
def test_a_board_without_a_network_keeps_every_row_that_applies_to_it(tmp_path: Path, name: str) -> None:
    status, rows, report = certified(name, tmp_path / "out")

    assert (status, report["verdict"]) == (0, "pass")
    assert rows["pass"] >= OF_A_BRIDGE_BOARD
    assert rows["not-applicable"] >= OF_THE_BENCH
    assert not rows["pass"] & OF_THE_BENCH


def test_the_rows_that_would_judge_the_bench_name_the_line_of_the_device_file(tmp_path: Path) -> None:
    planned = hil("--device", BOARDS / "pty.toml", "--plan", "--out", tmp_path / "out")

    reason = '([device.run.serial] link = "bridge": the bench does MQTT and HTTP for this board)'
    ruled_out = [line.split()[:2] for line in planned.stdout.splitlines() if reason in line]
    assert planned.returncode == 0, planned.stderr
    assert {status for status, _ in ruled_out} == {"not-applicable"}
    assert "repeated_publish_has_one_effect" in {check for _, check in ruled_out}


def test_a_board_whose_power_nobody_can_cut_is_not_asked_what_needs_it(tmp_path: Path) -> None:
    text = (BOARDS / "pty.toml").read_text().replace('link = "bridge"', 'link = "network"').replace('power.method = "emulator"', "")
    (tmp_path / "plain.toml").write_text(text)
    planned = hil("--device", tmp_path / "plain.toml", "--plan", "--out", tmp_path / "out").stdout

    reason = '([device.run.serial] power.method = "none": the harness cannot cut the device\'s power)'
    assert f"token_is_not_on_the_console  {reason}" in planned


def test_a_board_with_a_network_of_its_own_is_asked_every_row(tmp_path: Path) -> None:
    text = (BOARDS / "pty.toml").read_text().replace('link = "bridge"', 'link = "network"')
    (tmp_path / "network.toml").write_text(text)

    assert "the bench does MQTT" not in hil("--device", tmp_path / "network.toml", "--plan", "--out", tmp_path / "out").stdout


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ('url = "/dev/ttyNONE"', "hil: no such port: /dev/ttyNONE (is the board plugged in? `hil board list` shows what is)"),
        ('emulator = "nothing"', "hil: no emulator 'nothing'; there are: "),
    ],
)
def test_a_board_that_cannot_be_opened_is_one_line_and_status_3(tmp_path: Path, place: str, sentence: str) -> None:
    text = (BOARDS / "pty.toml").read_text().replace('emulator = "pty"', place).replace('power.method = "emulator"\n', "")
    (tmp_path / "board.toml").write_text(text)

    finished = hil("--device", tmp_path / "board.toml", "--out", tmp_path / "out")

    assert finished.returncode == 3
    assert finished.stderr.startswith(sentence)
    assert finished.stderr.count("\n") == 1


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    board = '[[boards]]\nname = "pty-{number}"\nemulator = "pty"\npower.method = "emulator"\ndevice = "{device}"\n'
    path = tmp_path / "boards.toml"
    path.write_text("\n".join(board.format(number=number, device=BOARDS / "pty.toml") for number in range(3)))
    return path


@pytest.mark.slow
def test_a_whole_bench_ends_in_a_package_for_each_board_and_one_matrix(tmp_path: Path, inventory: Path) -> None:
    finished = hil("--inventory", inventory, "--all", "-j", 3, "--only", "DEV-09,DEV-21", "--out", tmp_path / "out")
    matrix = json.loads((tmp_path / "out" / "matrix.json").read_text())
    page = (tmp_path / "out" / "matrix.html").read_text()

    assert finished.returncode == 0, finished.stderr
    assert [(board["name"], board["verdict"]) for board in matrix["boards"]] == [(f"pty-{number}", "pass") for number in range(3)]
    assert all((tmp_path / "out" / board["package"] / "report.json").is_file() for board in matrix["boards"])
    assert {"last_configuration_wins": dict.fromkeys(("pty-0", "pty-1", "pty-2"), "pass")} == {
        check["id"]: check["verdicts"] for check in matrix["checks"] if check["requirements"] == ["DEV-09"]
    }
    assert 'href="pty-1/report.html"' in page
    assert "://" not in page


@pytest.mark.slow
def test_a_leased_board_is_an_error_and_the_others_are_certified(tmp_path: Path, inventory: Path) -> None:
    with Lease("emulator:pty:pty-1", holder="another job"):
        finished = hil("--inventory", inventory, "--all", "-j", 3, "--only", "DEV-09", "--out", tmp_path / "out", "--annotate", "github")
    boards = {board["name"]: board for board in json.loads((tmp_path / "out" / "matrix.json").read_text())["boards"]}

    assert finished.returncode == 3
    assert [boards[name]["verdict"] for name in ("pty-0", "pty-1", "pty-2")] == ["pass", "error", "pass"]
    assert f"is leased by process {os.getpid()} (another job)" in boards["pty-1"]["trouble"]
    assert f"::error title=pty-1::{boards['pty-1']['trouble']}\n" in finished.stdout


def test_a_board_that_claims_nothing_is_a_mistake_of_the_inventory(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text('[[boards]]\nname = "bare"\nemulator = "pty"\n')

    finished = hil("--inventory", path, "--all", "--out", tmp_path / "out")

    assert finished.returncode == 2
    assert finished.stderr == f"hil: {path}: [boards.bare] device: the device file is missing: what does the board claim?\n"


def test_either_a_device_file_or_an_inventory_is_wanted() -> None:
    assert hil().returncode == 2


@pytest.fixture(scope="module")
def network_firmware() -> None:
    """The firmware with lwIP, from Debian's source package; workers of one test run must not build it at the same time."""
    subprocess.run(
        ["flock", str(FIRMWARE / "Makefile"), "make", "-C", str(FIRMWARE), "network"], check=True, capture_output=True, timeout=280
    )


@pytest.mark.nightly
@pytest.mark.qemu
@pytest.mark.peer("arm-none-eabi-gcc")
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("network_firmware")
def test_lwip_as_it_is_executes_a_repeated_command_twice_and_the_certificate_says_why(tmp_path: Path) -> None:
    status, rows, report = certified("mps2-lwip", tmp_path / "out", within_s=600)
    (repeated,) = [check for check in report["checks"] if check["id"] == "repeated_publish_has_one_effect"]

    assert (status, repeated["verdict"]) == (1, "fail")
    assert "keeps no packet ids" in repeated["hint"]
    assert rows["fail"] == {"DEV-04", "DEV-10", "DEV-26"}


@pytest.mark.nightly
@pytest.mark.qemu
@pytest.mark.peer("arm-none-eabi-gcc")
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("network_firmware")
def test_lwip_that_keeps_packet_ids_and_gathers_packets_passes_every_row(tmp_path: Path) -> None:
    status, rows, report = certified("mps2-lwip-keeps-ids", tmp_path / "out", within_s=600)

    assert (status, report["verdict"]) == (0, "pass")
    assert rows["pass"] >= {f"DEV-{row:02}" for row in range(1, 31)} - {"DEV-05"}  # lwIP's client resumes no session


@pytest.mark.nightly
@pytest.mark.qemu
@pytest.mark.skipif(not MICROPYTHON_HEX.exists(), reason="missing program: firmware-microbit-micropython")
def test_micropython_on_a_microbit_is_certified(tmp_path: Path) -> None:
    status, rows, _ = certified("microbit", tmp_path / "out")

    assert status == 0
    assert rows["pass"] >= OF_A_BRIDGE_BOARD - WITHOUT_DOWNLOADS
    assert rows["not-applicable"] >= WITHOUT_DOWNLOADS | OF_THE_BENCH
