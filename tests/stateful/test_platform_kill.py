"""SIGKILL of the platform between issue and use of a key, and after it: what was promised still holds after the next start."""

import json
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import pytest

from simulators.platform.process import PlatformProcess


def device_of(target):
    return next(device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"])


def fetch(request):
    """Status and body."""
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def issued_offer(target, device):
    """Sends a download command while the device listens, and returns what it is offered."""
    broker = urlsplit(target["mqtt_url"])
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device["id"])
    client.username_pw_set(device["id"], device["token"])
    offers = []
    client.on_message = lambda client, _data, message: (offers.append(json.loads(message.payload)), client.disconnect())
    client.on_connect = lambda client, *_: client.subscribe(f"{device['id']}/control/+", qos=2)
    client.on_subscribe = lambda *_: fetch(command)
    url = f"{target['api_url']}/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
    body = json.dumps({"command": "download_firmware", "data": {"file_name": "bootloader.elf"}}).encode()
    command = urllib.request.Request(url, body, {"Authorization": f"Bearer {target['api_keys']['full']}"})
    client.connect(broker.hostname, broker.port)
    client.loop_forever()
    return offers[0]


def download(device, offer):
    return fetch(urllib.request.Request(offer["url"], headers={"Authorization": f"Basic {device['token']}"}))


@pytest.mark.requirement("KEY-02")
def test_a_key_that_was_issued_before_a_kill_works_exactly_once_after_it(tmp_path):
    platform = PlatformProcess(tmp_path)
    with platform:
        target = platform.target()
        device = device_of(target)
        offer = issued_offer(target, device)
        platform.kill()
        platform.start()
        assert platform.target() == target
        assert download(device, offer)[0] == 200
        assert download(device, offer)[0] == 401


@pytest.mark.requirement("KEY-02")
def test_a_key_that_was_used_before_a_kill_is_dead_after_it(tmp_path):
    platform = PlatformProcess(tmp_path)
    with platform:
        target = platform.target()
        device = device_of(target)
        offer = issued_offer(target, device)
        assert download(device, offer)[0] == 200
        platform.kill()
        platform.start()
        assert download(device, offer)[0] == 401
        assert list((tmp_path / "downloads").iterdir()) == []
