"""Two measured workloads of the simulation: many small worlds, and one world with a fleet that downloads at 20 kbit/s.

They measure the machinery (loop, network, stack), so they run the reference system without faults; where the time goes is the profiler's
business.
"""

import asyncio
import hashlib
import resource
from dataclasses import dataclass

import aiohttp

from harness.clock import SystemClock
from harness.wire.commands import DOWNLOAD_FIRMWARE
from harness.wire.responses import command_path
from simulators.device.flash import Flash
from simulators.world.links import SLOW
from simulators.world.net import NetworkTiming
from simulators.world.record import Record
from simulators.world.run import REFERENCE
from simulators.world.system import IMAGE_NAME, SERVER, Flashware, SimulatedSystem, Station, SystemKind, provisioned_state
from simulators.world.workload import OPERATOR
from simulators.world.world import World

IMAGE_BYTES = 2_250_000  # 15 minutes at 20 kbit/s
_RUN_S_MAX = 3_600.0
_CHUNK_S = 2.0  # with 5 s a world is a third faster, but each slow download holds 15 KB more in flight
_CONNECT_SPREAD_S = 30.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One world: how long it took, its steps, how many devices hold the image, and the memory that it added."""

    devices: int
    installed: int
    real_s: float
    processor_s: float  # of this process: what a loaded machine cannot stretch
    virtual_s: float
    steps: int
    memory_bytes_per_device: float
    digest: str


class DigestStorage(Flashware):
    """A flash that keeps the hash of each area instead of its bytes: a thousand images would be all that memory is spent on."""

    def __init__(self) -> None:
        super().__init__()
        self._hashes: dict[str, hashlib._Hash] = {}

    def erase(self, area: str) -> None:
        self._hashes[area] = hashlib.sha256()

    def append(self, area: str, data: bytes) -> None:
        self._hashes.setdefault(area, hashlib.sha256()).update(data)

    def sha256(self, area: str) -> str:
        return self._hashes.get(area, hashlib.sha256()).hexdigest()


def measure_small_world(seed: int, *, devices: int = 3, image_bytes: int = 20_000) -> Measurement:
    """A world in which each device gets one update over a fast link."""
    return _measure(seed, devices=devices, image_bytes=image_bytes, is_slow=False)


def measure_fleet(seed: int, *, devices: int = 1_000) -> Measurement:
    """A world in which each device gets one command and one 15-minute download."""
    return _measure(seed, devices=devices, image_bytes=IMAGE_BYTES, is_slow=True)


def _measure(seed: int, *, devices: int, image_bytes: int, is_slow: bool) -> Measurement:
    provisioned_state(devices)
    clock = SystemClock()
    begun_s, begun_processor_s, begun_bytes = clock.monotonic_s(), _processor_s(), _peak_memory_bytes()
    with World(f"benchmark/{seed}", timing=NetworkTiming(chunk_s=_CHUNK_S)) as world:
        installed, virtual_s = world.run(SERVER, _update_all(world, devices, image_bytes, is_slow), within_s=_RUN_S_MAX)
        steps, digest = world.loop.steps, world.trace.digest()
    return Measurement(
        devices=devices,
        installed=installed,
        real_s=clock.monotonic_s() - begun_s,
        processor_s=_processor_s() - begun_processor_s,
        virtual_s=virtual_s,
        steps=steps,
        memory_bytes_per_device=(_peak_memory_bytes() - begun_bytes) / devices,
        digest=digest,
    )


async def _update_all(world: World, devices: int, image_bytes: int, is_slow: bool) -> tuple[int, float]:
    record = Record()
    kind = SystemKind(name=REFERENCE.name, storage=DigestStorage)
    if is_slow:
        for number in range(1, devices + 1):
            world.network.host(f"dev-{number}", SLOW)
    system = SimulatedSystem(world, kind, record, devices=devices, image_bytes=image_bytes)
    try:
        await system.start()
        await world.spawn(OPERATOR, _command_all(world, system, spread_s=_CONNECT_SPREAD_S if is_slow else 1.0))
        await _all_results(world, system)
        return sum(_has_image(station, record) for station in system.stations), world.now_s
    finally:
        await system.stop()


async def _command_all(world: World, system: SimulatedSystem, *, spread_s: float) -> None:
    key = system.platform.secrets.api_key("full")
    moments = world.entropy.stream("moments")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        await asyncio.gather(*(_command(session, system, station, moments.uniform(0.0, spread_s)) for station in system.stations))


async def _command(session: aiohttp.ClientSession, system: SimulatedSystem, station: Station, wait_s: float) -> None:
    await station.program.until_listening()
    await asyncio.sleep(wait_s)
    device = station.device
    url = system.platform.api_url + command_path(device.project_id, device.id)
    async with session.post(url, json={"command": DOWNLOAD_FIRMWARE, "data": {"file_name": IMAGE_NAME}}) as response:
        response.raise_for_status()


async def _all_results(world: World, system: SimulatedSystem) -> None:
    done = asyncio.Event()

    def look() -> None:
        if len(system.record.results) >= len(system.stations):
            done.set()

    def look_soon(_station: Station, _number: int) -> None:
        world.loop.call_soon(look)  # the result is noted after its moment

    for station in system.stations:
        station.on_moment = look_soon
    await done.wait()


def _has_image(station: Station, record: Record) -> bool:
    image = (station.storage.flash or Flash()).firmware.current
    return image is not None and image.sha256 in record.images


def _peak_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
