"""The benches behind the pytest plugin's fixtures (entry point group `hil.benches`)."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from harness.bench.device_file import read_device_file
from harness.bench.http_driver import HttpDriver
from harness.bench.platform_bench import register_secrets
from harness.bench.target import Platform, TargetDevice, read_target
from harness.bench.target_clock import advance_test_clock
from harness.bench.tls import ssl_context
from harness.entropy import SeededEntropy
from harness.errors import BenchError
from harness.history.events import FULL_API_KEY
from harness.operations import Answer, Call
from harness.pytest_plugin import Wanted
from harness.wire.commands import DeviceKind
from harness.wire.responses import command_path
from scenarios.certify.device import board_of, built_in_maker, device_maker, leased, serial_line_of
from scenarios.certify.pair import built_in_device, embedded
from simulators.counterpart.bench import DeviceBench
from simulators.fleet.admission import Credentials
from simulators.fleet.fleet import Fleet
from simulators.fleet.ledger import Ledger
from simulators.platform.platform import PlatformSettings, ReferencePlatform

_FLEET_WITHIN_S = 30.0


@asynccontextmanager
async def virtual_device(wanted: Wanted) -> AsyncIterator[DeviceBench]:
    """The virtual device of this product."""
    make_device = built_in_maker(wanted.seed, wanted.recorder)
    async with DeviceBench(built_in_device(), make_device, wanted.recorder, SeededEntropy(wanted.seed)) as bench:
        yield bench


@asynccontextmanager
async def declared_device(wanted: Wanted) -> AsyncIterator[DeviceBench]:
    """The device of a device file."""
    assert wanted.device is not None
    file = read_device_file(wanted.device)
    board = board_of(file, wanted.device)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hil-device-")))
        lease = None if board is None else await stack.enter_async_context(leased(board, wait_s=0.0))
        make_device = device_maker(file, wanted.device, directory, wanted.recorder, seed=wanted.seed, board=board, lease=lease)
        find_line = serial_line_of(board)
        yield await stack.enter_async_context(
            DeviceBench(file, make_device, wanted.recorder, SeededEntropy(wanted.seed), find_line=find_line)
        )


class PlatformUnderTest:
    """A platform for a test to question."""

    def __init__(self, platform: Platform, http: HttpDriver, wanted: Wanted) -> None:
        self._platform = platform
        self._http = http
        self._wanted = wanted
        self.api_url = platform.api_url
        self.mqtt_url = platform.mqtt_url
        self.devices = platform.devices
        self.files = platform.files
        self.has_clock = platform.clock is not None

    async def call(self, call: Call) -> Answer:
        """Sends any request."""
        return await self._http.call(call)

    async def send_command(self, device: TargetDevice, command: str, data: dict[str, Any] | None = None) -> Answer:
        """Sends a command with the full API key."""
        headers = (("Authorization", f"Bearer {self._platform.api_keys.full}"), ("Content-Type", "application/json"))
        body = json.dumps({"command": command, "data": data or {}}).encode()
        path = command_path(device.project_id, device.id)
        return await self._http.call(
            Call("POST", path, "command", FULL_API_KEY, headers, body, project_id=device.project_id, device_id=device.id)
        )

    async def fetch(self, url: str, device: TargetDevice) -> Answer:
        """Downloads the URL of a download command with a device's token."""
        path = "/" + url.split("/", 3)[3]
        headers = (("Authorization", f"Basic {device.token}"),)
        return await self._http.call(Call("GET", path, "download", f"token:{device.id}", headers, device_id=device.id))

    async def advance(self, seconds: float) -> None:
        """Moves the platform's test clock forward."""
        await advance_test_clock(self._platform, seconds, self._wanted.recorder, trace=self._http.next_trace())

    @asynccontextmanager
    async def fleet(self) -> AsyncIterator["ConnectedFleet"]:
        """A virtual device for each MQTT device of the target, connected."""
        tls = ssl_context(self._platform.tls) if self._platform.mqtt_url.startswith("mqtts") else None
        fleet = Fleet(mqtt_url=self._platform.mqtt_url, entropy=SeededEntropy(self._wanted.seed), ledger=Ledger(), tls=tls)
        fleet.add([Credentials(device.id, device.token) for device in self.devices if device.kind is DeviceKind.MQTT])
        await fleet.connect()
        try:
            if not await fleet.until_connected(asyncio.get_running_loop().time() + _FLEET_WITHIN_S):
                raise BenchError(f"{fleet.counts.connected} of {len(fleet.lines)} devices connected within {_FLEET_WITHIN_S:g} s")
            yield ConnectedFleet(fleet)
        finally:
            await fleet.disconnect()


class ConnectedFleet:
    """What a test may know of a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    @property
    def devices(self) -> int:
        return len(self._fleet.lines)

    @property
    def connected(self) -> int:
        return self._fleet.counts.connected


@asynccontextmanager
async def platform(wanted: Wanted) -> AsyncIterator[PlatformUnderTest]:
    """The platform of a target file, or else the reference platform with its test clock."""
    if wanted.target is not None:
        async with _questioned(read_target(wanted.target).platform, wanted) as questioned:
            yield questioned
        return
    settings = PlatformSettings(test_clock=True, seed=wanted.seed)
    async with (
        ReferencePlatform(settings, embedded) as reference,
        _questioned(read_target(reference.target_path).platform, wanted) as questioned,
    ):
        yield questioned


@asynccontextmanager
async def _questioned(target: Platform, wanted: Wanted) -> AsyncIterator[PlatformUnderTest]:
    register_secrets(target, wanted.recorder)
    async with HttpDriver(target, wanted.recorder) as http:
        yield PlatformUnderTest(target, http, wanted)
