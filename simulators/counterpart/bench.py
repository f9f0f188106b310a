"""The bench on which a device is questioned: stations with a platform each, and the operations of a device scenario."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from harness.bench.device_file import Device, DeviceFile
from harness.device_operations import (
    Boot,
    CutConnection,
    Inject,
    Interfere,
    PowerCut,
    RestartBroker,
    SendPacket,
    Settle,
    SpoilDownload,
    Store,
    StoredFile,
    Tell,
    Until,
)
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.entropy import Entropy
from harness.errors import BenchError, ScenarioError
from harness.history.events import Event, MqttPacket, Stimulus
from harness.history.recorder import Recorder
from harness.operations import Announce, Call
from harness.scenario import Scenario
from harness.wire.responses import command_path
from simulators.counterpart.station import MakeDevice, Station
from simulators.counterpart.watch import Watch
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind

# What the device's own claims do not bound: how long a device may take to settle before it is asked something new.
_QUIET_S = 0.2


@dataclass
class _Place:
    """A station with what the present scenario sees of it."""

    station: Station
    watch: Watch
    is_free: bool = True
    retained: tuple[str, ...] = ()
    images: int = 0


class _Stage:
    """Hands each place's watch the events about its device."""

    def __init__(self) -> None:
        self.places: list[_Place] = []

    def write(self, event: Event) -> None:
        device_id = getattr(event.fact, "device_id", None)
        for place in self.places:
            if device_id == place.station.device_id or (device_id is None and event.scope and event.scope == place.station.scope):
                place.watch.write(event)


