"""Waiting for facts: a sink of the recorder that wakes those who wait for something to be seen."""

import asyncio
from collections import Counter
from collections.abc import Callable

from harness.history.events import DeviceExited, Event, Fact, MqttPacket, SerialLine
from harness.wire.commands import RESET
from harness.wire.topics import parse_control_topic

_POLL_S = 0.05


class Watch:
    """The facts about one device, as they come. `mark` sets where the next wait begins to look."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._next = 0
        self._changed = asyncio.Event()
        self.owed: Counter[str] = Counter()  # command -> results that did not come yet
        self.resets = 0

    def write(self, event: Event) -> None:
        self._events.append(event)
        self._count_owed(event.fact)
        self.resets += _is_reset(event.fact)
        self._changed.set()

    def _count_owed(self, fact: Fact) -> None:
        if not isinstance(fact, MqttPacket) or fact.type != "PUBLISH" or fact.dup:
            return
        topic = parse_control_topic(fact.topic or "")
        if topic is not None and topic.role == "control" and fact.sent_by == "server":
            self.owed[topic.command] += 1
        elif topic is not None and topic.role == "result" and fact.sent_by == "client" and self.owed[topic.command]:
            self.owed[topic.command] -= 1

    def mark(self) -> None:
        """From here on only what comes now counts."""
        self._next = len(self._events)

    def last_words(self) -> str:
        """How the device ended last, what it printed last, and whether its login was refused: for saying why it is not there."""
        ends = [event.fact for event in self._events if isinstance(event.fact, DeviceExited) and not event.fact.by_us]
        lines = [event.fact.text for event in self._events if isinstance(event.fact, SerialLine) and event.fact.text]
        refused = [event for event in self._events if isinstance(event.fact, MqttPacket) and _is_refusal(event.fact)]
        words = [f"its program ended with status {ends[-1].status}"] if ends else []
        words += [f"{len(refused)} logins refused"] if refused else []
        words += [f"last line on its console: {lines[-1][:200]}"] if lines else []
        return "; ".join(words)

    async def until(self, matches: Callable[[Fact], bool], *, count: int, within_s: float) -> list[Event]:
        """The next `count` events that match, or those of them that came in time."""
        found: list[Event] = []
        try:
            async with asyncio.timeout(within_s):
                while len(found) < count:
                    await self._take(matches, found, count)
        except TimeoutError:
            pass  # What came in time is the outcome.
        return found

    async def _take(self, matches: Callable[[Fact], bool], found: list[Event], count: int) -> None:
        while self._next < len(self._events):
            event = self._events[self._next]
            self._next += 1
            if matches(event.fact):
                found.append(event)
                if len(found) == count:
                    return
        self._changed.clear()
        await self._changed.wait()


def _is_refusal(packet: MqttPacket) -> bool:
    return packet.type == "CONNACK" and any(packet.return_codes or ())


def _is_reset(fact: Fact) -> bool:
    """Whether the device is told to restore its factory state."""
    if not isinstance(fact, MqttPacket) or fact.type != "PUBLISH" or fact.sent_by != "server":
        return False
    topic = parse_control_topic(fact.topic or "")
    return topic is not None and topic.command == RESET and topic.role == "control"


async def comes_true(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether a condition holds now or soon."""
    loop = asyncio.get_running_loop()
    ends_at_s = loop.time() + within_s
    while not condition():
        if loop.time() >= ends_at_s:
            return False
        await asyncio.sleep(_POLL_S)
    return True
