"""The peer of the bench: devices as Locust's own MqttUser (paho) plays them, doing the same: subscribe with QoS 2, answer each command.

`HIL_LOAD_TARGET=target.toml locust -f mqtt_user_locustfile.py`
"""

import json
import os
from pathlib import Path
from urllib.parse import urlsplit

from locust import constant, task
from locust.contrib.mqtt import MqttUser

from harness.bench.target import read_target
from harness.wire.topics import control_filter, result_topic
from scenarios.load.plan import able_devices

PLATFORM = read_target(Path(os.environ["HIL_LOAD_TARGET"])).platform
FREE = able_devices(PLATFORM.devices)
ADDRESS = urlsplit(PLATFORM.mqtt_url)
RESULT = json.dumps({"success": True, "message": "configured"})


class Device(MqttUser):
    host = ADDRESS.hostname
    port = ADDRESS.port
    wait_time = constant(10.0**9)
    use_loop_selectors = True  # Without, paho ends at some 340 connections.

    def __init__(self, environment):
        device = FREE.pop()
        self.client_id = self.username = self.device_id = device.id
        self.password = device.token
        super().__init__(environment)
        self.client.on_connect = lambda client, *rest: client.subscribe(control_filter(self.device_id), 2)
        self.client.on_message = self.commanded

    def commanded(self, client, userdata, message):
        command = message.topic.split("/")[2]
        client.publish(result_topic(self.device_id, command), RESULT, qos=1)

    @task
    def live(self):
        """All happens in callbacks."""
