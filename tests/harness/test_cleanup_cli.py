"""`hil cleanup` undoes on the target what an interrupted run left there, and says what it could not undo."""

import socketserver
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from harness.bench.leftovers import HOOK_ANNOUNCED
from harness.cli import EXIT_OK, EXIT_USAGE, EXIT_VOID, run
from harness.history.events import SCHEMA, Event, MqttPacket, RunStarted, Stimulus
from harness.history.journal import HISTORY_FILE, line_of

FILE = {"project_id": "p", "type": "firmware", "name": "a b.bin", "path": "/x"}
UPLOADED = Stimulus(HOOK_ANNOUNCED, {"name": "upload_file", "values": FILE})
START = RunStarted(SCHEMA, "r", "0", "c", 1, "quick", "platform", "p", "should", {}, {}, ())


def connected(device_id: str) -> MqttPacket:
    return MqttPacket(1, device_id, "client", "CONNECT", 20, clean_session=False)


@pytest.fixture
def cleanup(tmp_path: Path):
    """Cleans up after a run with these facts; the target's hooks are given as TOML."""

    def clean(*facts, hooks="", named=True, mqtt_port=1) -> int:
        target = tmp_path / "target.toml"
        target.write_text(
            f'[platform]\nname = "p"\napi_url = "http://127.0.0.1:1"\nmqtt_url = "mqtt://127.0.0.1:{mqtt_port}"\n'
            f'[platform.api_keys]\nfull = "k"\n[platform.hooks]\n{hooks}\n[[platform.projects]]\nid = "p"\n'
            '[[platform.devices]]\nid = "dev-1"\nproject_id = "p"\ntoken = "t"\nkind = "mqtt"\n'
        )
        start = replace(START, target={"file": str(target)} if named else {})
        lines = [line_of(Event(line, 0.0, 0.0, "", fact)) for line, fact in enumerate((start, *facts), 1)]
        (tmp_path / HISTORY_FILE).write_text("\n".join(lines) + "\n")
        return run(["cleanup", str(tmp_path)])

    return clean


def test_a_run_that_left_nothing_needs_no_target(cleanup, capsys):
    assert cleanup(named=False) == EXIT_OK
    assert capsys.readouterr().out == "nothing is left of this run\n"


def test_an_uploaded_file_is_deleted_by_the_hook(cleanup, tmp_path):
    assert cleanup(UPLOADED, hooks=f"delete_file = 'echo {{name}} > {tmp_path}/deleted'") == EXIT_OK
    assert (tmp_path / "deleted").read_text() == "a b.bin\n"


@pytest.mark.parametrize(
    ("facts", "hooks", "trouble"),
    [
        ((UPLOADED,), "", "the target file has no [platform.hooks] delete_file"),
        ((UPLOADED,), "delete_file = 'echo usage; echo busy; exit 1'", "hook 'delete_file' ended with status 1: busy"),
        ((connected("dev-1"),), "", "no connection to mqtt://127.0.0.1:1"),
        ((connected("dev-2"),), "", "session (device_id dev-2): the target file does not name it"),
    ],
)
def test_what_cannot_be_undone_is_told_a_line_each(cleanup, capsys, facts, hooks, trouble):
    assert cleanup(*facts, hooks=hooks) == EXIT_VOID
    told = capsys.readouterr().err.splitlines()
    assert [line.startswith("could not be undone: ") and trouble in line for line in told] == [True]


class RefusesEveryLogin(socketserver.BaseRequestHandler):
    """A broker that answers CONNECT with return code 5."""

    def handle(self):
        self.request.recv(1_000)
        self.request.sendall(b"\x20\x02\x00\x05")


def test_a_session_whose_login_is_refused_has_not_ended(cleanup, capsys):
    with socketserver.TCPServer(("127.0.0.1", 0), RefusesEveryLogin) as broker:
        Thread(target=broker.handle_request, daemon=True).start()
        assert cleanup(connected("dev-1"), mqtt_port=broker.server_address[1]) == EXIT_VOID
    assert "session (device_id dev-1): its login was refused with return code 5" in capsys.readouterr().err


def test_what_was_undone_is_not_undone_again(cleanup, capsys, tmp_path):
    only_once = f"delete_file = 'mkdir {tmp_path}/{{name}}'"
    other = Stimulus(HOOK_ANNOUNCED, {"name": "upload_file", "values": FILE | {"name": "stuck"}})
    (tmp_path / "stuck").mkdir()

    assert cleanup(UPLOADED, other, hooks=only_once) == EXIT_VOID
    (tmp_path / "stuck").rmdir()
    assert cleanup(UPLOADED, other, hooks=only_once) == EXIT_OK  # only what could not be undone before
    assert cleanup(UPLOADED, other, hooks=only_once) == EXIT_OK
    assert capsys.readouterr().out.splitlines()[-1] == "nothing is left of this run"


def test_a_run_that_does_not_name_its_target_asks_for_it(cleanup, capsys):
    assert cleanup(UPLOADED, named=False) == EXIT_USAGE
    assert "name it with --target" in capsys.readouterr().err


def test_a_run_without_a_history_is_a_mistake(tmp_path, capsys):
    assert run(["cleanup", str(tmp_path)]) == EXIT_USAGE
    assert capsys.readouterr().err.startswith(f"hil: {tmp_path / HISTORY_FILE}: cannot be read")
