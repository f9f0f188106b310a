"""The options of `hil certify platform`, as a user types them against a platform that breaks one promise."""

import json
import socket
import subprocess
import sys
import threading

import pytest

from simulators.platform.process import PlatformProcess

HIL = [sys.executable, "-m", "harness.cli", "certify", "platform"]
BROKEN, KEPT = "LST-07", "LST-04"
BROKEN_CHECK, KEPT_CHECK = "list_body_is_an_object_with_files", "list_without_valid_type_is_refused"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform"), "--personality", "lists-bare") as platform:
        yield platform.target_path


@pytest.fixture
def certify(target, tmp_path):
    """A function from options to the finished command and its report (None where none was written)."""

    def run(*options, out="out", environment=None):
        command = [*HIL, "--target", target, "--out", tmp_path / out, "--seed", "1", *options]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=200, check=False, env=environment)
        path = tmp_path / out / "report.json"
        return done, json.loads(path.read_text()) if path.exists() else None

    return run


def verdicts(report):
    return {check["id"]: check["verdict"] for check in report["checks"] if check["verdict"] not in ("skipped", "not-applicable")}


def known(directory, requirement, until):
    path = directory / "known.toml"
    path.write_text(f'[[expected]]\nrequirement = "{requirement}"\nreason = "ticket 1"\nowner = "us"\nuntil = {until}\n')
    return path


def test_only_names_what_is_asked(certify):
    done, report = certify("--only", f"{BROKEN},{KEPT}")
    assert (done.returncode, verdicts(report)) == (1, {BROKEN_CHECK: "fail", KEPT_CHECK: "pass"})


def test_a_known_failure_is_excused_until_its_day(certify, tmp_path):
    done, report = certify("--only", BROKEN, "--expect", known(tmp_path, BROKEN, "2999-01-01"))
    assert (done.returncode, report["verdict"]) == (0, "pass-with-warnings")
    assert f"expected: {BROKEN} (ticket 1; us, until 2999-01-01)" in done.stdout


@pytest.mark.parametrize(
    ("requirement", "until", "note"), [(BROKEN, "2001-01-01", "expired on 2001-01-01"), (KEPT, "2999-01-01", "no longer happens")]
)
def test_an_expired_or_vanished_failure_is_red(certify, tmp_path, requirement, until, note):
    done, report = certify("--only", requirement, "--expect", known(tmp_path, requirement, until))
    assert (done.returncode, report["verdict"]) == (1, "fail")
    assert note in done.stdout


def test_a_rerun_asks_what_was_not_green_and_keeps_the_rest(certify, tmp_path):
    _, first = certify("--only", f"{BROKEN},{KEPT}", out="first")
    done, second = certify("--rerun", tmp_path / "first", out="second")
    kept = next(check for check in second["checks"] if check["id"] == KEPT_CHECK)
    assert (done.returncode, verdicts(second)) == (1, {BROKEN_CHECK: "fail", KEPT_CHECK: "pass"})
    assert kept["detail"].startswith(f"kept from run {first['run']['id']}: ")
    assert second["attempts"] == [{"run": first["run"]["id"], "verdict": "fail", "checks": {BROKEN_CHECK: "fail"}}]


def test_a_rerun_of_something_green_is_a_mistake(certify, tmp_path):
    certify("--only", KEPT, out="first")
    done, _ = certify("--rerun", tmp_path / "first", out="second")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nothing to run again" in done.stderr


def test_a_budget_leaves_the_least_important_out_and_names_it(certify):
    done, _ = certify("--budget", "10s", "--plan")
    left_out = [line for line in done.stdout.splitlines() if "left out by --budget 10 s" in line]
    assert done.returncode == 0
    assert left_out
    assert all(line.startswith("skipped") for line in left_out)
    assert int(done.stdout.splitlines()[-1].rpartition("about ")[2].split()[0]) <= 10


def test_on_github_what_is_not_well_is_annotated(certify):
    done, _ = certify("--only", BROKEN, "--annotate", "github")
    assert f"::error title=fail%3A {BROKEN_CHECK} (LST-07a%2C LST-07b)::" in done.stdout


class Doorkeeper:
    """A port that nobody should knock at."""

    def __init__(self):
        self.knocks = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, peer = self.socket.accept()
            except OSError:
                return
            self.knocks.append(peer)
            connection.close()


def test_a_plan_opens_no_connection(target, tmp_path):
    api, broker = Doorkeeper(), Doorkeeper()
    lines = [f'api_url = "http://127.0.0.1:{api.port}"' if line.startswith("api_url") else line for line in target.read_text().splitlines()]
    lines = [f'mqtt_url = "mqtt://127.0.0.1:{broker.port}"' if line.startswith("mqtt_url") else line for line in lines]
    (target.parent / "watched.toml").write_text("\n".join(lines))
    done = subprocess.run(
        [*HIL, "--target", str(target.parent / "watched.toml"), "--out", str(tmp_path / "out"), "--plan", "--profile", "full"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, api.knocks, broker.knocks) == (0, [], [])
    assert "planned         key_works_once" in done.stdout
    socket.create_connection(("127.0.0.1", api.port)).close()  # The door can be knocked at.
    assert not (tmp_path / "out" / "report.json").exists()
