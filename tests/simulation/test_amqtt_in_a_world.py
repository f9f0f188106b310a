"""The independent broker runs in a world too, unchanged, and the same way each time."""

import asyncio
import logging

import aiohttp
import pytest

from simulators.broker.amqtt import AmqttBroker
from simulators.broker.port import BrokerSettings
from simulators.device.asyncio_device import AsyncioDevice
from simulators.device.settings import DeviceSettings
from simulators.platform.platform import PlatformSettings, ReferencePlatform
from simulators.world.world import World

# With port 0 amqtt's skin asks the machine for a free port, which is another one each time.
BROKER = BrokerSettings(port=1883)


@pytest.fixture(autouse=True)
def quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


async def configure_three_devices(world):
    settings = PlatformSettings(provision=3)
    platform = ReferencePlatform(settings, lambda directory: AmqttBroker(BROKER, directory), entropy=world.entropy.stream("platform"))
    async with platform:
        devices = [device for device in platform.devices() if device.name.startswith("fleet-")]
        programs = []
        for device in devices:
            own = DeviceSettings.reference(device_id=device.id, token=platform.token(device.id), mqtt_url=platform.mqtt_url)
            programs.append(AsyncioDevice(own, entropy=world.entropy.stream(device.name)))
            world.spawn(device.name, programs[-1].run())
        await asyncio.gather(*(program.until_listening() for program in programs))
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {platform.secrets.api_key('full')}"}) as session:
            for device in devices:
                url = f"{platform.api_url}/v2/projects/{device.project_id}/devices/{device.id}/communication/command"
                async with session.post(url, json={"command": "configuration", "data": {"a": 1}}) as response:
                    assert response.status == 200
        await asyncio.sleep(20)
        for program in programs:
            program.stop()
        await asyncio.sleep(2)
        return [program.storage.load().configuration for program in programs]


def test_amqtt_serves_devices_in_a_world_and_replays():
    digests = []
    for _ in range(2):
        with World(1) as world:
            assert world.run("server", configure_three_devices(world), within_s=600) == [{"a": 1}] * 3
        digests.append(world.trace.digest())
    assert digests[0] == digests[1]
