"""`--tls-self-signed`: curl and paho trust the CA that the target file names, and nobody else."""

import json
import queue
import ssl
import subprocess
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import pytest

from simulators.platform.process import PlatformProcess


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    with PlatformProcess(tmp_path_factory.mktemp("platform"), "--tls-self-signed") as running:
        yield running


@pytest.mark.peer("curl")
def test_curl_and_paho_walk_through_over_tls(platform):
    target = platform.target()
    ca = str(platform.target_path.parent / target["tls"]["ca"])
    device = next(device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"])
    broker = urlsplit(target["mqtt_url"])
    assert (broker.scheme, urlsplit(target["api_url"]).scheme) == ("mqtts", "https")
    messages, subscribed = queue.Queue(), queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device["id"])
    client.username_pw_set(device["id"], device["token"])
    client.tls_set_context(ssl.create_default_context(cafile=ca))
    client.on_connect = lambda client, *_: client.subscribe(f"{device['id']}/control/+", qos=2)
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.on_message = lambda _client, _data, message: messages.put(message)
    client.connect(broker.hostname, broker.port)
    client.loop_start()
    try:
        subscribed.get(timeout=30)
        url = f"{target['api_url']}/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
        body = json.dumps({"command": "download_logo", "data": {"file_name": "logo.png"}})
        bearer = f"Authorization: Bearer {target['api_keys']['full']}"
        subprocess.run(["curl", "-sf", "--cacert", ca, "-H", bearer, "-d", body, url], check=True, timeout=30, capture_output=True)
        offer = json.loads(messages.get(timeout=30).payload)
    finally:
        client.disconnect()
        client.loop_stop()
    assert offer["url"].startswith("https://")
    fetch = ["curl", "-sf", "--cacert", ca, "-H", f"Authorization: Basic {device['token']}", offer["url"]]
    assert len(subprocess.run(fetch, check=True, timeout=30, capture_output=True).stdout) == 2_345


@pytest.mark.peer("curl")
def test_a_client_that_does_not_know_the_ca_is_not_served(platform):
    done = subprocess.run(["curl", "-s", platform.target()["api_url"] + "/healthz"], timeout=30, capture_output=True)
    assert done.returncode == 60
