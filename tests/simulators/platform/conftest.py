"""A platform on a real loop with a broker that only writes down what it is given."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

import aiohttp
import pytest

from harness.clock import AdvanceableClock, ManualClock
from harness.entropy import SeededEntropy
from harness.wire.responses import command_path
from simulators.broker.port import BrokerUnavailable
from simulators.platform.platform import PlatformSettings, ReferencePlatform


@dataclass
class RecordingBroker:
    """Takes every message, or none."""

    published: list = field(default_factory=list)
    is_reachable: bool = True
    mqtt_url: str = "mqtt://127.0.0.1:1"

    async def start(self): ...

    async def stop(self): ...

    async def publish(self, topic, payload, *, qos=2, retain=False):
        if not self.is_reachable:
            raise BrokerUnavailable("unplugged")
        self.published.append(SimpleNamespace(topic=topic, payload=payload, qos=qos, retain=retain))

    async def disconnect(self, client_id):
        return False

    def connected_clients(self):
        return frozenset()


class Bench:
    """What a test of the REST side needs, without HTTP noise."""

    def __init__(self, platform, broker, http):
        self.platform, self.broker, self.http = platform, broker, http
        self.target = platform.target()["platform"]
        self.keys = self.target["api_keys"]

    def device(self, kind="mqtt", allowed="", number=0, project=0):
        project_id = self.target["projects"][project]["id"]
        matching = [
            device
            for device in self.target["devices"]
            if (device["kind"], device["allowed_commands"], device["project_id"]) == (kind, allowed, project_id)
        ]
        return sorted(matching, key=lambda device: device["id"])[number]

    async def request(self, method, path, *, authorization=None, **arguments):
        """Status, headers and body of one request; `authorization` is the whole header."""
        headers = {**arguments.pop("headers", {}), **({"Authorization": authorization} if authorization else {})}
        url = path if "://" in path else self.platform.api_url + path
        async with self.http.request(method, url, headers=headers, **arguments) as answer:
            return SimpleNamespace(status=answer.status, headers=answer.headers, body=await answer.read())

    async def command(self, device, body, *, key="full", project_id=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = command_path(project_id or device["project_id"], device["id"])
        return await self.request("POST", path, authorization=f"Bearer {self.keys[key]}", data=data)

    async def offer(self, device, file_name="bootloader.elf", command="download_firmware"):
        answer = await self.command(device, {"command": command, "data": {"file_name": file_name}})
        assert answer.status == 200
        return json.loads(self.broker.published[-1].payload)

    async def fetch(self, device, offer, method="GET", **arguments):
        return await self.request(method, offer["url"], authorization=f"Basic {device['token']}", **arguments)

    def copies(self):
        """The temporary copies that there are now."""
        return list((self.platform.directory / "downloads").iterdir())

    def stored_bytes(self, name):
        (file,) = [file for file in self.target["files"] if file["name"] == name]
        return (self.platform.directory / file["path"]).read_bytes()


@asynccontextmanager
async def running_bench(*, clock=None, observer=None, faults=None, **settings):
    broker = RecordingBroker()
    # The event loop's time and the platform's are one, as on every bench; a test moves the platform's on top of it.
    platform = ReferencePlatform(
        PlatformSettings(**settings),
        lambda directory: broker,
        clock=clock or AdvanceableClock(ManualClock()),
        entropy=SeededEntropy(7),
        observer=observer,
        faults=faults,
    )
    async with platform, aiohttp.ClientSession(auto_decompress=False) as http:
        yield Bench(platform, broker, http)


@pytest.fixture
def on_bench():
    """Runs `scenario(bench)` to its end and returns its result."""

    def run(scenario, **settings):
        async def whole():
            async with running_bench(**settings) as bench:
                return await scenario(bench)

        return asyncio.run(whole())

    return run
