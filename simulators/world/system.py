"""The system that is simulated: the reference platform with its embedded broker on the host `server`, devices on hosts of their own.

Nothing here is a stand-in: the classes are those that `hil platform` and `hil device` run. What differs between the right system and the
planted ones is one `SystemKind`.
"""

import asyncio
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeAlias

from harness.clock import Clock
from harness.wire.commands import DOWNLOADS, download_key, parse_download_offer
from harness.wire.files import FileType
from harness.wire.topics import parse_control_topic
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import BrokerSettings
from simulators.device.asyncio_device import AsyncioDevice
from simulators.device.firmware import Effect, Message, PublishResult
from simulators.device.flash import DownloadJob, Flash, MemoryStorage, area_name
from simulators.device.personality import REFERENCE as REFERENCE_DEVICE
from simulators.device.personality import Cause, Notes, Personality
from simulators.device.settings import DeviceSettings
from simulators.platform.access import Device
from simulators.platform.observation import HeaderFields, SeenRequest
from simulators.platform.platform import PlatformSettings, ReferencePlatform
from simulators.platform.rules import REFERENCE as REFERENCE_RULES
from simulators.platform.rules import Rules
from simulators.world.record import DeviceState, DownloadResult, Executed, KeyUse, Record
from simulators.world.world import World

Executes: TypeAlias = Callable[[Notes, DeviceSettings, Flash, Cause, tuple[Effect, ...]], tuple[Effect, ...]]

IMAGE_NAME = "simulated.bin"
KEEP_ALIVE_S = 60
SERVER = "server"
_API_PORT = 8080
_MQTT_PORT = 1883


def same_platform(platform: ReferencePlatform) -> None:
    """The platform as it is."""


def same_clock(clock: Clock) -> Clock:
    """The platform's clock as it is."""
    return clock


class Flashware(MemoryStorage):
    """A device's flash that is told when the power goes, so that planted ones can lose what they had not written."""

    def power_lost(self) -> None:
        """What is not saved by now never will be."""


@dataclass(frozen=True, slots=True)
class SystemKind:
    """A system to simulate. The defaults are the right one; `planted` has wrong ones. `finds` names rules that must catch it."""

    name: str = "reference"
    story: str = "Keeps every promise."
    finds: tuple[str, ...] = ()
    rules: Rules = field(default_factory=lambda: REFERENCE_RULES)
    personality: Personality = REFERENCE_DEVICE
    storage: Callable[[], Flashware] = Flashware
    clock: Callable[[Clock], Clock] = same_clock
    tamper: Callable[[ReferencePlatform], None] = same_platform


def memory_directory() -> Path | None:
    """Where files cost no disk: a simulated second must not wait for an fsync. None where the system has no such place."""
    place = Path("/dev/shm")
    return place if place.is_dir() and os.access(place, os.W_OK) else None


@cache
def provisioned_state(devices: int) -> "tempfile.TemporaryDirectory[str]":
    """The state of a platform that has been started once with so many devices: the same bytes in every process.

    Making it costs more than a whole small run (2 MB of files, the records); each run starts from a copy. Not to be called in a world.
    """
    directory = _temporary_directory()
    with World("provisioning") as world:
        platform = ReferencePlatform(
            PlatformSettings(state_directory=Path(directory.name), api_port=_API_PORT, provision=devices),
            lambda logins: EmbeddedBroker(BrokerSettings(port=_MQTT_PORT), logins),
            clock=world.clock,
            entropy=world.entropy.stream("platform"),
        )
        world.run(SERVER, _start_and_stop(platform), within_s=60.0)
    return directory


async def _start_and_stop(platform: ReferencePlatform) -> None:
    await platform.start()
    await platform.stop()


def _temporary_directory() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="hil-world-", dir=memory_directory(), ignore_cleanup_errors=True)


def _fresh_state(devices: int) -> "tempfile.TemporaryDirectory[str]":
    """A copy of the provisioned state; contents never change, so they are linked."""
    source, directory = Path(provisioned_state(devices).name), _temporary_directory()
    for path in sorted(source.rglob("*")):
        place = Path(directory.name) / path.relative_to(source)
        if path.is_dir():
            place.mkdir()
        elif path.parent.name == "contents":
            place.hardlink_to(path)
        else:
            shutil.copyfile(path, place)
    return directory


