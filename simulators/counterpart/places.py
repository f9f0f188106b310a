"""The places of a bench: a station with the device in front of it, and what the scenario that is at work there sees of the device."""

from dataclasses import dataclass
from typing import Any

from harness.history.events import Event, HttpRequest
from simulators.counterpart.preparation import Preparation
from simulators.counterpart.station import Station
from simulators.counterpart.watch import Watch


@dataclass
class Place:
    """A station with what the present scenario sees of it."""

    station: Station
    watch: Watch
    preparation: Preparation
    is_free: bool = True
    retained: tuple[str, ...] = ()
    images: int = 0
    has_been_on: bool = False
    was_ever_there: bool = False
    was_ever_listening: bool = False

    @property
    def is_deaf(self) -> bool:
        """Whether the device is connected and no longer subscribed, as it once was: nobody may be asked anything then."""
        return self.was_ever_listening and self.station.is_connected and not self.station.is_subscribed


class Stage:
    """Hands each place's watch the events about its device."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self._own: set[int] = set()

    def write(self, event: Event) -> None:
        if self._is_our_own_call(event.fact):
            return
        device_id = getattr(event.fact, "device_id", None)
        # A device that logs in under a name of its own is known by the scenario that is at work at its place.
        is_known = any(device_id == place.station.device_id for place in self.places)
        for place in self.places:
            if device_id == place.station.device_id or (not is_known and event.scope and event.scope == place.station.scope):
                place.watch.write(event)

    def _is_our_own_call(self, fact: Any) -> bool:
        """Whether a fact belongs to a call of our own API: that is not the device's doing."""
        if isinstance(fact, HttpRequest) and fact.endpoint == "command":
            self._own.add(fact.exchange)
        return getattr(fact, "exchange", None) in self._own
