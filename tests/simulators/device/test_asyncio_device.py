"""The asyncio skin in virtual time: the same code that runs on sockets, on a simulated loop and network."""

import asyncio
import errno
import json
from dataclasses import replace

import pytest
from aiohttp import web

from harness.entropy import SeededEntropy
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Publish
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.device.asyncio_device import AsyncioDevice, Ending
from simulators.device.broker_line import broker_address
from simulators.device.flash import MemoryStorage
from simulators.device.personalities import PERSONALITIES
from simulators.device.personality import REFERENCE
from simulators.device.settings import FACTORY_CONFIGURATION, DeviceSettings
from simulators.world.world import World

IMAGE = b"\x00\x01" * 5000


class Bench:
    """A broker and a download server on one host; devices on hosts of their own."""

    def __init__(self, world):
        self.world = world
        self.requests = []
        self.body_pause_s = 0.0
        self.results = []

    async def start(self):
        self.broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
        await self.broker.start()
        application = web.Application()
        application.router.add_get("/file", self.serve)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 8080).start()

    async def serve(self, request):
        self.requests.append(request)
        response = web.StreamResponse(headers={"Content-Length": str(len(IMAGE))})
        await response.prepare(request)
        for start in range(0, len(IMAGE), 1000):
            await response.write(IMAGE[start : start + 1000])
            await asyncio.sleep(self.body_pause_s)
        return response

    def device(self, personality=REFERENCE, storage=None, **changes):
        settings = DeviceSettings.reference(device_id="dev-1", token="token", mqtt_url=self.broker.mqtt_url, keep_alive_s=10)
        lines = []
        device = AsyncioDevice(
            replace(settings, **changes), entropy=SeededEntropy(1), storage=storage, personality=personality, console=lines.append
        )
        device.lines = lines
        device.task = self.world.spawn("dev-1", device.run())
        return device

    async def send(self, command, data):
        await self.broker.publish(f"dev-1/control/{command}", json.dumps(data).encode())


def in_a_world(scenario):
    """Runs `scenario(bench)`; returns the world."""
    with World(1) as world:

        async def main():
            bench = Bench(world)
            await bench.start()
            await scenario(bench)
            await bench.broker.stop()

        world.run("server", main(), within_s=4000)
        assert world.unhandled == []
    return world


def test_a_download_of_fourteen_minutes_keeps_the_connection():
    async def scenario(bench):
        bench.body_pause_s = 84.0
        device = bench.device()
        await device.until_listening()
        await bench.send("download_firmware", {"url": "http://127.0.0.1:8080/file", "expires_at": ""})
        await asyncio.sleep(900)
        assert device.storage.load().firmware.current.size_bytes == len(IMAGE)
        assert device.lines.count("connected") == 1

    in_a_world(scenario)


def test_a_stalled_download_fails_and_commands_are_answered_meanwhile():
    async def scenario(bench):
        bench.body_pause_s = 10_000.0
        device = bench.device()
        await device.until_listening()
        await bench.send("download_firmware", {"url": "http://127.0.0.1:8080/file", "expires_at": ""})
        await bench.send("configuration", {"a": 1})
        await asyncio.sleep(10)
        assert device.storage.load().configuration == {"a": 1}
        await asyncio.sleep(200)
        assert device.storage.load().jobs == ()
        assert device.storage.load().firmware.current is None

    in_a_world(scenario)


def test_a_power_cut_during_a_download_leaves_the_old_image_and_one_failure():
    async def scenario(bench):
        bench.body_pause_s = 5.0
        device = bench.device()
        await device.until_listening()
        await bench.send("download_firmware", {"url": "http://127.0.0.1:8080/file", "expires_at": ""})
        await asyncio.sleep(10)
        device.power_cut()
        await asyncio.sleep(100)
        assert device.boots == 2
        assert device.storage.load().firmware.current is None
        assert device.storage.load().jobs == ()
        assert len(bench.requests) == 1

    in_a_world(scenario)


