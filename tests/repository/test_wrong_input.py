"""What every command answers to an option or a file that is wrong: one line that names it, exit status 2, no traceback."""

import pytest

from harness.cli import run

TARGET = """
[platform]
name = "gone"
api_url = "http://127.0.0.1:9"
mqtt_url = "mqtt://127.0.0.1:9"
[platform.api_keys]
full = "QB_x"
[[platform.projects]]
id = "p"
[[platform.devices]]
id = "d"
project_id = "p"
token = "t"
kind = "mqtt"
"""


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A working directory with a target file, a file that is no TOML, and a directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "target.toml").write_text(TARGET)
    (tmp_path / "text").write_text("x\n")
    (tmp_path / "directory").mkdir()
    (tmp_path / "boards.toml").write_text('[[boards]]\nname = "a"\nurl = "loop://"\n')
    return tmp_path


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("certify", "--only", "KEY-99"),
        ("certify", "--rerun", "nowhere"),
        ("certify device --inventory nowhere", "--board", "b"),
        ("certify device --inventory boards.toml", "--board", "c"),
        ("board probe --inventory boards.toml", "--board", "c"),
        ("fleet --target target.toml --devices 1", "--out", "text"),
        ("fleet --target target.toml --devices 1", "--file", "nowhere.bin"),
        ("fleet --target target.toml", "--devices", "2"),
        ("load --target target.toml --users 1 --mix steady=1", "--out", "text"),
        ("load --target target.toml --users 1 --mix steady=1", "--run-time", "3x"),
        ("platform", "--state", "text"),
        ("platform", "--state", "text/below"),
        ("platform", "--broker", "mqtt://127.0.0.1:99999"),
        ("device", "--write-device-file", "directory"),
        ("device", "--write-device-file", "nowhere/device.toml"),
        ("simulate --seeds 1", "--out", "text"),
        ("board init", "--out", "nowhere/boards.toml"),
        ("broker serve", "--broker", "mqtt://127.0.0.1:9"),
        ("broker serve", "--port", "70000"),
        ("broker serve", "--websocket-port", "70000"),
        ("report trend", "", "text"),
        ("report show", "", "directory"),
        ("requirements", "--write", "text"),
        ("requirements", "", "KEY-99"),
        ("key trust", "", "nobody me"),
        ("check", "", "text"),
        ("cleanup", "", "nowhere"),
    ],
)
def test_what_is_wrong_is_named_in_one_line_with_status_2(capsys, command, option, value):
    status = run([*command.split(), *([option] if option else []), *value.split()])

    lines = capsys.readouterr().err.splitlines()
    assert (status, len(lines)) == (2, 1), lines
    assert value.split()[0] in lines[0] or option in lines[0]
