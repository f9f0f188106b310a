"""The bench on which a device is questioned: stations with a platform each, and the operations of a device scenario."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from harness.bench.device_file import Device, DeviceFile
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
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.entropy import Entropy
from harness.errors import BenchError, ScenarioError
from harness.history.events import FULL_API_KEY, Event, HookRun, MqttPacket, Observed, Stimulus
from harness.history.recorder import Recorder
from harness.operations import Announce, Call
from harness.scenario import Scenario
from harness.wire.responses import command_path
from simulators.counterpart.configurations import legal_configurations, rich_configurations
from simulators.counterpart.images import made_up_image
from simulators.counterpart.offers import OfferChange
from simulators.counterpart.places import Place, Stage
from simulators.counterpart.preparation import FindLine, Preparation
from simulators.counterpart.station import MakeDevice, Station
from simulators.counterpart.watch import Watch
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind

# What the device's own claims do not bound: how long a device may take to settle before it is asked something new.
_QUIET_S = 0.2
# How long a device may take to end what the last scenario left under way, before it gets a power cycle instead.
_DRAIN_S = 1.0
# A connected device that is between two connections (after a reboot, say) comes back by itself within this time, or gets a power cycle.
_BETWEEN_CONNECTIONS_S = 4.0
_POLL_S = 0.05
_OWED_S = 0.5
_OBSERVER_S = 30.0


class DeviceBench:
    """Questions a device. `instances` of it stand side by side, each with its own identity; 1 for a device that exists only once.

    `find_line` says where a board's serial line is, for `[device.prepare]`.
    """

    def __init__(
        self,
        file: DeviceFile,
        make_device: MakeDevice,
        recorder: Recorder,
        entropy: Entropy,
        *,
        instances: int = 1,
        find_line: FindLine | None = None,
    ) -> None:
        self._file = file
        self._recorder = recorder
        self._entropy = entropy
        self._make_device = make_device
        self._instances = instances
        self._find_line = find_line
        self._stage = Stage()
        self._stack = AsyncExitStack()
        self._perform: dict[type, Callable[[Place, Any], Any]] = {
            Boot: self._boot,
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

    @property
    def device(self) -> Device:
        return self._file.device

    async def __aenter__(self) -> Self:
        self._recorder.add_sink(self._stage)
        try:
            await self._open_stations()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open_stations(self) -> None:
        one_at_a_time = asyncio.Lock()
        for number in range(self._instances):
            station = Station(self.device, self._file.bench, self._entropy.stream(f"station {number}"), self._recorder, self._make_device)
            await self._stack.enter_async_context(station)
            preparation = Preparation(self.device.prepare, station.power.environment, self._recorder, self._find_line, one_at_a_time)
            self._stage.places.append(Place(station, Watch(), preparation))

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        # All at once: a device that does not listen gets its time only once.
        await asyncio.gather(*(place.station.power.off() for place in self._stage.places), return_exceptions=True)
        await self._stack.aclose()

    # --- what the runner asks -------------------------------------------------------------------------------------------------------

    def rule_out(self, scenario: Scenario) -> str | None:
        needs: DeviceNeeds = scenario.needs
        if needs.other_host and any(place.station.trap is None for place in self._stage.places):
            return "the device does not reach us over loopback ([bench] bind, advertise): there is no second host"
        return needs.rule_out(self.device)

    def cast(self, scenario: Scenario) -> DeviceCast | None:
        place = next((place for place in self._stage.places if place.is_free), None)
        if place is None:
            return None
        place.station.scope = scenario.name
        return self._taken(place)

    def any_cast(self) -> DeviceCast:
        """A free device, for somebody who has no scenario. Raises BenchError where none is free."""
        for place in self._stage.places:
            if place.is_free:
                return self._taken(place)
        raise BenchError("no device is free on this bench")

    def _taken(self, place: Place) -> DeviceCast:
        place.is_free = False
        place.station.allowance.renew()
        place.watch.owed.clear()
        place.watch.mark()
        return DeviceCast(self.device, place.station.device_id, legal_configurations(self.device), rich_configurations(self.device))

    def roles(self, cast: DeviceCast) -> dict[str, str]:
        return {"device": cast.device_id}

    async def dismiss(self, cast: DeviceCast) -> None:
        """Ends all faults, takes retained messages away, lets the device end what it does, and gives the place free."""
        place = self._place(cast.device_id)
        station = place.station
        station.broker.set_faults(None)
        station.broker.change = None
        station.spoilage.times = 0
        station.follow_key_policy(None)
        for topic in place.retained:
            await station.broker.publish(topic, b"", qos=1, retain=True)
        place.retained = ()
        # Who may take so long for a result may take as long for the end of its exchange.
        owes_an_answer = self._owes_results(place) or not station.has_acknowledged_all
        within_s = _DRAIN_S + (self.device.declares.result_s if owes_an_answer else 0.0)
        station.is_dirty = not await _comes_true(lambda: station.is_quiet and not self._owes_results(place), within_s)
        station.scope = ""
        place.is_free = True

    def _owes_results(self, place: Place) -> bool:
        """Whether the device promises results and has not given one for each command of this scenario: a late one would be misread."""
        return self.device.declares.results == "required" and place.watch.owed.total() > 0

    async def perform(self, cast: DeviceCast, operation: Any) -> Any:
        """Does one operation of `harness.device_operations` at the scenario's place."""
        perform = self._perform.get(type(operation))
        if perform is None:
            raise ScenarioError(f"this bench has no operation {operation!r}")
        place = self._place(cast.device_id)
        if not isinstance(operation, Until | Settle):
            await self._set_up_again(place)
            place.watch.mark()
        outcome = await perform(place, operation)
        place.station.power.attendance.check()
        return outcome

    async def _set_up_again(self, place: Place) -> None:
        """Runs `[device.prepare] after_reset` once a device has carried out a reset, or has lost its connection over it."""
        station, preparation = place.station, place.preparation
        if not preparation.follows_a_reset or not place.watch.resets:
            return
        # While a fault holds the exchange back, a device that is still there is not yet to be touched.
        if not await _comes_true(lambda: station.is_quiet or not station.is_connected, _OWED_S):
            return
        place.watch.resets = 0
        if preparation.uses_the_line:
            await station.power.off()
        await preparation.after_reset()
        await station.power.on()
        if not await _comes_true(lambda: station.is_connected, self.device.declares.connect_s):
            raise BenchError(self._absence(place))

    def _place(self, device_id: str) -> Place:
        return next(place for place in self._stage.places if place.station.device_id == device_id)

    # --- operations -----------------------------------------------------------------------------------------------------------------

    async def _boot(self, place: Place, operation: Boot) -> bool:
        """The entry state. Where a device is not in it, or in the middle of something, it gets a power cycle if we can give it one."""
        station, can_cycle = place.station, self.device.run.can_cut_power
        if place.has_been_on and not place.was_ever_there and not operation.may_be_refused:
            raise BenchError(self._absence(place))
        is_deaf = not await _comes_true(lambda: not place.is_deaf, _DRAIN_S)
        if station.is_dirty or is_deaf or (operation.afresh and place.has_been_on):
            await station.renew(power_cycle=can_cycle)
            is_there = await self._arrival(place, operation)
            # What the device still owed to its former life comes first.
            await asyncio.sleep(_OWED_S)
            return is_there
        elif station.is_connected:
            return True
        elif place.has_been_on and can_cycle:
            if await _comes_true(lambda: station.is_connected, _BETWEEN_CONNECTIONS_S):
                return True
            await station.renew(power_cycle=True)
        else:
            await place.preparation.flash()
            await station.power.on()
        place.has_been_on = True
        return await self._arrival(place, operation)

    async def _arrival(self, place: Place, operation: Boot) -> bool:
        """Whether the device is there. Raises BenchError where it is not, unless it came and was refused, which the scenario can bear."""
        wanted = _is_listening_or_refused if operation.may_be_refused else _is_listening
        found = await place.watch.until(wanted, count=1, within_s=self.device.declares.connect_s)
        if place.station.is_connected or (found and _is_listening(found[0].fact)):
            place.was_ever_there = True
            place.was_ever_listening |= bool(found)
            return True
        if found:
            return False
        raise BenchError(self._absence(place))

    def _absence(self, place: Place) -> str:
        """That the device is not there, with what is known of the reason."""
        last = place.watch.last_words()
        return f"no connection from the device within connect_s = {self.device.declares.connect_s:g} s" + (f" ({last})" if last else "")

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
        declared = [image for image in self.device.images if image.type is operation.file_type and image.valid is operation.valid]
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
        command = getattr(self.device.observe, operation.name)
        if command is None:
            return None
        directory = self.device.observe.directory_of(command)
        ended = await run_shell(command, within_s=_OBSERVER_S, environment=place.station.power.environment, directory=directory)
        self._recorder.record(HookRun(operation.name, command, ended.status, ended.said))
        if ended.status:
            raise BenchError(f"[device.observe] {operation.name} ended with status {ended.status}: {ended.last_words}")
        self._recorder.record(Observed(place.station.device_id, operation.name, ended.output))
        return ended.output

    async def _until_connected(self, place: Place, operation: UntilConnected) -> bool:
        return await _comes_true(lambda: place.station.is_connected, operation.within_s)

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


async def _comes_true(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether a condition holds now or soon."""
    loop = asyncio.get_running_loop()
    ends_at_s = loop.time() + within_s
    while not condition():
        if loop.time() >= ends_at_s:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def _is_listening_or_refused(fact: Any) -> bool:
    return _is_listening(fact) or (isinstance(fact, MqttPacket) and fact.type == "CONNACK" and any(fact.return_codes or ()))


def _is_listening(fact: Any) -> bool:
    """Whether the device's subscriptions stand, or its resumed session makes them stand."""
    if not isinstance(fact, MqttPacket) or fact.sent_by != "server":
        return False
    return fact.type == "SUBACK" or (fact.type == "CONNACK" and fact.session_present is True)
