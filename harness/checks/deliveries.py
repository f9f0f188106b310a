"""Which delivery belongs to which command: messages carry no id, so they are matched by device, name, data and order.

A delivery is the first of the oldest earlier send with the same data, else a copy of one that has come already, else (the data changed on
its way) of the oldest open send of that name, else nothing explains it. Retained messages are left out: their sender is no longer known,
and CMD-04 judges them.

Blind spot: of two sends with the same name and data, a loss of one can hide a duplicate of the other.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from harness.history.timeline import Delivery, Exchange, History
from harness.wire.commands import DOWNLOADS
from harness.wire.topics import control_topic


@dataclass
class Sent:
    """A command that may have been published, with what came of it. `copies` holds deliveries beyond the first."""

    call: Exchange
    command: str
    data: Any
    first: Delivery | None = None
    copies: list[Delivery] = field(default_factory=list)

    @property
    def topic(self) -> str:
        return control_topic(self.call.request.device_id, self.command)

    def fits(self, delivery: Delivery) -> bool:
        """Whether the payload is what this command's data would make."""
        if self.command in DOWNLOADS:
            return delivery.offer is not None
        return carries(delivery.payload_json, self.data)


@dataclass(frozen=True)
class Matched:
    """All sends of a history, and the deliveries that none of them explains."""

    sent: tuple[Sent, ...]
    strays: tuple[Delivery, ...]

    def of(self, call: Exchange) -> Sent | None:
        """The send of one command call; None where it cannot have been published."""
        return next((sent for sent in self.sent if sent.call is call), None)


def carries(payload: Any, data: Any) -> bool:
    """Whether a payload is the JSON value `data`, or an object with a member that is."""
    return same_json(payload, data) or (isinstance(payload, dict) and any(same_json(value, data) for value in payload.values()))


def same_json(left: Any, right: Any) -> bool:
    """Equality of JSON values: unlike in Python, true is not 1; 1 and 1.0 are one number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same_json(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same_json, left, right))
    return bool(left == right)


@lru_cache(maxsize=8)
def matched(history: History) -> Matched:
    """Explains each delivery of a history by a command, as far as one explains it."""
    timeline: list[tuple[int, Exchange | Delivery]] = [
        *((call.asked.line, call) for call in history.commands() if call.status in (None, 200)),
        *((found.line, found) for found in history.deliveries if is_from_the_platform(history, found)),
    ]
    by_topic: dict[str, list[Sent]] = defaultdict(list)
    strays: list[Delivery] = []
    for _, entry in sorted(timeline, key=lambda place: place[0]):
        if isinstance(entry, Exchange):
            for sent in _sent(entry):
                by_topic[sent.topic].append(sent)
        elif not _explain(entry, by_topic[entry.message.topic]):
            strays.append(entry)
    return Matched(tuple(sent for sends in by_topic.values() for sent in sends), tuple(strays))


def _sent(call: Exchange) -> Iterator[Sent]:
    body = call.sent_json
    if isinstance(body, dict) and isinstance(body.get("command"), str):
        yield Sent(call, body["command"], body.get("data", {}))


def _explain(delivery: Delivery, candidates: list[Sent]) -> bool:
    """Gives a delivery its place among the sends to its topic; False where it has none."""
    fitting = [entry for entry in candidates if entry.fits(delivery)]
    copied = next((entry for entry in candidates if entry.first and entry.first.message.payload == delivery.message.payload), None)
    is_download = bool(fitting) and fitting[0].command in DOWNLOADS
    open_fitting = next((entry for entry in fitting if entry.first is None), None)
    # Every download command has its own URL, so an equal payload is a copy even where a later command waits (but CMD-08 may say otherwise).
    if copied is not None and (open_fitting is None or (is_download and open_fitting.call.status != 200)):
        copied.copies.append(delivery)
        return True
    place = open_fitting or next((entry for entry in candidates if entry.first is None), None)
    if place is None:
        return False
    place.first = delivery
    return True


def is_from_the_platform(history: History, delivery: Delivery) -> bool:
    """Whether a delivery is the platform's message to this device.

    It is not where it was retained, where a device of ours published it, and where a device got it on another device's topics: there it
    had subscribed itself, and whether that is allowed is another question (CMD-23).
    """
    message = delivery.message
    is_own = message.topic == message.device_id or message.topic.startswith(message.device_id + "/")
    return is_own and not message.retain and (message.topic, message.payload) not in history.published_by_clients
