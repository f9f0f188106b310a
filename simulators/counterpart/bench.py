"""The bench on which a device is questioned: stations with a platform each, dealt to the scenarios of a run."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from harness.bench.device_file import Device, DeviceFile
from harness.device_operations import Settle, Until
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.entropy import Entropy
from harness.errors import BenchError
from harness.history.recorder import Recorder
from harness.scenario import Scenario
from simulators.counterpart.configurations import legal_configurations, rich_configurations
from simulators.counterpart.entry_state import DRAIN_S, EntryState
from simulators.counterpart.operations import Operations
from simulators.counterpart.places import Place, Stage
from simulators.counterpart.preparation import FindLine, Preparation
from simulators.counterpart.station import MakeDevice, Station
from simulators.counterpart.watch import Watch, comes_true


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
        self._entry_state = EntryState(file.device)
        self._operations = Operations(file.device, self._entry_state, recorder, entropy)

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
        within_s = DRAIN_S + (self.device.declares.result_s if owes_an_answer else 0.0)
        station.is_dirty = not await comes_true(lambda: station.is_quiet and not self._owes_results(place), within_s)
        station.scope = ""
        place.is_free = True

    def _owes_results(self, place: Place) -> bool:
        """Whether the device promises results and has not given one for each command of this scenario: a late one would be misread."""
        return self.device.declares.results == "required" and place.watch.owed.total() > 0

    async def perform(self, cast: DeviceCast, operation: Any) -> Any:
        """Does one operation of `harness.device_operations` at the scenario's place."""
        place = self._place(cast.device_id)
        if not isinstance(operation, Until | Settle):
            await self._entry_state.set_up_again(place)
            place.watch.mark()
        outcome = await self._operations.perform(place, operation)
        place.station.power.attendance.raise_if_broken()
        return outcome

    def _place(self, device_id: str) -> Place:
        return next(place for place in self._stage.places if place.station.device_id == device_id)
