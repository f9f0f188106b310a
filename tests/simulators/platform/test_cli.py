"""What `hil platform` makes of its options, and says on the terminal."""

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from harness.cli import run
from simulators.platform.cli import find_personality, last_port
from simulators.platform.personalities import PERSONALITIES
from simulators.platform.platform import PlatformSettings


def test_each_personality_is_listed_with_what_it_breaks(capsys):
    assert run(["platform", "--list-personalities"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == list(PERSONALITIES)
    assert "keys-work-twice" in PERSONALITIES
    assert next(line for line in lines if line.startswith("keys-work-twice:")).endswith("; breaks KEY-02")


@pytest.mark.parametrize("name", ["keys-work-twice", "keys_work_twice"])
def test_a_name_may_be_written_with_hyphens_or_underscores(name):
    assert find_personality(name) is PERSONALITIES["keys-work-twice"]


@pytest.mark.parametrize("name", ["nope", "delivers-twice"])
def test_an_unknown_personality_is_one_line_that_says_where_they_are_listed(capsys, name):
    assert run(["platform", "--personality", name]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert repr(name) in told[0]
    assert "--list-personalities" in told[0]


@pytest.mark.parametrize("url", ["mqtt://", "mqtt://127.0.0.1:99999", "http://127.0.0.1"])
def test_a_url_that_no_broker_can_have_is_one_line(capsys, tmp_path, url):
    assert run(["platform", "--state", str(tmp_path), "--broker", url]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"command line --broker: {url!r} is no URL of a broker" in told[0]


def test_tls_files_that_cannot_be_used_are_one_line(capsys, tmp_path):
    (tmp_path / "tls").mkdir()
    for name in ("ca.pem", "server.pem", "server.key"):
        (tmp_path / "tls" / name).write_text("no PEM")
    assert run(["platform", "--state", str(tmp_path), "--tls-self-signed"]) == 3
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"the TLS files {tmp_path}/tls/server.pem, {tmp_path}/tls/server.key cannot be used" in told[0]


@pytest.mark.parametrize("command", ["platform --public-host", "platform --bind", "broker serve --bind"])
@pytest.mark.parametrize("host", ["", "two words", "http://bench", "bench:8080"])
def test_a_host_that_is_none_is_one_line(capsys, command, host):
    *words, option = command.split()
    assert run([*words, option, host]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"command line {option}: {host!r} is no host" in told[0]


@pytest.mark.parametrize(("bind", "family", "host"), [("127.0.0.1", socket.AF_INET, "127.0.0.1"), ("::1", socket.AF_INET6, "[::1]")])
def test_a_broker_comes_back_on_its_port_unless_somebody_else_has_it_now(tmp_path, bind, family, host):
    settings = PlatformSettings(state_directory=tmp_path, bind=bind)
    with socket.create_server((bind, 0), family=family) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "target.toml").write_text(f'[platform]\nmqtt_url = "mqtt://{host}:{port}"\n')
        assert last_port(settings) == 0
    assert last_port(settings) == port


def test_a_broker_that_never_ran_has_no_port_to_come_back_on(tmp_path):
    assert last_port(PlatformSettings(state_directory=tmp_path)) == 0


@pytest.mark.parametrize("module", ["harness.cli", "simulators.platform"])
def test_every_request_is_a_log_line_as_json_however_the_platform_was_started(module):
    command = [sys.executable, "-m", module, *(["platform"] if module == "harness.cli" else []), "--json-logs", "-v"]
    platform = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = next(line for line in platform.stderr if line.startswith("REST ")).split()[1]
    platform.stdout.readline()  # It serves.
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{url}/v2/files")
    platform.terminate()
    lines = [json.loads(line) for line in platform.communicate()[1].splitlines() if line.startswith("{")]
    assert [(line["path"], line["status"]) for line in lines if line["logger"] == "hil.platform.requests"] == [("/v2/files", 401)]
