"""Clients that nobody here wrote walk through command, message and download: curl, mosquitto_sub, paho-mqtt, amqtt."""

import asyncio
import hashlib
import json
import queue
import subprocess
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import pytest

from simulators.platform.process import PlatformProcess

FIRMWARE = "firmware_v2.1.0.bin"


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform")) as running:
        yield running


@pytest.fixture(scope="module")
def target(platform):
    return platform.target()


def device_of(target, number=0):
    return [device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"]][number]


def stored_sha256(platform, target, name):
    (file,) = [file for file in target["files"] if file["name"] == name]
    return hashlib.sha256((platform.target_path.parent / file["path"]).read_bytes()).hexdigest()


def curl(*arguments):
    """Status and body of a request by curl."""
    answer = subprocess.run(["curl", "-s", "-w", "%{stderr}%{http_code}", *arguments], capture_output=True, timeout=30, check=True)
    return int(answer.stderr), answer.stdout


def command_arguments(target, device, body):
    url = f"{target['api_url']}/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
    return (
        "-H",
        f"Authorization: Bearer {target['api_keys']['full']}",
        "-H",
        "Content-Type: application/json",
        "-d",
        json.dumps(body),
        url,
    )


def download(device, offer):
    return curl("-H", f"Authorization: Basic {device['token']}", offer["url"])


def send_firmware_command(target, device):
    status, body = curl(*command_arguments(target, device, {"command": "download_firmware", "data": {"file_name": FIRMWARE}}))
    assert (status, json.loads(body)["success"]) == (200, True)


def assert_key_works_exactly_once(platform, target, device, offer):
    status, body = download(device, offer)
    assert status == 200
    assert hashlib.sha256(body).hexdigest() == stored_sha256(platform, target, FIRMWARE)
    status, body = download(device, offer)
    assert (status, json.loads(body)["success"]) == (401, False)


@pytest.mark.peer("curl")
@pytest.mark.peer("mosquitto_sub")
@pytest.mark.requirement("CMD-03")
def test_mosquitto_sub_gets_the_command_and_curl_downloads_once(platform, target):
    device = device_of(target, 0)
    broker = urlsplit(target["mqtt_url"])
    topic = f"{device['id']}/control/download_firmware"
    watcher = subprocess.Popen(
        [
            "stdbuf", "-oL", "mosquitto_sub", "-h", broker.hostname, "-p", str(broker.port), "-q", "2", "-i", device["id"],
            "-u", device["id"],
            "-P", device["token"], "-t", topic, "-C", "1", "-W", "30", "-F", "%q %r %t %p", "-d",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in watcher.stdout:
        if "SUBACK" in line:
            break
    send_firmware_command(target, device)
    output, _ = watcher.communicate(timeout=30)
    (message,) = [line for line in output.splitlines() if line.startswith("2 ")]
    qos, retain, arrived_on, payload = message.split(" ", 3)
    assert (qos, retain, arrived_on) == ("2", "0", topic)
    assert_key_works_exactly_once(platform, target, device, json.loads(payload))


@pytest.mark.peer("curl")
@pytest.mark.requirement("CMD-26")
def test_a_paho_device_is_commanded_at_qos_2_and_downloads(platform, target):
    device = device_of(target, 1)
    broker = urlsplit(target["mqtt_url"])
    granted, messages = queue.Queue(), queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device["id"], clean_session=True)
    client.username_pw_set(device["id"], device["token"])
    client.on_connect = lambda client, *_: client.subscribe(f"{device['id']}/control/+", qos=2)
    client.on_subscribe = lambda _client, _data, _mid, codes, _properties: granted.put(codes)
    client.on_message = lambda _client, _data, message: messages.put(message)
    client.connect(broker.hostname, broker.port)
    client.loop_start()
    try:
        assert [code.value for code in granted.get(timeout=30)] == [2]
        send_firmware_command(target, device)
        message = messages.get(timeout=30)
    finally:
        client.disconnect()
        client.loop_stop()
    assert (message.topic, message.qos, message.retain) == (f"{device['id']}/control/download_firmware", 2, False)
    assert_key_works_exactly_once(platform, target, device, json.loads(message.payload))


@pytest.mark.peer("curl")
@pytest.mark.requirement("CMD-05")
def test_an_amqtt_client_gets_a_configuration_and_answers(target):
    amqtt_client = pytest.importorskip("amqtt.client")
    device = device_of(target, 2)
    broker = urlsplit(target["mqtt_url"])
    data = {"sampling_rate": 60, "threshold": 30.5, "name": "Gewächshaus"}

    async def walk():
        client = amqtt_client.MQTTClient(client_id=device["id"], config={"auto_reconnect": False})
        await client.connect(f"mqtt://{device['id']}:{device['token']}@{broker.hostname}:{broker.port}")
        try:
            granted = await client.subscribe([(f"{device['id']}/control/+", 2)])
            answer = await asyncio.to_thread(curl, *command_arguments(target, device, {"command": "configuration", "data": data}))
            message = await client.deliver_message(timeout_duration=30)
            await client.publish(f"{device['id']}/control/configuration/result", b'{"success": true}', qos=2)
        finally:
            await client.disconnect()
        return granted, answer, message

    granted, (status, _), message = asyncio.run(walk())
    assert (granted, status) == ([2], 200)
    assert (message.topic, message.qos, message.retain) == (f"{device['id']}/control/configuration", 2, False)
    assert json.loads(message.data) == data


@pytest.mark.peer("mosquitto_sub")
@pytest.mark.requirement("CMD-23")
def test_a_wrong_token_is_refused_at_connect(target):
    device = device_of(target)
    broker = urlsplit(target["mqtt_url"])
    command = [
        "mosquitto_sub",
        "-h",
        broker.hostname,
        "-p",
        str(broker.port),
        "-i",
        device["id"],
        "-u",
        device["id"],
        "-t",
        "x",
        "-W",
        "20",
    ]
    refused = subprocess.run([*command, "-P", device["token"][:-1]], capture_output=True, text=True, timeout=30)
    assert "not authorised" in refused.stderr
