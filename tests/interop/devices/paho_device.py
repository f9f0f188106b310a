"""A small device on paho-mqtt, written as its user would write it: no part of hil is used. Run by `[device.run] exec` of a device file."""

import hashlib
import json
import os
import queue
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt

DEVICE_ID = os.environ["HIL_DEVICE_ID"]
TOKEN = os.environ["HIL_DEVICE_TOKEN"]
BROKER = urlsplit(os.environ["HIL_MQTT_URL"])
STATE = Path(os.environ["HIL_STATE_DIR"])
CONFIGURATION = STATE / "configuration.json"
FACTORY = {"sampling_rate": 300}
PAYLOAD_BYTES_MAX = 4096
HTTP_TIMEOUT_S = 60

downloads: queue.Queue = queue.Queue()
reboot = threading.Event()
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=DEVICE_ID, clean_session=False)


def configuration():
    return json.loads(CONFIGURATION.read_text()) if CONFIGURATION.exists() else FACTORY


def save(values):
    scratch = CONFIGURATION.with_suffix(".new")
    scratch.write_text(json.dumps(values))
    scratch.replace(CONFIGURATION)


def answer(command, success, message, **members):
    body = json.dumps({"success": success, "message": message, **members})
    return client.publish(f"{DEVICE_ID}/control/{command}/result", body, qos=1)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would send the token along to wherever a redirect leads."""

    def redirect_request(self, *arguments):
        return None


def fetch(url):
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {TOKEN}"})
    opener = urllib.request.build_opener(NoRedirects)
    with opener.open(request, timeout=HTTP_TIMEOUT_S) as response:
        return response.read()


def download_forever():
    while True:
        command, url = downloads.get()
        try:
            image = fetch(url)
            (STATE / command).write_bytes(image)
            answer(command, True, "installed", size=len(image), sha256=hashlib.sha256(image).hexdigest())
        except Exception as error:
            answer(command, False, f"{type(error).__name__}: {error}")


def execute(command, data):
    if command == "configuration":
        save(data)
        answer(command, True, "applied")
    elif command == "send_configuration":
        wanted = data.get("keys")
        values = configuration()
        shown = values if wanted is None else {key: values[key] for key in wanted if key in values}
        answer(command, True, "configuration", configuration=shown)
    elif command in ("download_firmware", "download_logo"):
        downloads.put((command, data["url"]))
    elif command == "reset":
        save(FACTORY)
        answer(command, True, "factory configuration restored")
    elif command == "reboot":
        answer(command, True, "rebooting")
        reboot.set()
    else:
        answer(command, False, "unknown command")


def on_connect(client, userdata, flags, reason_code, properties):
    if not reason_code.is_failure:
        client.subscribe(f"{DEVICE_ID}/control/+", qos=2)


def on_message(client, userdata, message):
    command = message.topic.rsplit("/", 1)[1]
    try:
        if message.retain:
            raise ValueError("a retained command is stale")
        if len(message.payload) > PAYLOAD_BYTES_MAX:
            raise ValueError("the payload is too long")
        data = json.loads(message.payload)
        if not isinstance(data, dict):
            raise ValueError("the payload is no JSON object")
        execute(command, data)
    except (ValueError, KeyError) as error:
        answer(command, False, f"{type(error).__name__}: {error}")


client.username_pw_set(DEVICE_ID, TOKEN)
client.on_connect = on_connect
client.on_message = on_message
client.reconnect_delay_set(min_delay=1, max_delay=60)
threading.Thread(target=download_forever, daemon=True).start()
client.connect_async(BROKER.hostname, BROKER.port or 1883, keepalive=int(os.environ.get("HIL_KEEP_ALIVE_S", "30")))
threading.Thread(target=lambda: client.loop_forever(retry_first_connection=True), daemon=True).start()
reboot.wait()
# The acknowledgements of the reboot must leave before the device does.
threading.Event().wait(0.5)
client.disconnect()
sys.exit(0)