def test_a_download_that_cannot_be_stored_fails_and_the_next_one_is_taken():
    class FullStorage(MemoryStorage):
        def append(self, area, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    async def scenario(bench):
        device = bench.device(storage=FullStorage())
        await device.until_listening()
        for _ in range(2):
            await bench.send("download_firmware", {"url": "http://127.0.0.1:8080/file", "expires_at": ""})
        await asyncio.sleep(30)
        assert len(bench.requests) == 2
        assert device.storage.load().jobs == ()

    in_a_world(scenario)


def test_a_dead_server_is_noticed_by_the_missing_pingresp():
    async def scenario(bench):
        device = bench.device()
        await device.until_listening()
        bench.world.network.partition("dev-1", "server", 60)
        await asyncio.sleep(120)
        assert "the server does not answer PINGREQ" in device.lines
        await device.until_listening()

    in_a_world(scenario)


def test_reconnects_wait_longer_and_longer():
    async def scenario(bench):
        device = bench.device()
        await device.until_listening()
        url = bench.broker.mqtt_url
        await bench.broker.stop()
        await asyncio.sleep(120)
        attempts = sum("no connection" in line for line in device.lines)
        assert 8 <= attempts <= 25
        await bench.broker.start()
        assert bench.broker.mqtt_url == url
        await device.until_listening()

    in_a_world(scenario)


COMMAND = Publish("dev-1/control/configuration", b'{"a": 1}')


@pytest.mark.parametrize(
    "answers",
    [
        (Connack(False, 0), Connack(False, 0), COMMAND),  # a second CONNACK: the server breaks the protocol
        (Connack(False, 5), COMMAND),  # the login is refused
    ],
)
def test_what_comes_behind_the_reason_to_hang_up_is_not_executed(answers):
    async def scenario(bench):
        def serve(reader, writer):
            writer.write(b"".join(map(encode, answers)))

        server = await asyncio.start_server(serve, "127.0.0.1", 1999)
        device = bench.device(mqtt_url="mqtt://127.0.0.1:1999")
        await asyncio.sleep(5)
        device.stop()
        await device.task
        server.close()
        assert device.storage.load().configuration == FACTORY_CONFIGURATION

    in_a_world(scenario)


def test_stop_ends_with_a_clean_disconnect():
    async def scenario(bench):
        device = bench.device()
        await device.until_listening()
        device.stop()
        assert await device.task is Ending.STOPPED

    in_a_world(scenario)


@pytest.mark.parametrize("personality", PERSONALITIES.values(), ids=lambda personality: personality.name)
def test_every_personality_lives_through_a_conversation(personality):
    async def scenario(bench):
        device = bench.device(personality)
        async with asyncio.timeout(60):
            await device.until_listening()
        for command, data in [
            ("configuration", {"a": 1}),
            ("send_configuration", {"keys": ["a"]}),
            ("unknown", {}),
            ("download_firmware", {"url": "http://127.0.0.1:8080/file", "expires_at": "2024-01-15T11:00:00Z"}),
            ("download_logo", {"url": "http://127.0.0.1:8080/nothing", "expires_at": "2024-01-15T11:00:00Z"}),
            ("reset", {}),
            ("reboot", {}),
        ]:
            await bench.send(command, data)
            await asyncio.sleep(1)
        await bench.broker.disconnect("dev-1")
        await asyncio.sleep(30)
        device.stop()
        async with asyncio.timeout(10):
            await device.task

    in_a_world(scenario)


@pytest.mark.parametrize("url", ["http://127.0.0.1", "mqtt://", "127.0.0.1:1883", "ws://127.0.0.1"])
def test_an_address_that_is_no_broker_is_refused(url):
    with pytest.raises(ValueError, match="mqtt"):
        broker_address(url)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://h", ("h", 1883, False)),
        ("mqtts://h", ("h", 8883, True)),
        ("mqtt://[::1]:7", ("::1", 7, False)),
    ],
)
def test_a_broker_address_has_its_default_port(url, address):
    assert broker_address(url) == address
