"""`hil fleet` against the reference platform in a process of its own: REST, keys and downloads in the ledger; mistakes of the user."""

import json
import signal
import subprocess
import sys
from urllib.request import urlopen

import pytest

from harness.cli import run
from harness.errors import ConfigurationError, ResourceMissing
from simulators.broker.operator_login import OPERATOR_FILE, operator_beside, operator_json
from simulators.fleet.capacity import ensure_open_files, resident_bytes
from simulators.fleet.cli import login_of
from simulators.fleet.entries import Answer
from simulators.fleet.ledger import Ledger
from simulators.fleet.view import figure_lines
from simulators.platform.process import PlatformProcess


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform"), "--provision", "30", "--seed", "1") as running:
        yield running.target_path


def hil_fleet(capsys, *arguments):
    """Exit status and JSON of a run."""
    status = run(["fleet", "--json", *map(str, arguments)])
    out = capsys.readouterr().out
    return status, json.loads(out) if out else None


@pytest.mark.slow
def test_commands_and_downloads_over_rest_end_in_a_green_ledger(target, tmp_path, capsys):
    arguments = ("--target", target, "--devices", 20, "--commands", 60, "--mix", "firmware=1,steady=1", "--seed", 3, "--out", tmp_path)
    status, figures = hil_fleet(capsys, *arguments)
    assert status == 0
    assert figures["connected"] == figures["devices"] == 20
    assert figures["ledger"]["sent"] == figures["ledger"]["delivered_once"] == 60
    assert figures["downloads"]["done"] == figures["ledger"]["keys"]["used"] > 0
    assert figures["downloads"]["wrong_images"] == 0
    written = Ledger.from_json(json.loads((tmp_path / "ledger.json").read_text()))
    assert written.totals().delivered_once == 60


@pytest.mark.slow
def test_two_shards_are_disjoint_and_their_ledgers_merge(target, tmp_path, capsys):
    for index in (1, 2):
        arguments = ("--target", target, "--devices", 10, "--commands", 10, "--shard", f"{index}/2", "--seed", 1)
        status, _ = hil_fleet(capsys, *arguments, "--out", tmp_path / str(index))
        assert status == 0
    status, totals = hil_fleet(capsys, "--merge", tmp_path / "1" / "ledger.json", "--merge", tmp_path / "2" / "ledger.json")
    assert (status, totals["delivered_once"]) == (0, 20)


def test_a_red_ledger_ends_with_status_1(tmp_path, capsys):
    ledger = Ledger()
    ledger.sent("a", device_id="d", command="reboot", at_s=0.0)
    ledger.answered("a", Answer.ACCEPTED)
    (tmp_path / "ledger.json").write_text(json.dumps(ledger.to_json()))
    status, totals = hil_fleet(capsys, "--merge", tmp_path / "ledger.json")
    assert (status, totals["named"]["lost"]) == (1, ["a (reboot to d)"])


