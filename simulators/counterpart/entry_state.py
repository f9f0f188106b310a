"""The states of a device under test: how it is brought to where it can be asked anything, and what is said where it never gets there."""

import asyncio

from harness.bench.device_file import Device
from harness.device_operations import Boot, is_listening
from harness.errors import BenchError
from harness.history.events import Fact, MqttPacket
from simulators.counterpart.places import Place
from simulators.counterpart.watch import comes_true

DRAIN_S = 1.0
"""How long a device may take to end what the last scenario left under way, before it gets a power cycle instead."""
# A connected device that is between two connections (after a reboot, say) comes back by itself within this time, or gets a power cycle.
_BETWEEN_CONNECTIONS_S = 4.0
_OWED_S = 0.5


class EntryState:
    """Brings devices of one declaration to their entry state: running, connected, subscribed."""

    def __init__(self, device: Device) -> None:
        self._device = device

    async def reach(self, place: Place, operation: Boot) -> bool:
        """Whether the device is there now. Else, or in the middle of something, it gets a power cycle if we can give it one."""
        station, can_cycle = place.station, self._device.run.can_cut_power
        if place.has_been_on and not place.was_ever_there and not operation.may_be_refused:
            raise BenchError(self._absence(place))
        is_deaf = not await comes_true(lambda: not place.is_deaf, DRAIN_S)
        if station.is_dirty or is_deaf or (operation.afresh and place.has_been_on):
            await station.renew(power_cycle=can_cycle)
            is_there = await self._arrival(place, operation)
            # What the device still owed to its former life comes first.
            await asyncio.sleep(_OWED_S)
            return is_there
        elif station.is_connected:
            return True
        elif place.has_been_on and can_cycle:
            if await comes_true(lambda: station.is_connected, _BETWEEN_CONNECTIONS_S):
                return True
            await station.renew(power_cycle=True)
        else:
            await place.preparation.flash()
            await station.power.on()
        place.has_been_on = True
        return await self._arrival(place, operation)

    async def _arrival(self, place: Place, operation: Boot) -> bool:
        """Whether the device is there. Raises BenchError where it is not, unless it came and was refused, which the scenario can bear."""
        wanted = _is_listening_or_refused if operation.may_be_refused else is_listening
        found = await place.watch.until(wanted, count=1, within_s=self._device.declares.connect_s)
        if place.station.is_connected or (found and is_listening(found[0].fact)):
            place.was_ever_there = True
            place.was_ever_listening |= bool(found)
            return True
        if found:
            return False
        raise BenchError(self._absence(place))

    def _absence(self, place: Place) -> str:
        """That the device is not there, with what is known of the reason."""
        last = place.watch.last_words()
        return f"no connection from the device within connect_s = {self._device.declares.connect_s:g} s" + (f" ({last})" if last else "")

    async def set_up_again(self, place: Place) -> None:
        """Runs `[device.prepare] after_reset` once a device has carried out a reset, or has lost its connection over it."""
        station, preparation = place.station, place.preparation
        if not preparation.follows_a_reset or not place.watch.resets:
            return
        # While a fault holds the exchange back, a device that is still there is not yet to be touched.
        if not await comes_true(lambda: station.is_quiet or not station.is_connected, _OWED_S):
            return
        place.watch.resets = 0
        if preparation.uses_the_line:
            await station.power.off()
        await preparation.after_reset()
        await station.power.on()
        if not await comes_true(lambda: station.is_connected, self._device.declares.connect_s):
            raise BenchError(self._absence(place))


def _is_listening_or_refused(fact: Fact) -> bool:
    return is_listening(fact) or (isinstance(fact, MqttPacket) and fact.type == "CONNACK" and any(fact.return_codes or ()))
