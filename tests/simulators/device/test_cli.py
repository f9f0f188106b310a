"""`hil device`: mistakes of the user are one line and status 2; the device file starts this very device."""

import re
import tomllib
from pathlib import Path

import pytest

from harness.bench.device_file import (
    BenchAddress,
    Configuration,
    Declares,
    Device,
    Factory,
    Identity,
    Image,
    Observe,
    Prepare,
)
from harness.bench.target import read_target
from harness.cli import run
from harness.errors import ConfigurationError
from simulators.device.cli import from_environment, from_target, open_storage
from simulators.device.example_file import example_file
from simulators.device.flash import DirectoryStorage, MemoryStorage
from simulators.device.personalities import PERSONALITIES

ENVIRONMENT = {"HIL_MQTT_URL": "mqtt://127.0.0.1:7", "HIL_DEVICE_ID": "dev-1", "HIL_DEVICE_TOKEN": "token"}

TARGET = """
[platform]
name = "bare"
api_url = "http://127.0.0.1:1"
mqtt_url = "{mqtt_url}"
[platform.api_keys]
full = "k"
[[platform.projects]]
id = "p"
[[platform.devices]]
id = "dev-1"
project_id = "p"
token = "secret"
kind = "mqtt"
"""


def target_file(tmp_path, mqtt_url="mqtt://127.0.0.1:7"):
    path = tmp_path / "target.toml"
    path.write_text(TARGET.format(mqtt_url=mqtt_url))
    read_target(path)
    return path


def test_the_environment_says_who_the_device_is():
    settings = from_environment(ENVIRONMENT | {"HIL_KEEP_ALIVE_S": "5"})
    assert (settings.device_id, settings.token, settings.mqtt_url, settings.keep_alive_s) == ("dev-1", "token", "mqtt://127.0.0.1:7", 5)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"HIL_MQTT_URL": ""}, "HIL_MQTT_URL"),
        ({"HIL_DEVICE_TOKEN": ""}, "HIL_DEVICE_TOKEN"),
        ({"HIL_KEEP_ALIVE_S": "soon"}, "HIL_KEEP_ALIVE_S"),
        ({"HIL_KEEP_ALIVE_S": "70000"}, "HIL_KEEP_ALIVE_S"),
        ({"HIL_MQTT_URL": "http://127.0.0.1"}, "mqtt_url"),
        ({"HIL_CA_FILE": "/nowhere.pem"}, "HIL_CA_FILE"),
    ],
)
def test_a_wrong_environment_is_named(changes, problem):
    with pytest.raises(ConfigurationError, match=problem):
        from_environment(ENVIRONMENT | changes)


def test_a_target_file_says_it_too(tmp_path):
    assert from_target(target_file(tmp_path), "dev-1", 30).token == "secret"


@pytest.mark.parametrize(("device_id", "mqtt_url"), [("dev-2", "mqtt://h"), ("dev-1", "ws://h")])
def test_a_device_or_address_that_cannot_be_played_is_named(tmp_path, device_id, mqtt_url):
    with pytest.raises(ConfigurationError, match=r"dev-2|ws://h"):
        from_target(target_file(tmp_path, mqtt_url), device_id, 30)


def test_without_a_directory_flash_is_memory(tmp_path):
    assert isinstance(open_storage(None), MemoryStorage)
    assert isinstance(open_storage(tmp_path / "state"), DirectoryStorage)


def test_a_state_directory_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="state directory"):
        open_storage(tmp_path / "file")


@pytest.mark.parametrize(
    "arguments",
    [["device", "--personality", "nobody"], ["device", "--keep-alive", "x"], ["device", "--target", "/nowhere.toml", "--device", "d"]],
)
def test_mistakes_end_with_status_2(arguments, capsys):
    assert run(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_personalities_are_listed_with_what_they_break(capsys):
    assert run(["device", "--list-personalities"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(PERSONALITIES)
    assert any(line.startswith("delivers-twice:") and "DEV-04" in line for line in lines)


def test_the_device_file_starts_this_personality(tmp_path, capsys):
    path = tmp_path / "device.toml"
    assert run(["device", "--personality", "qos1-only", "--write-device-file", str(path)]) == 0
    tables = tomllib.loads(path.read_text())
    assert tables["device"]["run"]["exec"].endswith("device --personality qos1-only")
    assert Path(tables["device"]["run"]["exec"].split()[0]).is_file()
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "model"),
    [
        (lambda file: file["device"], Device),
        (lambda file: file["device"]["identity"], Identity),
        (lambda file: file["device"]["declares"], Declares),
        (lambda file: file["device"]["factory"], Factory),
        (lambda file: file["device"]["images"][0], Image),
        (lambda file: file["device"]["configurations"][0], Configuration),
        (lambda file: file["device"]["observe"], Observe),
        (lambda file: file["device"]["prepare"], Prepare),
        (lambda file: file["bench"], BenchAddress),
    ],
)
def test_the_device_file_shows_every_key_there_is(table, model):
    text = example_file(Path("device.toml"), "reference")
    shown = tomllib.loads(re.sub(r"(?m)^# (?=\[|\w+ = )", "", text))
    assert table(shown).keys() == model.model_fields.keys()