def test_merged_ledgers_are_told_in_lines_that_can_be_read_and_searched(tmp_path, capsys):
    ledger = Ledger()
    ledger.sent("a", device_id="d", command="reboot", at_s=0.0)
    ledger.answered("a", Answer.ACCEPTED)
    (tmp_path / "ledger.json").write_text(json.dumps(ledger.to_json()))
    assert run(["fleet", "--merge", str(tmp_path / "ledger.json")]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert {"sent: 1", "lost: 1", "duplicated: 0", "lost: a (reboot to d)"} <= set(told.err.splitlines())


def test_figures_in_groups_are_lines_of_their_own():
    figures = {"devices": 2, "downloads": {"done": 1}, "latency_ms": {"p50": None}}
    assert list(figure_lines(figures)) == ["devices: 2", "downloads done: 1", "latency_ms p50: none"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_ledger_and_metrics_tell_meanwhile(target, tmp_path):
    command = [sys.executable, "-m", "harness.cli", "fleet", "--target", str(target), "--devices", "10", "--commands", "10"]
    options = ["--hold", "600", "--metrics-port", "0", "--out", str(tmp_path)]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stderr if line.startswith("metrics: "))
        url = line.removeprefix("metrics: ").strip()
        while True:
            with urlopen(url, timeout=5) as response:
                metrics = response.read()
            if b"hil_fleet_results_acknowledged 10.0" in metrics:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert b"\nhil_fleet_memory_per_device_bytes " in metrics
    assert b'\nhil_fleet_latency_ms{quantile="0.99"} ' in metrics
    totals = Ledger.from_json(json.loads((tmp_path / "ledger.json").read_text())).totals()
    assert (totals.delivered_once, totals.is_green) == (10, True)
    assert process.returncode == 3  # cut short: not a complete run


def until(process, beginning):
    """Reads what a fleet tells until a line begins so."""
    return next(line for line in process.stderr if line.startswith(beginning))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "metric"),
    [
        (("--rate", "1"), b"hil_fleet_connected 2.0"),  # while it connects
        (("--commands", "100000"), b"hil_fleet_commands_delivered 2"),  # while it commands
        (("--commands", "10", "--mix", "slow"), b"hil_fleet_downloads_running 10.0"),  # while it downloads
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_time_ends_with_a_ledger_that_adds_up(target, tmp_path, options, metric, number):
    command = [sys.executable, "-m", "harness.cli", "fleet", "--target", str(target), "--devices", "10", "--metrics-port", "0"]
    process = subprocess.Popen([*command, *options, "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True)
    try:
        url = until(process, "metrics: ").removeprefix("metrics: ").strip()
        while metric not in urlopen(url, timeout=5).read():
            assert process.poll() is None
        process.send_signal(number)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 3  # cut short: void, but not red
    totals = Ledger.from_json(json.loads((tmp_path / "ledger.json").read_text())).totals()
    assert totals.adds_up()
    assert totals.is_green


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--target", "/nowhere.toml"),
        ("--target", "x", "--via", "pigeon"),
        ("--target", "x", "--mix", "nonsense"),
        ("--target", "x", "--link", "nonsense"),
        ("--target", "x", "--shard", "3/2"),
        ("--devices", "0"),
        ("--merge", "/nowhere.json"),
    ],
)
def test_mistakes_end_with_status_2_and_one_line(arguments, capsys):
    assert run(["fleet", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_more_devices_than_open_files_name_the_command_that_helps():
    with pytest.raises(ResourceMissing, match="ulimit -Hn"):
        ensure_open_files(10**10)


def test_few_devices_need_no_more_open_files():
    ensure_open_files(10)
    assert resident_bytes() > 0


@pytest.mark.slow
def test_the_operator_of_the_platform_commands_over_mqtt_out_of_the_box(target, tmp_path, capsys):
    status, figures = hil_fleet(
        capsys, "--target", target, "--devices", 20, "--commands", 40, "--via", "mqtt", "--seed", 4, "--out", tmp_path
    )
    assert status == 0
    assert figures["ledger"]["delivered_once"] == 40


def test_the_operators_login_is_for_its_owner_only(target):
    assert (target.with_name(OPERATOR_FILE).stat().st_mode & 0o077) == 0


@pytest.mark.parametrize("text", ["", "[]", '{"client_id": "operator"}'])
def test_an_operators_login_that_is_none_is_named(text, tmp_path):
    (tmp_path / OPERATOR_FILE).write_text(text)
    with pytest.raises(ConfigurationError, match=r"operator\.json"):
        operator_beside(tmp_path / "target.toml")


def test_a_login_on_the_command_line_goes_before_the_one_beside_the_target(tmp_path):
    (tmp_path / OPERATOR_FILE).write_bytes(operator_json("platform", "secret"))
    beside, given = login_of("", tmp_path / "target.toml"), login_of("me:mine", tmp_path / "target.toml")
    assert (beside.username, beside.password) == ("platform", "secret")
    assert (given.username, given.password) == ("me", "mine")
