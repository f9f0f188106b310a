"""`hil certify` as its users type it: verdict, package, exit status, and what wrong input comes to."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.requirements import CATALOGUE
from scenarios.certify.options import CommonOptions

HIL = [sys.executable, "-m", "harness.cli"]
LEAST_COVERED = {
    *("CMD-01", "CMD-02", "CMD-03", "CMD-04", "CMD-10", "CMD-13", "CMD-15", "CMD-16", "KEY-01", "KEY-02", "KEY-03", "KEY-04"),
    *("DLD-01", "DLD-02", "LST-01", "LST-04", "LST-05", "DEV-03", "DEV-04", "DEV-08", "DEV-11"),
}


def hil(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HIL, *map(str, arguments)], capture_output=True, text=True, timeout=280, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = tmp_path_factory.mktemp("pair") / "report"
    return hil("certify", "--seed", 11, "--out", out), out


@pytest.mark.slow
def test_the_built_in_pair_certifies_each_other(pair):
    finished, out = pair
    report = json.loads((out / "report.json").read_text())

    assert finished.returncode == 0, finished.stderr
    assert report["verdict"] in ("pass", "pass-with-warnings")
    assert [check["id"] for check in report["checks"] if check["verdict"] in ("fail", "error", "inconclusive")] == []
    assert {requirement[:6] for requirement in report["coverage"]["covered"]} >= LEAST_COVERED


@pytest.mark.slow
def test_the_package_holds_every_file(pair):
    _, out = pair

    assert {"report.json", "junit.xml", "report.html", "history.jsonl", "manifest.json"} <= {path.name for path in out.iterdir()}


@pytest.mark.slow
def test_judging_the_history_again_gives_the_same_verdicts(pair):
    _, out = pair
    again = json.loads(hil("check", out, "--json").stdout)
    first = json.loads((out / "report.json").read_text())

    assert again["verdict"] == first["verdict"]
    assert again["checks"] == first["checks"]


@pytest.mark.slow
def test_no_secret_of_the_target_stands_in_the_history(pair):
    _, out = pair
    text = (out / "history.jsonl").read_text()

    assert "<api-key:full>" in text
    assert "QB_" not in text.replace("QB_unknown", "")


def test_a_plan_sends_nothing_and_writes_no_report(tmp_path):
    finished = hil("certify", "--plan", "--out", tmp_path / "report")

    assert finished.returncode == 0, finished.stderr
    assert "planned         key_lives_thirty_minutes" in finished.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_plan_of_every_board_is_printed_under_its_name(tmp_path):
    (tmp_path / "device.toml").write_text('[device]\nvendor = "hil"\nmodel = "m"\nfirmware_version = "1"\n[device.run]\nattach = true\n')
    (tmp_path / "boards.toml").write_text('[[boards]]\nname = "left"\nurl = "loop://"\ndevice = "device.toml"\n')

    finished = hil("certify", "device", "--inventory", "boards.toml", "--all", "--plan", "--only", "DEV-08", cwd=tmp_path)

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith("left:\n")
    assert "planned         configuration_is_applied_and_reported" in finished.stdout
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("certify", "--profile", "slow"), ("--profile", "'slow'", "quick, full")),
        (("certify", "--only", "KEY-99"), ("--only", "'KEY-99'")),
        (("certify", "--no-such-option"), ("--no-such-option",)),
        (("certify", "toaster"), ("toaster",)),
        (("certify", "--only", "DEV-03", "device", "--device", "device.toml"), ("--only", "stands before `device`")),
        (("certify", "platform", "--target", "nowhere.toml"), ("nowhere.toml", "cannot be read")),
        (("certify", "device", "--device", "nowhere.toml"), ("nowhere.toml", "cannot be read")),
        (("check", "nowhere"), ("nowhere", "cannot be read")),
    ],
)
def test_wrong_input_is_one_line_and_status_2(tmp_path, arguments, words):
    finished = hil(*arguments, cwd=tmp_path)

    assert finished.returncode == 2, finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1, finished.stderr
    assert all(word in finished.stderr for word in words), finished.stderr


def test_a_platform_that_is_not_there_makes_the_run_void_with_the_reason(tmp_path):
    (tmp_path / "target.toml").write_text(
        '[platform]\nname = "gone"\napi_url = "http://127.0.0.1:9"\nmqtt_url = "mqtt://127.0.0.1:9"\n'
        '[platform.api_keys]\nfull = "QB_x"\n[[platform.projects]]\nid = "p"\n'
        '[[platform.devices]]\nid = "d"\nproject_id = "p"\ntoken = "t"\nkind = "mqtt"\n'
    )

    finished = hil("certify", "platform", "--target", "target.toml", "--out", "report", cwd=tmp_path)
    report = json.loads((tmp_path / "report" / "report.json").read_text())

    assert finished.returncode == 3
    assert report["verdict"] == "error"
    assert not [check for check in report["checks"] if check["verdict"] == "fail"]
    assert "no connection to" in finished.stdout


@pytest.mark.slow
def test_ctrl_c_leaves_a_valid_partial_report(tmp_path):
    process = subprocess.Popen(
        [*HIL, "certify", "--out", tmp_path / "report"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    process.stderr.readline()  # The first scenario has ended: the run is under way.
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    report = json.loads((tmp_path / "report" / "report.json").read_text())

    assert process.returncode == 3
    assert report["verdict"] == "aborted"
    assert any(check["verdict"] == "pass" for check in report["checks"])


@pytest.mark.parametrize("form", [("certify",), ("certify", "platform", "--target", "t.toml"), ("certify", "device", "--device", "d.toml")])
def test_every_form_says_more_with_v_behind_its_name(tmp_path, form):
    finished = hil(*form, "-v", "--profile", "slow", cwd=tmp_path)

    assert finished.returncode == 2
    assert "'slow' is none of quick, full" in finished.stderr


def test_a_family_stands_for_its_requirements():
    selection = CommonOptions(only="LST,KEY-02").run_options().selection
    assert selection.only == {"KEY-02", *(id_ for id_ in CATALOGUE if id_.startswith("LST-"))}


@pytest.mark.parametrize("option", [("--only", "DEV-03"), ("--skip", "DEV-03"), ("--budget", "5m"), ("--expect", "known.toml")])
def test_an_official_run_takes_no_option_that_changes_its_plan(tmp_path, option):
    (tmp_path / "known.toml").write_text("")

    finished = hil("certify", "device", "--device", "device.toml", "--official", *option, cwd=tmp_path)

    assert finished.returncode == 2
    assert f"{option[0]} does not go with it" in finished.stderr
    assert len(finished.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_an_official_run_of_a_device_that_never_arrives_is_refused_with_what_is_missing(tmp_path):
    (tmp_path / "device.toml").write_text(
        '[device]\nvendor = "hil"\nmodel = "mute"\nfirmware_version = "1"\n'
        '[device.declares]\ncommands = ["configuration"]\nconnect_s = 0.2\n'
        '[device.prepare]\nflash = "echo no chip answers; exit 1"\n[device.run]\nexec = "sleep 60"\n'
    )

    finished = hil("certify", "device", "--device", "device.toml", "--official", "--out", "report", cwd=tmp_path)
    report = json.loads((tmp_path / "report" / "report.json").read_text())

    assert finished.returncode == 3
    assert "official certificate: refused after 1 run; missing:" in finished.stdout
    assert report["official"]["runs"] == 1
    assert any("[device.prepare] flash ended with status 1: no chip answers" in problem for problem in report["official"]["missing"])
    assert '"output":"no chip answers"' in (tmp_path / "report" / "history.jsonl").read_text()
