"""The hooks that a target file offers do to a running platform what they say."""

import json
import shlex
import subprocess
import urllib.request

import pytest

from simulators.platform.process import PlatformProcess


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform")) as running:
        yield running


def run_hook(target, hook, /, **values):
    command = target["hooks"][hook]
    for key, value in values.items():
        command = command.replace("{" + key + "}", shlex.quote(value))
    return subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True).stdout


def listed_names(target):
    request = urllib.request.Request(
        f"{target['api_url']}/v2/projects/{target['projects'][0]['id']}/files?type=firmware",
        headers={"Authorization": f"Bearer {target['api_keys']['full']}"},
    )
    with urllib.request.urlopen(request) as answer:
        return [file["name"] for file in json.load(answer)["files"]]


@pytest.mark.requirement("LST-06")
def test_upload_and_delete_are_seen_at_once(platform, tmp_path):
    target = platform.target()
    (tmp_path / "image").write_bytes(b"12345")
    values = {"project_id": target["projects"][0]["id"], "type": "firmware", "name": 'it\'s "new".bin'}
    run_hook(target, "upload_file", path=str(tmp_path / "image"), **values)
    assert values["name"] in listed_names(target)
    run_hook(target, "delete_file", **values)
    assert values["name"] not in listed_names(target)


def test_restart_keeps_everything_and_a_provisioned_device_exists(platform):
    target = platform.target()
    device = json.loads(run_hook(target, "provision", project_id=target["projects"][0]["id"]))
    run_hook(target, "set_allowed_commands", device_id=device["id"], value="reboot")
    run_hook(target, "restart")
    assert [entry for entry in platform.target()["devices"] if entry["id"] == device["id"]] == [{**device, "allowed_commands": "reboot"}]
    run_hook(target, "deprovision", device_id=device["id"])
    assert listed_names(target)
