"""`hil load` as its users see it: processes, exit status, ledger."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
DEADLINE_S = 150
HIL = [sys.executable, "-m", "harness.cli"]

pytestmark = pytest.mark.slow


@pytest.fixture
def platform(tmp_path):
    """Starts an observed platform; returns its target file and what ends it."""
    started = []

    def start(*, provision=80, drops=0, prefix=(), address="127.0.0.1"):
        command = [
            *prefix,
            sys.executable,
            str(HERE / "observed_platform.py"),
            str(tmp_path / "state"),
            str(provision),
            str(drops),
            address,
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return Path(process.stdout.readline().removeprefix("target file: ").rstrip("\n")), process

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=30)


def ended(process):
    """What the platform saw."""
    process.terminate()
    return json.loads(process.communicate(timeout=30)[0])


def hil_load(*arguments, out):
    done = subprocess.run([*HIL, "load", *arguments, "--out", str(out)], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return done, outcome_in(out) if (out / "load.json").exists() else {}


def outcome_in(out):
    return json.loads((out / "load.json").read_text())


def adds_up(ledger):
    accepted = ledger["delivered_once"] + ledger["duplicated"] + ledger["lost"] + ledger["not_owed"]
    return ledger["sent"] == ledger["refused"] + ledger["accepted"] + ledger["unknown"] and ledger["accepted"] == accepted


def until(is_true):
    """Polls what only other processes know."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_workers_and_a_restart_of_the_broker_lose_nothing(tmp_path):
    """The platform is hil's own: `hil load` without a target starts one."""
    options = ("--users", "60", "--workers", "2", "--run-time", "14s", "--shape", "reconnect-storm")
    done, outcome = hil_load("mixed", *options, out=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    ledger = outcome["ledger"]
    assert adds_up(ledger)
    assert ledger["delivered_once"] == ledger["accepted"] > 100
    assert outcome["facts"]["devices"] == 60
    assert outcome["facts"]["reconnects"] >= 60
    entries = json.loads((tmp_path / "out" / "ledger.json").read_text())["entries"]
    assert len(entries) == ledger["sent"]
    assert {correlation.split("-")[1] for correlation in entries if not correlation.startswith("download")} == {"1", "2"}


def test_devices_that_deliver_twice_are_red_and_the_commands_are_named(tmp_path):
    options = ("--users", "30", "--command-rate", "60", "--run-time", "20s", "--personality", "delivers-twice")
    done, outcome = hil_load("devices", *options, out=tmp_path)
    assert done.returncode == 1
    assert outcome["ledger"]["duplicated"] > 0
    assert adds_up(outcome["ledger"])
    assert outcome["ledger"]["named"]["duplicated"][0] in done.stderr


def test_a_broker_that_drops_messages_is_red_and_the_commands_are_named(tmp_path, platform):
    target, _ = platform(drops=1)
    options = ("--target", str(target), "--users", "40", "--run-time", "8s", "--settle", "2", "--workers", "2")
    done, outcome = hil_load("commands", *options, out=tmp_path / "out")
    assert done.returncode == 1, done.stderr
    assert outcome["ledger"]["lost"] == 1
    assert adds_up(outcome["ledger"])
    assert outcome["ledger"]["named"]["lost"][0] in done.stderr


def test_devices_that_leave_in_the_middle_leave_nothing_behind(tmp_path, platform):
    """A spike: most devices come late and go early, each once what it was sent has arrived."""
    target, process = platform()
    options = ("--target", str(target), "--users", "40", "--workers", "2", "--run-time", "12s", "--shape", "spike")
    done, outcome = hil_load("commands", *options, out=tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert outcome["facts"]["devices"] == 40
    assert outcome["ledger"]["delivered_once"] == outcome["ledger"]["sent"] > 0
    assert ended(process)["disconnected"] == 40


def test_a_broken_threshold_is_red(tmp_path):
    limits = tmp_path / "thresholds.toml"
    limits.write_text('[requests."command configuration"]\np50_ms_max = 0.001\n')
    done, _ = hil_load("commands", "--users", "5", "--run-time", "4s", "--thresholds", str(limits), out=tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.count("command configuration: p50_ms is") == 1
    assert done.stderr.count("ledger: ") == 1


def started_load(*arguments, out):
    return subprocess.Popen([*HIL, "load", *arguments, "--out", str(out)], stderr=subprocess.PIPE, text=True)


def is_working(out):
    log = out / "locust.log"
    return log.exists() and "delivery" in log.read_text()


def test_ctrl_c_writes_the_ledger_and_all_devices_leave_with_disconnect(tmp_path, platform):
    target, process = platform()
    out = tmp_path / "out"
    load = started_load("commands", "--target", str(target), "--users", "40", "--workers", "2", "--run-time", "10m", out=out)
    until(lambda: is_working(out))
    load.send_signal(signal.SIGINT)
    until(lambda: "ending: " in (out / "locust.log").read_text())
    load.send_signal(signal.SIGINT)  # Who is impatient gets the ledger all the same.
    _, errors = load.communicate(timeout=DEADLINE_S)
    outcome = outcome_in(out)
    assert load.returncode == 3, errors
    assert outcome["voids"] == ["the run was cut short"]
    assert adds_up(outcome["ledger"])
    assert outcome["ledger"]["delivered_once"] == outcome["ledger"]["sent"] > 0
    seen = ended(process)
    assert seen["connected"] == 40
    assert seen["disconnected"] == 40


def test_ctrl_c_in_the_midst_of_a_shape_is_cut_short_like_any_other_run(tmp_path, platform):
    target, _ = platform()
    out = tmp_path / "out"
    load = started_load("commands", "--target", str(target), "--users", "10", "--shape", "soak", out=out)
    until(lambda: is_working(out))
    load.send_signal(signal.SIGINT)
    _, errors = load.communicate(timeout=DEADLINE_S)
    assert load.returncode == 3, errors
    assert outcome_in(out)["voids"] == ["the run was cut short"]


def test_ctrl_c_on_a_terminal_ends_the_users_before_the_platform(tmp_path):
    """A terminal sends SIGINT to all processes at once; the platform is one that `hil load` has started."""
    out = tmp_path / "out"
    command = [*HIL, "load", "commands", "--users", "20", "--workers", "2", "--run-time", "10m", "--out", str(out)]
    load = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until(lambda: is_working(out))
    os.killpg(load.pid, signal.SIGINT)
    _, errors = load.communicate(timeout=DEADLINE_S)
    ledger = outcome_in(out)["ledger"]
    assert load.returncode == 3, errors
    assert ledger["delivered_once"] == ledger["sent"] > 0


def test_a_run_without_an_end_is_ended_by_sigterm_and_green(tmp_path, platform):
    target, _ = platform()
    out = tmp_path / "out"
    load = started_load("commands", "--target", str(target), "--users", "10", "--run-time", "0", out=out)
    until(lambda: is_working(out))
    load.send_signal(signal.SIGTERM)
    _, errors = load.communicate(timeout=DEADLINE_S)
    assert load.returncode == 0, errors
    assert outcome_in(out)["ledger"]["green"]


def test_a_run_in_the_background_of_a_script_can_be_ended(tmp_path, platform):
    """A shell that has no terminal starts `… &` with SIGINT ignored, and so do all that it starts in turn."""
    target, _ = platform()
    out = tmp_path / "out"
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        load = started_load("commands", "--target", str(target), "--users", "10", "--run-time", "10m", out=out)
    finally:
        signal.signal(signal.SIGINT, before)
    until(lambda: is_working(out))
    load.send_signal(signal.SIGTERM)
    _, errors = load.communicate(timeout=DEADLINE_S)
    assert load.returncode == 3, errors
    assert outcome_in(out)["voids"] == ["the run was cut short"]


def test_a_worker_that_dies_is_reported_and_its_commands_are_unknown(tmp_path, platform):
    target, _ = platform()
    out = tmp_path / "out"
    load = started_load("commands", "--target", str(target), "--users", "40", "--workers", "2", "--run-time", "15s", out=out)
    until(lambda: is_working(out))
    workers = [child for child in psutil.Process(load.pid).children() if "--worker" in child.cmdline()]
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    _, errors = load.communicate(timeout=DEADLINE_S)
    outcome = outcome_in(out)
    assert load.returncode == 3, errors
    assert [reason for reason in outcome["voids"] if "died" in reason]
    assert outcome["ledger"]["unknown"] > 0
    assert outcome["ledger"]["delivered_once"] > 0
    assert adds_up(outcome["ledger"])


def test_plain_locust_runs_a_locustfile(tmp_path, platform):
    target, _ = platform()
    locustfile = HERE.parents[2] / "scenarios" / "load" / "mixed_locustfile.py"
    host = tomllib.loads(target.read_text())["platform"]["api_url"]
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--host", host, "--headless", "-u", "20", "-r", "20", "-t", "6s"]
    environment = os.environ | {"HIL_LOAD_TARGET": str(target), "HIL_LOAD_OUT": str(tmp_path / "out"), "HIL_LOAD_USERS": "16"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    ledger = outcome_in(tmp_path / "out")["ledger"]
    assert ledger["delivered_once"] == ledger["sent"] > 0
    assert "command configuration" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("nonsense",), "there is no scenario 'nonsense'"),
        (("mixed", "--target", "/nowhere.toml"), "/nowhere.toml"),
        (("mixed", "--master", "--worker"), "--worker"),
        (("mixed", "--worker"), "--target: is missing"),
        (("mixed", "--master"), "--target: is missing"),
        (("mixed", "--shape", "round"), "round"),
        (("mixed", "--out", "/dev/null/x"), "--out: '/dev/null/x'"),
    ],
)
def test_mistakes_are_one_line_and_status_two(tmp_path, arguments, problem):
    command = [*HIL, "load", "--out", str(tmp_path / "out"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_workers_without_a_master_say_so_in_one_line_and_end(tmp_path, platform):
    target, _ = platform(provision=0)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # A port that nobody listens at.
        options = ("--worker", "--target", str(target), "--master-port", str(nobody.getsockname()[1]), "--wait", "1")
        done, _ = hil_load("commands", *options, out=tmp_path / "out")
    assert done.returncode == 3
    assert "there was no master at 127.0.0.1:" in done.stderr
    assert done.stderr.count("\n") == 1


# -------------------------------------------------------------------------------- two machines


@pytest.fixture
def two_machines():
    """Two network namespaces with a cable between them; gives what to put before a command to run it on either."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("two network namespaces need root and the program ip")
    names = [f"hil-{os.getpid()}-{end}" for end in ("a", "b")]
    cable = [f"hil{os.getpid() % 10_000}{end}" for end in ("a", "b")]

    def ip(*arguments):
        subprocess.run(["ip", *arguments], check=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", cable[0], "netns", names[0], "type", "veth", "peer", "name", cable[1], "netns", names[1])
        for name, end, address in zip(names, cable, ("10.213.0.1", "10.213.0.2"), strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError:
        pytest.skip("this machine does not allow network namespaces")
    else:
        yield [("ip", "netns", "exec", name) for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def test_master_and_workers_on_two_machines_make_one_ledger(tmp_path, platform, two_machines):
    here, there = two_machines
    target, process = platform(prefix=here, address="10.213.0.1")
    out = tmp_path / "out"
    # None of them flaky: one that is between two connections at the end of the run has nobody to send its DISCONNECT to.
    common = ["load", "mixed", "--mix", "steady=4,firmware=1", "--target", str(target), "--workers", "2"]
    master = subprocess.Popen(
        [*here, *HIL, *common, "--users", "40", "--master", "--run-time", "10s", "--out", str(out)], stderr=subprocess.PIPE, text=True
    )
    worker = subprocess.Popen(
        [*there, *HIL, *common, "--worker", "--master-host", "10.213.0.1", "--out", str(tmp_path / "worker")],
        stderr=subprocess.PIPE,
        text=True,
    )
    _, errors = master.communicate(timeout=DEADLINE_S)
    _, worker_errors = worker.communicate(timeout=DEADLINE_S)
    assert master.returncode == 0, errors
    assert worker.returncode == 0, worker_errors
    outcome = outcome_in(out)
    assert adds_up(outcome["ledger"])
    assert outcome["ledger"]["delivered_once"] == outcome["ledger"]["sent"] > 0
    assert outcome["facts"]["devices"] == 40
    assert ended(process)["disconnected"] == 40
