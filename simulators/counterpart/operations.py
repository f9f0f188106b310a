"""What a scenario may ask of the bench (`harness.device_operations`), done at a place: its platform, its broker, its device."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any

from harness.bench.device_file import Device
from harness.bench.shell import run_shell
from harness.device_operations import (
    AlterOffer,
    Boot,
    CutConnection,
    FollowKeyPolicy,
    Inject,
    Interfere,
    Observe,
    PowerCut,
    RedirectElsewhere,
    RestartBroker,
    SendPacket,
    Settle,
    SpoilDownload,
    Store,
    StoredFile,
    Tell,
    Until,
    UntilConnected,
)
from harness.entropy import Entropy
from harness.errors import BenchError, ScenarioError
from harness.history.events import FULL_API_KEY, Event, HookRun, Observed, Stimulus
from harness.history.recorder import Recorder
from harness.operations import Announce, Call
from harness.wire.responses import command_path
from simulators.counterpart.entry_state import EntryState
from simulators.counterpart.images import made_up_image
from simulators.counterpart.offers import OfferChange
from simulators.counterpart.places import Place
from simulators.counterpart.watch import comes_true
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind

# What the device's own claims do not bound: how long a device may take to settle before it is asked something new.
_QUIET_S = 0.2
_OBSERVER_S = 30.0


class Operations:
    """Carries out operations with devices of one declaration, and writes down what it does to them."""

    def __init__(self, device: Device, entry_state: EntryState, recorder: Recorder, entropy: Entropy) -> None:
        self._device = device
        self._recorder = recorder
        self._entropy = entropy
        self._perform: dict[type, Callable[[Place, Any], Any]] = {
            Boot: entry_state.reach,
            Tell: self._tell,
            Inject: self._inject,
            SendPacket: self._send_packet,
            Announce: self._announce,
            Store: self._store,
            Interfere: self._interfere,
            SpoilDownload: self._spoil,
            AlterOffer: self._alter_offer,
            FollowKeyPolicy: self._follow_key_policy,
            RedirectElsewhere: self._redirect_elsewhere,
            Observe: self._observe,
            UntilConnected: self._until_connected,
            CutConnection: self._cut_connection,
            RestartBroker: self._restart_broker,
            PowerCut: self._power_cut,
            Until: self._until,
            Settle: self._settle,
        }

    async def perform(self, place: Place, operation: Any) -> Any:
        """The operation's outcome. Raises BenchError, and ScenarioError for an operation that there is not."""
        perform = self._perform.get(type(operation))
        if perform is None:
            raise ScenarioError(f"this bench has no operation {operation!r}")
        return await perform(place, operation)

    async def _tell(self, place: Place, operation: Tell) -> int | None:
        station = place.station
        answer = await station.http.call(
            Call(
                method="POST",
                path=command_path(station.project_id, station.device_id),
                endpoint="command",
                credential=FULL_API_KEY,
                headers=(("Authorization", f"Bearer {station.api_key}"), ("Content-Type", "application/json")),
                body=json.dumps({"command": operation.command, "data": operation.data}).encode(),
                project_id=station.project_id,
                device_id=station.device_id,
            )
        )
        if answer.status != 200:
            raise BenchError(f"our own platform answered {answer.status} to the command {operation.command!r}")
        return answer.status

    async def _inject(self, place: Place, operation: Inject) -> None:
        if operation.retain:
            place.retained += (operation.topic,)
        await place.station.broker.publish(operation.topic, operation.payload, qos=operation.qos, retain=operation.retain)

    async def _send_packet(self, place: Place, operation: SendPacket) -> bool:
        return place.station.broker.send_packet(place.station.device_id, operation.packet)

    async def _announce(self, place: Place, operation: Announce) -> None:
        self._recorder.record(Stimulus(operation.name, operation.facts))

    async def _store(self, place: Place, operation: Store) -> StoredFile:
        content, source = (operation.content, "") if operation.content is not None else self._image(place, operation)
        name = place.station.store(operation.file_type, content)
        stored = StoredFile(name, len(content), hashlib.sha256(content).hexdigest())
        facts = {"name": stored.name, "size_bytes": stored.size_bytes, "sha256": stored.sha256}
        self._announce_for(place, "stored", facts | {"is_valid": operation.valid, "source": source})
        return stored

    def _announce_for(self, place: Place, name: str, facts: dict[str, Any]) -> None:
        self._recorder.record(Stimulus(name, {"device_id": place.station.device_id, **facts}))

    def _image(self, place: Place, operation: Store) -> tuple[bytes, str]:
        """The declared images in turn, so that each is another one than the last, with their names; made-up ones where none is declared."""
        declared = [image for image in self._device.images if image.type is operation.file_type and image.valid is operation.valid]
        place.images += 1
        if declared:
            path = declared[place.images % len(declared)].path
            return path.read_bytes(), path.name
        return made_up_image(self._entropy.stream(f"image {place.images}"), place.images, operation.size_bytes), ""

    async def _interfere(self, place: Place, operation: Interfere) -> None:
        place.station.broker.set_faults(operation.plan)

    async def _spoil(self, place: Place, operation: SpoilDownload) -> None:
        place.station.spoilage.fault = DownloadFault(DownloadFaultKind(operation.kind), **operation.options)
        place.station.spoilage.times = operation.times
        shown = {name: value for name, value in operation.options.items() if not isinstance(value, bytes)}
        if operation.times:
            self._announce_for(place, "download spoilt", {"kind": operation.kind, **shown})

    async def _alter_offer(self, place: Place, operation: AlterOffer) -> None:
        if operation.other_port and place.station.other_port is None:
            raise BenchError("the platform has no other port")
        port = place.station.other_port if operation.other_port else None
        place.station.broker.change = OfferChange(
            operation.query, port, operation.expires_in_s, spelled_otherwise=operation.spelled_otherwise
        )
        facts = {"query": operation.query, "expires_in_s": operation.expires_in_s, "port": port}
        self._announce_for(place, "offer altered", facts | {"spelled_otherwise": operation.spelled_otherwise})

    async def _follow_key_policy(self, place: Place, operation: FollowKeyPolicy) -> None:
        place.station.follow_key_policy(operation.policy)
        self._announce_for(place, "key policy", {"policy": operation.policy})

    async def _redirect_elsewhere(self, place: Place, operation: RedirectElsewhere) -> None:
        if place.station.trap is None:
            raise BenchError("there is no second host")
        options = {"status": operation.status, "location": place.station.trap.url, "body": operation.body}
        await self._spoil(place, SpoilDownload("redirect", options, operation.times))

    async def _observe(self, place: Place, operation: Observe) -> str | None:
        command = getattr(self._device.observe, operation.name)
        if command is None:
            return None
        directory = self._device.observe.directory_of(command)
        ended = await run_shell(command, within_s=_OBSERVER_S, environment=place.station.power.environment, directory=directory)
        self._recorder.record(HookRun(operation.name, command, ended.status, ended.said))
        if ended.status:
            raise BenchError(f"[device.observe] {operation.name} ended with status {ended.status}: {ended.last_words}")
        self._recorder.record(Observed(place.station.device_id, operation.name, ended.output))
        return ended.output

    async def _until_connected(self, place: Place, operation: UntilConnected) -> bool:
        return await comes_true(lambda: place.station.is_connected, operation.within_s)

    async def _cut_connection(self, place: Place, operation: CutConnection) -> bool:
        how = f"{operation.before_refusals} refused connects" if operation.before_refusals else "a lost network connection"
        self._announce_for(place, "connection lost", {"how": how, "is_refused": bool(operation.before_refusals)})
        return await place.station.broker.disconnect(place.station.device_id)

    async def _restart_broker(self, place: Place, operation: RestartBroker) -> None:
        self._announce_for(place, "connection lost", {"how": "a restart of the broker"})
        await place.station.broker.stop()
        await asyncio.sleep(operation.down_s)
        await place.station.broker.start()

    async def _power_cut(self, place: Place, operation: PowerCut) -> None:
        await place.station.power.cut()
        await place.station.power.on()

    async def _until(self, place: Place, operation: Until) -> list[Event]:
        return await place.watch.until(operation.matches, count=operation.count, within_s=operation.within_s)

    async def _settle(self, place: Place, operation: Settle) -> None:
        await asyncio.sleep(max(operation.duration_s, _QUIET_S))