class Doorkeeper:
    """Sees what the platform's door sees: uses of keys, and answers that must not be."""

    def __init__(self, world: World, record: Record, names: dict[str, str]) -> None:
        self._world = world
        self._record = record
        self._names = names
        self._uses: dict[int, KeyUse] = {}
        self._endpoints: dict[int, str] = {}

    def request(self, exchange: int, request: SeenRequest) -> None:
        self._endpoints[exchange] = request.endpoint
        self._uses.pop(exchange, None)  # after a restart the platform counts from 1 again
        if request.endpoint != "download":
            return
        device = self._names.get(request.device_id, request.device_id)
        host = self._world.network.name_at(request.peer)
        use = KeyUse(download_key(request.url) or "", host, device, self._world.now_s, self._world.clock.utc_s())
        self._uses[exchange] = use
        self._record.uses.append(use)

    def response(self, exchange: int, status: int, headers: HeaderFields) -> None:
        if exchange in self._uses:
            self._uses[exchange].status = status
        if status == 500:
            self._record.server_errors.append((self._world.now_s, self._endpoints[exchange], status))

    def progress(self, exchange: int, sent_bytes: int) -> None:
        return

    def ended(self, exchange: int, sent_bytes: int, *, complete: bool, body: bytes, problem: str) -> None:
        if exchange in self._uses:
            self._uses[exchange].is_complete = complete