class DeviceBench:
    """Questions a device. `instances` of it stand side by side, each with its own identity; 1 for a device that exists only once."""

    def __init__(self, file: DeviceFile, make_device: MakeDevice, recorder: Recorder, entropy: Entropy, *, instances: int = 1) -> None:
        self._file = file
        self._recorder = recorder
        self._entropy = entropy
        self._make_device = make_device
        self._instances = instances
        self._stage = _Stage()
        self._stack = AsyncExitStack()
        self._perform: dict[type, Callable[[_Place, Any], Any]] = {
            Boot: self._boot,
            Tell: self._tell,
            Inject: self._inject,
            SendPacket: self._send_packet,
            Announce: self._announce,
            Store: self._store,
            Interfere: self._interfere,
            SpoilDownload: self._spoil,
            CutConnection: self._cut_connection,
            RestartBroker: self._restart_broker,
            PowerCut: self._power_cut,
            Until: self._until,
            Settle: self._settle,
        }

    @property
    def device(self) -> Device:
        return self._file.device

    async def __aenter__(self) -> Self:
        self._recorder.add_sink(self._stage)
        for number in range(self._instances):
            station = Station(self.device, self._file.bench, self._entropy.stream(f"station {number}"), self._recorder, self._make_device)
            await self._stack.enter_async_context(station)
            self._stage.places.append(_Place(station, Watch()))
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._stack.aclose()

    # --- what the runner asks -------------------------------------------------------------------------------------------------------

    def rule_out(self, scenario: Scenario) -> str | None:
        needs: DeviceNeeds = scenario.needs
        return needs.rule_out(self.device)

    def cast(self, scenario: Scenario) -> DeviceCast | None:
        place = next((place for place in self._stage.places if place.is_free), None)
        if place is None:
            return None
        place.is_free = False
        place.station.scope = scenario.name
        place.watch.mark()
        return DeviceCast(self.device, place.station.device_id, self._configurations())

    def _configurations(self) -> tuple[dict[str, object], ...]:
        """Legal configurations: the declared ones, or small objects of our own."""
        if self.device.configurations:
            return tuple(configuration.data for configuration in self.device.configurations)
        # Neighbours differ in a key, so that merging them can be told from replacing.
        keys = ("threshold", "reporting_interval")
        return tuple({"sampling_rate": 60 + number, keys[number % 2]: 30 - number} for number in range(8))

    def roles(self, cast: DeviceCast) -> dict[str, str]:
        return {"device": cast.device_id}

    async def dismiss(self, cast: DeviceCast) -> None:
        """Ends all faults, takes retained messages away, and gives the place free."""
        place = self._place(cast.device_id)
        place.station.broker.set_faults(None)
        place.station.spoilage.times = 0
        for topic in place.retained:
            await place.station.broker.publish(topic, b"", qos=1, retain=True)
        place.retained = ()
        place.station.scope = ""
        place.is_free = True

    async def perform(self, cast: DeviceCast, operation: Any) -> Any:
        """Does one operation of `harness.device_operations` at the scenario's place."""
        perform = self._perform.get(type(operation))
        if perform is None:
            raise ScenarioError(f"this bench has no operation {operation!r}")
        place = self._place(cast.device_id)
        if not isinstance(operation, Until | Settle):
            place.watch.mark()
        return await perform(place, operation)

    def _place(self, device_id: str) -> _Place:
        return next(place for place in self._stage.places if place.station.device_id == device_id)

    # --- operations -----------------------------------------------------------------------------------------------------------------

    async def _boot(self, place: _Place, operation: Boot) -> None:
        connect_s = self.device.declares.connect_s
        if place.station.is_connected:
            return
        await place.station.power.on()
        found = await place.watch.until(_is_listening, count=1, within_s=connect_s)
        if not found and not place.station.is_connected:
            raise BenchError(f"no connection from the device within connect_s = {connect_s:g} s")

    async def _tell(self, place: _Place, operation: Tell) -> int | None:
        station = place.station
        answer = await station.http.call(
            Call(
                method="POST",
                path=command_path(station.project_id, station.device_id),
                endpoint="command",
                credential="api-key:full",
                headers=(("Authorization", f"Bearer {station.api_key}"), ("Content-Type", "application/json")),
                body=json.dumps({"command": operation.command, "data": operation.data}).encode(),
                project_id=station.project_id,
                device_id=station.device_id,
            )
        )
        return answer.status

    async def _inject(self, place: _Place, operation: Inject) -> None:
        if operation.retain:
            place.retained += (operation.topic,)
        await place.station.broker.publish(operation.topic, operation.payload, qos=operation.qos, retain=operation.retain)

    async def _send_packet(self, place: _Place, operation: SendPacket) -> bool:
        return place.station.broker.send_packet(place.station.device_id, operation.packet)

    async def _announce(self, place: _Place, operation: Announce) -> None:
        self._recorder.record(Stimulus(operation.name, operation.facts))

    async def _store(self, place: _Place, operation: Store) -> StoredFile:
        content = operation.content
        if content is None:
            content = self._image(place, operation)
        name = place.station.store(operation.file_type, content)
        return StoredFile(name, len(content), hashlib.sha256(content).hexdigest())

    def _image(self, place: _Place, operation: Store) -> bytes:
        """The declared images in turn, so that each is another one than the last; random bytes where none is declared."""
        declared = [image for image in self.device.images if image.type is operation.file_type and image.valid is operation.valid]
        place.images += 1
        if declared:
            return declared[place.images % len(declared)].path.read_bytes()
        return self._entropy.stream(f"image {place.images}").random_bytes(operation.size_bytes)

    async def _interfere(self, place: _Place, operation: Interfere) -> None:
        place.station.broker.set_faults(operation.plan)

    async def _spoil(self, place: _Place, operation: SpoilDownload) -> None:
        place.station.spoilage.fault = DownloadFault(DownloadFaultKind(operation.kind), **operation.options)
        place.station.spoilage.times = operation.times

    async def _cut_connection(self, place: _Place, operation: CutConnection) -> bool:
        return await place.station.broker.disconnect(place.station.device_id)

    async def _restart_broker(self, place: _Place, operation: RestartBroker) -> None:
        await place.station.broker.stop()
        await asyncio.sleep(operation.down_s)
        await place.station.broker.start()

    async def _power_cut(self, place: _Place, operation: PowerCut) -> None:
        await place.station.power.cut()
        await place.station.power.on()

    async def _until(self, place: _Place, operation: Until) -> list[Event]:
        return await place.watch.until(operation.matches, count=operation.count, within_s=operation.within_s)

    async def _settle(self, place: _Place, operation: Settle) -> None:
        await asyncio.sleep(max(operation.duration_s, _QUIET_S))


def _is_listening(fact: Any) -> bool:
    """Whether the device's subscriptions stand, or its resumed session makes them stand."""
    if not isinstance(fact, MqttPacket) or fact.sent_by != "server":
        return False
    return fact.type == "SUBACK" or (fact.type == "CONNACK" and fact.session_present is True)
