"""Clients that nobody here wrote, against the embedded broker: QoS 2 both ways and persistent sessions with each of them."""

import asyncio
import logging
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest
from amqtt.client import ClientConfig, MQTTClient

MQTTJS_DEVICE = Path(__file__).with_name("mqttjs_device.mjs")
COMMANDS = [b"first", b"second", b"third"]


def address(broker) -> tuple[str, int]:
    host, _, port = broker.mqtt_url.removeprefix("mqtt://").rpartition(":")
    return host, int(port)


async def run_program(*command: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return output.decode().splitlines()


def login(port: int, client_id: str = "dev-1") -> list[str]:
    return ["-p", str(port), "-i", client_id, "-u", client_id, "-P", "token"]


# --- mosquitto_sub and mosquitto_pub -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.peer("mosquitto_sub")
@pytest.mark.requirement("BRK-09")
def test_mosquitto_sub_gets_what_was_queued_for_its_persistent_session(broker_for_strangers, find_program):
    async def run():
        async with broker_for_strangers() as broker:
            command = [find_program("mosquitto_sub"), *login(address(broker)[1]), "-c", "-q", "2", "-t", "dev-1/control/+"]
            await run_program(*command, "-E")
            for payload in COMMANDS:
                await broker.publish("dev-1/control/reboot", payload)
            lines = await run_program(*command, "-C", "3", "-F", "%t %p %q %r", "-W", "10")
            assert lines == [f"dev-1/control/reboot {payload.decode()} 2 0" for payload in COMMANDS]

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.peer("mosquitto_sub")
def test_mosquitto_pub_reaches_mosquitto_sub_with_each_qos(broker_for_strangers, find_program, subscribed):
    async def run():
        async with broker_for_strangers() as broker:
            port = address(broker)[1]
            watch = ["-q", "2", "-t", "dev-2/#", "-C", "3", "-F", "%p %q", "-W", "10"]
            watching = asyncio.create_task(run_program(find_program("mosquitto_sub"), *login(port, "op"), *watch))
            await subscribed(broker, "op")
            for qos in ("0", "1", "2"):
                message = ["-t", "dev-2/x", "-m", f"of {qos}", "-q", qos]
                assert await run_program(find_program("mosquitto_pub"), *login(port, "dev-2"), *message) == []
            assert await watching == ["of 0 0", "of 1 1", "of 2 2"]

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.peer("mosquitto_sub")
def test_mosquitto_sub_is_told_of_a_wrong_password(broker_for_strangers, find_program):
    async def run():
        async with broker_for_strangers() as broker:
            wrong = [*login(address(broker)[1])[:-1], "wrong"]
            lines = await run_program(find_program("mosquitto_sub"), *wrong, "-t", "dev-1/#", "-W", "10")
            assert "not authorised" in lines[0]

    asyncio.run(run())


# --- paho-mqtt -----------------------------------------------------------------------------------------------------------------------


class PahoDevice:
    """A device on paho-mqtt, which runs in a thread of its own."""

    def __init__(self, client_id: str, transport: str = "tcp") -> None:
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=paho.MQTTv311, transport=transport
        )
        self.client.username_pw_set(client_id, "token")
        self.received: list[tuple[bytes, int, bool]] = []
        self.session_present: list[bool] = []
        self.client.on_message = lambda client, data, message: self.received.append((message.payload, message.qos, message.retain))
        self.client.on_connect = self._connected

    def _connected(self, client, data, flags, reason, properties) -> None:
        self.session_present.append(flags.session_present)
        client.subscribe(f"{client._client_id.decode()}/control/+", qos=2)

    def start(self, host: str, port: int) -> None:
        self.client.connect(host, port)
        self.client.loop_start()

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


async def until(is_true) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.slow
@pytest.mark.requirement("CMD-03")
@pytest.mark.requirement("BRK-09")
def test_paho_keeps_its_session_and_gets_each_command_once(broker_for_strangers, subscribed, gone):
    async def run():
        async with broker_for_strangers() as broker:
            device = PahoDevice("dev-1")
            await asyncio.to_thread(device.start, *address(broker))
            await subscribed(broker)
            await broker.publish("dev-1/control/reboot", COMMANDS[0])
            await until(lambda: len(device.received) == 1)
            await asyncio.to_thread(device.stop)
            await gone(broker)
            for payload in COMMANDS[1:]:
                await broker.publish("dev-1/control/reboot", payload)
            await asyncio.to_thread(device.start, *address(broker))
            await until(lambda: len(device.received) == 3)
            await until(lambda: broker.core.session_of("dev-1").inflight == 0)
            await asyncio.to_thread(device.stop)
            assert device.session_present == [False, True]
            assert device.received == [(payload, 2, False) for payload in COMMANDS]

    asyncio.run(run())