class Station:
    """One device with its host and its power switch. Its effects go into the record."""

    def __init__(self, world: World, record: Record, kind: SystemKind, device: Device, token: str, mqtt_url: str, number: int) -> None:
        self.name = f"dev-{number}"
        self.device = device
        self.token = token
        self.storage = kind.storage()
        self.on_offer: Callable[[Station, str, float], None] = _nobody_listens
        self.on_moment: Callable[[Station, int], None] = _nobody_waits
        self._moments = 0
        self._world = world
        self._record = record
        self._settings = DeviceSettings.reference(device_id=device.id, token=token, mqtt_url=mqtt_url, keep_alive_s=KEEP_ALIVE_S)
        self._personality = replace(kind.personality, executes=self._note(kind.personality.executes))
        self._task: asyncio.Task[object] | None = None
        self.power_on()

    def power_on(self) -> None:
        """Starts the firmware, unless it runs."""
        if self._task is not None:
            return
        self._world.network.power_on(self.name)
        if self.storage.flash is not None:
            self._record.states.append(self.state(is_connected=False))
        entropy = self._world.entropy.stream(f"{self.name}/{self._world.now_s}")
        self.program = AsyncioDevice(self._settings, entropy=entropy, storage=self.storage, personality=self._personality)
        self._task = self._world.spawn(self.name, self.program.run())

    def power_off(self) -> None:
        """Everything of the device stops now; only its flash stays."""
        if self._task is not None:
            self._world.network.power_off(self.name)
            self._task.cancel()
            self._task = None
            self.storage.power_lost()

    def state(self, *, is_connected: bool) -> DeviceState:
        """What can be seen of the device now; of its flash not by the storage's own word: a planted one lies."""
        flash = self.storage.flash or Flash()
        image = flash.firmware.current
        content = self.storage.areas.get(area_name(FileType.FIRMWARE, flash.firmware.in_use), b"")
        return DeviceState(
            at_s=self._world.now_s,
            device=self.name,
            is_connected=is_connected,
            jobs=len(flash.jobs),
            results_owed=len(flash.session.outgoing),
            configured=flash.configuration.get("number", 0),
            image=image.sha256 if image else "",
            area=hashlib.sha256(content).hexdigest() if image else "",
        )

    def _note(self, executes: Executes) -> Executes:
        def noting(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
            effects = executes(notes, settings, flash, cause, effects)
            self._moments += 1
            self.on_moment(self, self._moments)
            if isinstance(cause, Message):
                self._note_command(cause, effects)
            else:
                self._note_result(cause, effects)
            return effects

        return noting

    def _note_command(self, message: Message, effects: tuple[Effect, ...]) -> None:
        topic = parse_control_topic(message.topic)
        if topic is None or not effects:
            return
        if topic.command not in DOWNLOADS:
            number = json.loads(message.payload).get("number", 0)
            self._record.executed.append(Executed(self._world.now_s, self.name, topic.command, number))
            return
        offer = parse_download_offer(message.payload)
        if offer is None:
            return
        ends_utc_s = datetime.fromisoformat(offer.expires_at).timestamp()
        key = download_key(offer.url) or ""
        self._record.executed.append(Executed(self._world.now_s, self.name, topic.command, 0, key, ends_utc_s))
        for effect in effects:
            if isinstance(effect, PublishResult):  # refused at once: too many downloads wait
                self._record.results.append(DownloadResult(self._world.now_s, self.name, key, False, str(effect.body.get("message"))))
        self.on_offer(self, offer.url, ends_utc_s)

    def _note_result(self, job: DownloadJob, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, PublishResult):
                body = effect.body
                key = download_key(job.url) or ""
                self._record.results.append(
                    DownloadResult(self._world.now_s, self.name, key, bool(body.get("success")), str(body.get("message")))
                )


def _nobody_waits(station: Station, moment: int) -> None:
    return


def _nobody_listens(station: Station, url: str, ends_utc_s: float) -> None:
    return


class SimulatedSystem:
    """Platform, broker and devices in a world. Start it on the host `server`."""

    def __init__(self, world: World, kind: SystemKind, record: Record, *, devices: int, image_bytes: int) -> None:
        self.world = world
        self.record = record
        self.kind = kind
        self.stations: list[Station] = []
        self._names: dict[str, str] = {}
        self._restarting = asyncio.Lock()
        self._directory = _fresh_state(devices)
        settings = PlatformSettings(
            state_directory=Path(self._directory.name),
            api_port=_API_PORT,
            provision=devices,
            rules=kind.rules,
            shutdown_timeout_s=1.0,
            name="simulated",
        )
        self.platform = ReferencePlatform(
            settings,
            lambda directory: EmbeddedBroker(
                BrokerSettings(port=_MQTT_PORT, state_directory=Path(self._directory.name) / "broker"), directory
            ),
            clock=kind.clock(world.clock),
            entropy=world.entropy.stream("platform"),
            observer=Doorkeeper(world, record, self._names),
        )
        self._image_bytes = image_bytes

    async def start(self) -> None:
        """The platform serves, the devices have power."""
        await self.platform.start()
        self.kind.tamper(self.platform)
        devices = [device for device in self.platform.devices() if device.name.startswith("fleet-")]
        image = self.world.entropy.stream("image").random_bytes(self._image_bytes)
        self.record.images.add(hashlib.sha256(image).hexdigest())
        self.platform.upload(devices[0].project_id, FileType.FIRMWARE, IMAGE_NAME, image)
        for number, device in enumerate(devices, 1):
            token = self.platform.token(device.id)
            station = Station(self.world, self.record, self.kind, device, token, self.platform.mqtt_url, number)
            self.stations.append(station)
            self._names[device.id] = station.name

    async def stop(self) -> None:
        """Ends everything."""
        for station in self.stations:
            station.power_off()
        async with self._restarting:
            await self.platform.stop()
        self._directory.cleanup()

    async def restart_platform(self) -> None:
        """Stops and starts the platform with its broker; one restart at a time, as nobody restarts what is being restarted."""
        async with self._restarting:
            await self.platform.restart()
            self.kind.tamper(self.platform)

    def ends(self) -> list[DeviceState]:
        """Every device as it is now; whether it is connected, by the broker's word."""
        connected = self.platform.broker.connected_clients() or frozenset()
        return [station.state(is_connected=station.device.id in connected) for station in self.stations]

    def pending(self) -> list[str]:
        """What is owed and not done yet."""
        states = self.ends()
        missing = [f"{state.device} is not connected" for state in states if not state.is_connected]
        missing += [f"{state.device} has {state.jobs} downloads that did not end" for state in states if state.jobs]
        missing += [f"{state.device} owes {state.results_owed} results" for state in states if state.results_owed]
        return missing
