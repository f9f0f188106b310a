"""Devices on other people's MQTT clients, and on ours: a process of its own, for `make bench PART=fleet`.

`python peer_clients.py CLIENT HOST PORT` prints "ready" once it is loaded, then obeys JSON lines: `{"connect": N}` makes N devices, which
subscribe to their control topics with QoS 2; `{"expect": M}` waits until they were given M commands. A device answers each command with a
result, QoS 1, and does nothing else. All are used as their documentation shows it.
"""

import sys

if sys.argv[1] == "locust":
    from gevent import monkey

    monkey.patch_all()

import asyncio
import json
import os
import threading
from contextlib import AsyncExitStack

CONNECTS_AT_A_TIME = 128
RESULT = b'{"success": true}'


def name_of(number):
    return f"dev-{number:05}"


def told(answer):
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


class Arrivals:
    """Counts commands; somebody waits for a number of them."""

    def __init__(self):
        self.count = 0
        self.expected = None
        self.is_enough = threading.Event()

    def one(self):
        self.count += 1
        if self.count == self.expected:
            self.is_enough.set()

    def until(self, expected):
        self.expected = expected
        if self.count < expected:
            self.is_enough.wait()


# --- on threads, or greenlets in their place ---


def paho_devices(host, port, count, arrivals):
    import paho.mqtt.client as mqtt

    return [threaded_device(mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name_of(n)), host, port, n, arrivals) for n in range(count)]


def locust_devices(host, port, count, arrivals):
    import paho.mqtt.client as mqtt
    from locust.contrib.mqtt import MqttUser
    from locust.env import Environment

    environment = Environment()
    MqttUser.use_loop_selectors = True  # without, no more than 340 devices
    devices = []
    for number in range(count):
        MqttUser.host, MqttUser.port, MqttUser.client_id, MqttUser.protocol = host, port, name_of(number), mqtt.MQTTv311
        user = MqttUser(environment)
        client = user.client
        devices.append(threaded_device(client, host, port, number, arrivals, is_connecting=True))
    return devices


def threaded_device(client, host, port, number, arrivals, *, is_connecting=False):
    """A paho client with a loop of its own, which keeps the callbacks that it has; returns the event of its SUBACK."""
    subscribed = threading.Event()
    also_connected, also_subscribed = client.on_connect, client.on_subscribe

    def on_connect(client, *arguments):
        if also_connected is not None:
            also_connected(client, *arguments)
        client.subscribe(f"{name_of(number)}/control/+", 2)

    def on_subscribe(*arguments):
        if also_subscribed is not None:
            also_subscribed(*arguments)
        subscribed.set()

    def on_message(client, userdata, message):
        client.publish(message.topic + "/result", RESULT, 1)
        arrivals.one()

    client.on_connect, client.on_message, client.on_subscribe = on_connect, on_message, on_subscribe
    if not is_connecting:
        client.connect(host, port)
        client.loop_start()
    elif client.is_connected():
        on_connect(client, None, {}, 0)
    return subscribed


def play_threads(connect, host, port):
    arrivals = Arrivals()
    told("ready")
    for device in connect(host, port, json.loads(sys.stdin.readline())["connect"], arrivals):
        device.wait()
    told("connected")
    expected = json.loads(sys.stdin.readline())["expect"]
    told("waiting")
    arrivals.until(expected)
    told("delivered")
    sys.stdin.readline()


# --- on asyncio ---


async def aiomqtt_devices(host, port, count, arrived):
    import aiomqtt

    stack = AsyncExitStack()
    gate = asyncio.Semaphore(CONNECTS_AT_A_TIME)

    async def listen(client):
        async for message in client.messages:
            arrived()
            await client.publish(f"{message.topic}/result", RESULT, 1)

    async def connect(number):
        async with gate:
            client = aiomqtt.Client(host, port, identifier=name_of(number))
            await stack.enter_async_context(client)
            await client.subscribe(f"{name_of(number)}/control/+", 2)
        return asyncio.create_task(listen(client))

    return await asyncio.gather(*(connect(number) for number in range(count))), stack


async def amqtt_devices(host, port, count, arrived):
    from amqtt.client import MQTTClient

    gate = asyncio.Semaphore(CONNECTS_AT_A_TIME)

    async def listen(client):
        while True:
            message = await client.deliver_message()
            arrived()
            await client.publish(f"{message.topic}/result", RESULT, 1)

    async def connect(number):
        async with gate:
            client = MQTTClient(client_id=name_of(number))
            await client.connect(f"mqtt://{host}:{port}/")
            await client.subscribe([(f"{name_of(number)}/control/+", 2)])
        return asyncio.create_task(listen(client))

    return await asyncio.gather(*(connect(number) for number in range(count)))


async def our_devices(host, port, count, arrived):
    from harness.entropy import SeededEntropy
    from simulators.fleet.admission import Credentials
    from simulators.fleet.fleet import Fleet
    from simulators.fleet.ledger import Ledger

    fleet = Fleet(mqtt_url=f"mqtt://{host}:{port}", entropy=SeededEntropy(1), ledger=Ledger())
    fleet.add([Credentials(name_of(number), "token") for number in range(count)])
    released = fleet.ledger.delivered

    def seen(correlation, *, device_id, at_s):
        arrived()
        return released(correlation, device_id=device_id, at_s=at_s)

    fleet.ledger.delivered = seen
    await fleet.connect()
    await fleet.until_connected(asyncio.get_running_loop().time() + 120)
    return fleet


async def play_tasks(connect, host, port):
    read = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(read), sys.stdin)
    told("ready")
    count, expected, enough = 0, None, asyncio.Event()

    def arrived():
        nonlocal count
        count += 1
        if count == expected:
            enough.set()

    kept = await connect(host, port, json.loads(await read.readline())["connect"], arrived)
    told("connected")
    expected = json.loads(await read.readline())["expect"]
    told("waiting")
    await enough.wait()
    told("delivered")
    await read.readline()
    return kept


THREADED = {"paho-mqtt": paho_devices, "locust": locust_devices}
ASYNC = {"aiomqtt": aiomqtt_devices, "amqtt": amqtt_devices, "hil": our_devices}


def load(name):
    """Imports what the client needs, so that its code does not count as a device's memory."""
    if name == "hil":
        import simulators.fleet.fleet  # noqa: F401
    else:
        __import__({"paho-mqtt": "paho.mqtt.client", "locust": "locust.contrib.mqtt", "amqtt": "amqtt.client"}.get(name, name))


def main(name, host, port):
    load(name)
    if name in THREADED:
        play_threads(THREADED[name], host, int(port))
    elif name == "hil":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(play_tasks(our_devices, host, int(port)))
    else:
        asyncio.run(play_tasks(ASYNC[name], host, int(port)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    finally:
        sys.stdout.flush()
        # Thousands of threads and tasks would say good-bye one by one; nobody measures that.
        os._exit(0)