@pytest.mark.slow
def test_paho_speaks_over_websockets_too(broker_for_strangers, subscribed):
    async def run():
        async with broker_for_strangers(websocket_port=0) as broker:
            device = PahoDevice("dev-1", transport="websockets")
            device.client.ws_set_options("/mqtt")
            port = int(broker.ws_url.removesuffix("/mqtt").rpartition(":")[2])
            await asyncio.to_thread(device.start, "127.0.0.1", port)
            await subscribed(broker)
            await broker.publish("dev-1/control/reboot", bytes(100_000))
            await until(lambda: device.received)
            published = device.client.publish("dev-1/control/reboot/result", b"{}", qos=2)
            await until(published.is_published)
            await asyncio.to_thread(device.stop)
            assert device.received == [(bytes(100_000), 2, False)]

    asyncio.run(run())


# --- aiomqtt -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_aiomqtt_gets_commands_and_publishes_results(broker_for_strangers, subscribed):
    async def run():
        async with broker_for_strangers() as broker:
            host, port = address(broker)
            results: list[tuple[str, bytes, int]] = []
            options = {"hostname": host, "port": port, "clean_session": False, "password": "token"}

            async def operate() -> None:
                async with aiomqtt.Client(identifier="op", username="op", **options) as operator:
                    await operator.subscribe("+/control/+/result", qos=2)
                    async for message in operator.messages:
                        results.append((message.topic.value, message.payload, message.qos))
                        if len(results) == len(COMMANDS):
                            return

            operating = asyncio.create_task(operate())
            await subscribed(broker, "op")
            async with aiomqtt.Client(identifier="dev-1", username="dev-1", **options) as device:
                await device.subscribe("dev-1/control/+", qos=2)
            for payload in COMMANDS:
                await broker.publish("dev-1/control/reboot", payload)
            async with asyncio.timeout(10), aiomqtt.Client(identifier="dev-1", username="dev-1", **options) as device:
                async for message in device.messages:
                    await device.publish(f"{message.topic.value}/result", message.payload, qos=2)
                    if message.payload == COMMANDS[-1]:
                        break
                await operating
            assert results == [("dev-1/control/reboot/result", payload, 2) for payload in COMMANDS]

    asyncio.run(run())


# --- amqtt's client ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_amqtts_client_keeps_its_session_and_gets_each_command_once(broker_for_strangers, gone, caplog):
    caplog.set_level(logging.CRITICAL)

    async def connected(broker) -> MQTTClient:
        client = MQTTClient(client_id="dev-1", config=ClientConfig(auto_reconnect=False))
        await client.connect(broker.mqtt_url.replace("//", "//dev-1:token@"), cleansession=False)
        return client

    async def run():
        async with broker_for_strangers() as broker:
            device = await connected(broker)
            assert await device.subscribe([("dev-1/control/+", 2)]) == [2]
            await broker.publish("dev-1/control/reboot", COMMANDS[0])
            received = [await device.deliver_message(timeout_duration=10)]
            await device.publish("dev-1/control/reboot/result", b"{}", qos=2)
            await device.disconnect()
            await gone(broker)
            for payload in COMMANDS[1:]:
                await broker.publish("dev-1/control/reboot", payload)
            device = await connected(broker)
            received += [await device.deliver_message(timeout_duration=10) for _ in COMMANDS[1:]]
            await device.disconnect()
            assert [(bytes(message.data), message.qos) for message in received] == [(payload, 2) for payload in COMMANDS]

    asyncio.run(run())


# --- MQTT.js -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.peer("mqttjs")
@pytest.mark.parametrize("is_websocket", [False, True])
def test_mqttjs_keeps_its_session_and_gets_each_command_once(broker_for_strangers, find_program, gone, is_websocket):
    async def run():
        async with broker_for_strangers(websocket_port=0) as broker:
            url = broker.ws_url if is_websocket else broker.mqtt_url
            command = [find_program("node"), str(MQTTJS_DEVICE), url, "dev-1"]
            assert await run_program(*command, "0") == ["connected false", "granted 2"]
            await gone(broker)
            for payload in COMMANDS:
                await broker.publish("dev-1/control/reboot", payload)
            lines = await run_program(*command, "3")
            assert lines == ["connected true", *(f"message dev-1/control/reboot {payload.decode()} 2 false" for payload in COMMANDS)]

    asyncio.run(run())
