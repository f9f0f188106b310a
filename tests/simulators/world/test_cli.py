"""`hil simulate` as its users see it: what it prints, what it writes, and its exit status."""

import json

import pytest
from typer.testing import CliRunner

from harness.errors import ConfigurationError
from simulators.world import cli
from simulators.world.campaign import run_seeds
from simulators.world.cli import app

WRONG = ("--personality", "key-race-2ms")


@pytest.fixture
def hil_simulate():
    def run(*arguments):
        return CliRunner().invoke(app, list(arguments))

    return run


def test_seeds_without_a_finding_end_with_status_0(hil_simulate):
    answer = hil_simulate("--seeds", "2", "--json")
    assert answer.exit_code == 0
    summary = json.loads(answer.stdout)
    assert (summary["seeds"], summary["verdict"], summary["failed_seeds"]) == (2, "pass", [])


def test_a_finding_is_written_down_with_the_command_that_replays_it(hil_simulate, tmp_path):
    answer = hil_simulate("--seeds", "1", *WRONG, "--out", str(tmp_path), "--json")
    assert answer.exit_code == 1
    found = json.loads(answer.stdout)["findings"][0]
    written = json.loads((tmp_path / "seed-0.json").read_text())
    assert found["replay"] == written["replay"]
    again = hil_simulate(*written["replay"].split()[2:], "--json")
    assert again.exit_code == 1
    assert json.loads(again.stdout)["digest"] == written["digest"]
    assert written["history"]
    assert written["trace"]


@pytest.mark.parametrize(("options", "verdict", "status"), [((), "aborted", 130), (WRONG, "fail", 1)])
def test_ctrl_c_tells_what_was_found_by_then(hil_simulate, tmp_path, monkeypatch, options, verdict, status):
    def interrupted(campaign, seeds, *, jobs):
        yield next(run_seeds(campaign, seeds, jobs=jobs))
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_seeds", interrupted)
    answer = hil_simulate("--seeds", "100", *options, "--out", str(tmp_path), "--json")
    summary = json.loads(answer.stdout)
    assert (answer.exit_code, summary["verdict"], summary["seeds"]) == (status, verdict, 1)


def test_a_replay_says_seed_digest_and_verdict(hil_simulate):
    answers = [json.loads(hil_simulate("--replay", "5", "--json").stdout) for _ in range(2)]
    assert answers[0]["digest"] == answers[1]["digest"]
    assert (answers[0]["seed"], answers[0]["verdict"]) == (5, "pass")


def test_a_replay_for_people_shows_what_happened(hil_simulate):
    answer = hil_simulate("--replay", "0", *WRONG)
    assert answer.exit_code == 1
    assert "FAIL KEY-03 a_key_serves_once" in answer.output
    assert "key use" in answer.output
    assert "seed 0: fail, digest" in answer.stdout


def test_a_plan_file_decides_the_faults(hil_simulate, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"seed": 9, "devices": 1, "minutes": 0.5, "faults": []}))
    answer = json.loads(hil_simulate("--replay", "4", "--faults", str(path), "--json").stdout)
    assert answer["plan"] == {"seed": 4, "devices": 1, "minutes": 0.5, "tick_s": 0.01, "faults": []}


def test_all_personalities_are_listed(hil_simulate):
    answer = hil_simulate("--list-personalities")
    assert "reference: " in answer.stdout
    assert "slot-marked-before-written: " in answer.stdout


@pytest.mark.slow
def test_a_hunt_says_how_often_each_is_found_and_fails_when_one_is_missed(hil_simulate):
    answer = hil_simulate("--hunt", "--seeds", "2", "--minutes", "0.5", "--json")
    found = json.loads(answer.stdout)["found"]
    assert "key-race-2ms" in found
    assert answer.exit_code == (0 if all(found.values()) else 1)


@pytest.mark.parametrize("arguments", [("--personality", "nobody"), ("--faults", "earthquake"), ("--faults", "missing.json")])
def test_a_wrong_option_is_refused(hil_simulate, arguments):
    answer = hil_simulate(*arguments)
    assert answer.exit_code != 0
    assert isinstance(answer.exception, ConfigurationError)
