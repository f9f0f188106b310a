"""The target file: what is read from it, and that every mistake is one line that names file, table, key and value."""

import json
from pathlib import Path

import pytest

from harness.bench.target import read_target
from harness.errors import ConfigurationError
from harness.wire.commands import DeviceKind

GOOD = """
[platform]
name = "staging"
api_url = "http://127.0.0.1:8080/"
mqtt_url = "mqtt://127.0.0.1:1883"

[platform.api_keys]
full = "QB_full"

[[platform.projects]]
id = "p-1"

[[platform.devices]]
id = "d-1"
project_id = "p-1"
token = "t-1"
kind = "intemo-wifi"
allowed_commands = "reboot"
"""


def written(directory: Path, text: str) -> Path:
    path = directory / "target.toml"
    path.write_text(text)
    return path


def mistake(directory: Path, text: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_target(written(directory, text))
    assert "\n" not in str(caught.value)
    assert str(directory / "target.toml") in str(caught.value)
    return caught.value


def test_a_good_file_is_read(tmp_path):
    platform = read_target(written(tmp_path, GOOD)).platform

    assert platform.api_url == "http://127.0.0.1:8080"  # without the slash at its end
    assert platform.api_keys.read_only is None
    assert platform.devices[0].kind is DeviceKind.INTEMO_WIFI
    assert platform.devices[0].disposable is True
    assert platform.hardening == "should"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: cannot be read"):
        read_target(tmp_path / "nowhere.toml")


def test_text_that_is_no_toml_is_named(tmp_path):
    assert "is no TOML" in str(mistake(tmp_path, "[platform\n"))


def test_a_missing_table_is_named(tmp_path):
    found = mistake(tmp_path, "title = 1\n")

    assert (found.table, found.problem) == ("platform", "the table is missing")


@pytest.mark.parametrize(
    ("old", "new", "table", "key", "problem"),
    [
        ('full = "QB_full"', 'read_only = "QB_r"', "platform.api_keys", "full", "is missing"),
        ('name = "staging"', 'name = "staging"\nnmae = 1', "platform", "nmae", "unknown key; allowed: name, api_url"),
        ('name = "staging"', "name = 5", "platform", "name", "found 5"),
        ('api_url = "http://127.0.0.1:8080/"', 'api_url = "ftp://x"', "platform", "api_url", "'ftp://x' is no URL of the kind http://host"),
        ('api_url = "http://127.0.0.1:8080/"', 'api_url = "http://x:99999"', "platform", "api_url", "is no URL"),
        ('mqtt_url = "mqtt://127.0.0.1:1883"', 'mqtt_url = "http://x"', "platform", "mqtt_url", "mqtts://host"),
        ('kind = "intemo-wifi"', 'kind = "zigbee"', "platform.devices.0", "kind", "'intemo-wifi'"),
        ('project_id = "p-1"', 'project_id = "p-9"', "platform.devices.0", "project_id", "'p-9' is none of [[platform.projects]]: p-1"),
        ('token = "t-1"', 'token = "env:HIL_NO_SUCH_VARIABLE"', "platform.devices.0", "token", "'HIL_NO_SUCH_VARIABLE' is not set"),
        ('token = "t-1"', 'token = "file:no-such-file"', "platform.devices.0", "token", "cannot be read"),
        ('token = "t-1"', 'token = "file:\\u0000"', "platform.devices.0", "token", "cannot be read"),
        ('name = "staging"', 'name = "staging"\ndevices_file = "\\u0000"', "platform", "devices_file", "cannot be read"),
        (
            "[platform.api_keys]",
            '[platform.tls]\nclient_key = "k"\n[platform.api_keys]',
            "platform",
            "tls",
            "of no use without client_cert",
        ),
        (
            "[platform.api_keys]",
            '[platform.declares]\n"KEY-99" = "x"\n[platform.api_keys]',
            "platform",
            "declares",
            "'KEY-99' is no requirement",
        ),
        (
            "[platform.api_keys]",
            '[platform.declares]\n"KEY-08" = "x"\n[platform.api_keys]',
            "platform",
            "declares",
            "first-use or complete",
        ),
        ("[platform.api_keys]", f'[platform.tls]\nca = "{"a" * 300}"\n[platform.api_keys]', "platform.tls", "ca", "is no file"),
        ("[platform.api_keys]", '[platform.tls]\nca = "target.toml"\n[platform.api_keys]', "platform.tls", "ca", "no certificate"),
    ],
)
def test_a_mistake_names_its_table_key_and_value(tmp_path, old, new, table, key, problem):
    found = mistake(tmp_path, GOOD.replace(old, new))

    assert (found.table, found.key) == (table, key)
    assert problem in found.problem


def test_a_device_that_stands_twice_is_a_mistake(tmp_path):
    device = GOOD[GOOD.index("[[platform.devices]]") :]

    assert "'d-1' stands there twice" in mistake(tmp_path, GOOD + device).problem


def test_a_file_of_the_storage_must_be_there(tmp_path):
    entry = '[[platform.files]]\nproject_id = "p-1"\ntype = "firmware"\nname = "a.bin"\npath = "a.bin"\n'

    assert mistake(tmp_path, GOOD + entry).key == "path"
    (tmp_path / "a.bin").write_bytes(b"x")
    assert read_target(written(tmp_path, GOOD + entry)).platform.files[0].path == tmp_path / "a.bin"


def test_secrets_come_from_the_environment_and_from_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HIL_TEST_KEY", "QB_secret")
    (tmp_path / "token").write_text("t-secret\n")
    text = GOOD.replace('"QB_full"', '"env:HIL_TEST_KEY"').replace('"t-1"', '"file:token"')

    platform = read_target(written(tmp_path, text)).platform

    assert (platform.api_keys.full, platform.devices[0].token) == ("QB_secret", "t-secret")


def test_more_devices_come_from_a_file_of_json_lines(tmp_path):
    more = {"id": "d-2", "project_id": "p-1", "token": "t-2", "kind": "mqtt"}
    (tmp_path / "devices.jsonl").write_text(json.dumps(more) + "\n")
    text = GOOD.replace('name = "staging"', 'name = "staging"\ndevices_file = "devices.jsonl"')

    assert [device.id for device in read_target(written(tmp_path, text)).platform.devices] == ["d-1", "d-2"]


def test_a_broken_line_of_the_devices_file_is_named(tmp_path):
    (tmp_path / "devices.jsonl").write_text("{}\n{\n")
    text = GOOD.replace('name = "staging"', 'name = "staging"\ndevices_file = "devices.jsonl"')

    assert "devices.jsonl:2 is no JSON" in mistake(tmp_path, text).problem


def with_http(line: str) -> str:
    return GOOD.replace("[[platform.projects]]", f"[platform.http]\n{line}\n\n[[platform.projects]]")


def test_a_secrets_file_that_is_no_text_is_one_line(tmp_path):
    (tmp_path / "token").write_bytes(b"\xff\xfe\x00")

    assert "cannot be read" in mistake(tmp_path, GOOD.replace('"t-1"', '"file:token"')).problem


def test_what_a_gateway_wants_may_come_from_the_environment_and_is_a_secret_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("GATE", "open sesame")
    monkeypatch.setenv("PROXY", "http://us:hush@proxy:3128")
    text = with_http('proxy = "env:PROXY"\nheaders = { "X-Api-Key" = "env:GATE", "X-Env" = "staging" }')
    http = read_target(written(tmp_path, text)).platform.http
    assert http.headers == {"X-Api-Key": "open sesame", "X-Env": "staging"}
    assert http.secrets() == {"<header:X-Api-Key>": "open sesame", "<proxy:password>": "hush"}


def test_a_proxy_that_is_no_url_is_named(tmp_path):
    assert "proxy" in str(mistake(tmp_path, with_http('proxy = "proxy:3128"')))
