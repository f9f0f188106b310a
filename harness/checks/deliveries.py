"""Which delivery belongs to which command: messages carry no id, so they are matched by device, name, data and order.

First every delivery goes to the oldest open send before it whose data it carries, in its own scenario if there is one, and rather to one
whose message the scenario still waited for (it announces "nothing came" where it gives up); failing that it is a copy of what such a send
has got already. What is left then carries no data of any send: it goes to an open send of that name (its data was changed on its way), or
is a copy of such a message, or nothing explains it: what another device got as well, word for word, is no changed data. Retained messages
are left out: their sender is no longer known, and CMD-04 judges them.

Blind spot: of two sends with the same name and data, a loss of one can hide a duplicate of the other.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from harness.history.timeline import Delivery, Exchange, History
from harness.wire.commands import DOWNLOADS
from harness.wire.json_values import is_same_json
from harness.wire.topics import control_topic, is_of_device


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
    return is_same_json(payload, data) or (isinstance(payload, dict) and any(is_same_json(value, data) for value in payload.values()))


def offers(history: History) -> Iterator[tuple[Sent, Delivery]]:
    """Download commands with the message that arrived for them."""
    for sent in matched(history).sent:
        if sent.first is not None and sent.command in DOWNLOADS:
            yield sent, sent.first


@lru_cache(maxsize=8)
def matched(history: History) -> Matched:
    """Explains each delivery of a history by a command, as far as one explains it."""
    by_topic: dict[str, list[Sent]] = defaultdict(list)
    for call in history.commands():
        for sent in _sent(call):
            by_topic[sent.topic].append(sent)
    found = [delivery for delivery in history.deliveries if is_from_the_platform(history, delivery)]
    given_up = [(seen.event.scope, str(seen.fact.facts["topic"]), seen.line) for seen in history.stimuli("nothing came")]
    came = Counter(delivery.message.topic for delivery in found)
    doubled = {topic for topic, count in came.items() if count > len(by_topic[topic])}

    def candidates_for(delivery: Delivery) -> list[Sent]:
        return _before(by_topic[delivery.message.topic], delivery, given_up)

    left = []
    for delivery in found:
        candidates = candidates_for(delivery)
        is_again = delivery.message.topic in doubled and _place_again(delivery, candidates)
        if not is_again and not _place_by_data(delivery, candidates):
            left.append(delivery)
    everything = tuple(sent for sends in by_topic.values() for sent in sends)
    return Matched(everything, tuple(_strays(history, left, everything, candidates_for)))


def _strays(
    history: History, left: list[Delivery], everything: tuple[Sent, ...], candidates_for: Callable[[Delivery], list[Sent]]
) -> Iterator[Delivery]:
    """Places what carries no data of any send by its name; yields what nothing explains."""
    elsewhere = {(sent.command, sent.first.message.payload): sent.first.message.device_id for sent in everything if sent.first}
    refusing = {(call.scope, call.request.device_id) for call in history.commands() if call.status is not None and 400 <= call.status < 500}
    for delivery in left:
        candidates = candidates_for(delivery)
        if (delivery.seen.event.scope, delivery.message.device_id) in refusing:
            # What comes where something was refused is no late copy of another scenario's command.
            candidates = [sent for sent in candidates if sent.call.scope == delivery.seen.event.scope]
        if _is_echo(delivery, elsewhere) or not _place_by_name(delivery, candidates):
            yield delivery


def _sent(call: Exchange) -> Iterator[Sent]:
    body = call.sent_json
    may_be_accepted = call.status is None or 200 <= call.status < 300
    if may_be_accepted and isinstance(body, dict) and isinstance(body.get("command"), str):
        yield Sent(call, body["command"], body.get("data", {}))


GivenUp: TypeAlias = tuple[str, str, int]  # scope, topic, line of the timeline


def _before(sends: list[Sent], delivery: Delivery, given_up: list[GivenUp]) -> list[Sent]:
    """The sends before a delivery: those of its scenario first, those whose message was still waited for first, the oldest first."""

    def was_given_up(sent: Sent) -> bool:
        return any(
            (scope, topic) == (sent.call.scope, sent.topic) and sent.call.asked.line < line < delivery.line
            for scope, topic, line in given_up
        )

    earlier = [sent for sent in sends if sent.call.asked.line < delivery.line]
    return sorted(earlier, key=lambda sent: (sent.call.scope != delivery.seen.event.scope, was_given_up(sent)))


def _place_again(delivery: Delivery, candidates: list[Sent]) -> bool:
    """Gives a second delivery of an offer to the send that had it: where more came than was sent, it is no answer to the next one."""
    offers = [sent for sent in candidates if sent.command in DOWNLOADS]
    same = [sent for sent in offers if sent.first and sent.first.message.payload == delivery.message.payload]
    if same:
        same[0].copies.append(delivery)
    return bool(same)


def _is_echo(delivery: Delivery, elsewhere: Mapping[tuple[str, str], str]) -> bool:
    """Whether another device got the very message that an accepted command explains there; an empty one says nothing."""
    if delivery.topic is None or not delivery.payload_json:
        return False
    return elsewhere.get((delivery.topic.command, delivery.message.payload), delivery.message.device_id) != delivery.message.device_id


def _place_by_data(delivery: Delivery, candidates: list[Sent]) -> bool:
    """Gives a delivery to a send whose data it carries; False where there is none.

    An empty payload tells no two commands apart: it is a copy only where no command of that name is still open.
    """
    fitting = [sent for sent in candidates if sent.fits(delivery) and (delivery.payload_json or sent.first is None)]
    return bool(fitting) and _place(delivery, fitting)


def _place_by_name(delivery: Delivery, candidates: list[Sent]) -> bool:
    """Gives a delivery to an open send of its name and scenario, or to one whose message it repeats; False where there is none."""
    repeated = [sent for sent in candidates if sent.first and sent.first.message.payload == delivery.message.payload]
    open_ones = [sent for sent in candidates if sent.first is None and sent.call.scope == delivery.seen.event.scope]
    return bool(open_ones or repeated) and _place(delivery, open_ones or repeated)


def _place(delivery: Delivery, candidates: list[Sent]) -> bool:
    """The first of an open send, or else a copy: of the same message if there was one."""
    place = next((sent for sent in candidates if sent.first is None), None)
    if place is not None:
        place.first = delivery
        return True
    same = [sent for sent in candidates if sent.first and sent.first.message.payload == delivery.message.payload]
    if not same and candidates[0].command in DOWNLOADS:
        return False  # Another key than any that was asked for.
    (same or candidates)[0].copies.append(delivery)
    return True


def is_from_the_platform(history: History, delivery: Delivery) -> bool:
    """Whether a delivery is the platform's message to this device.

    It is not where it was retained, where a device of ours published it, and where a device got it on another device's topics: there it
    had subscribed itself, and whether that is allowed is another question (CMD-23).
    """
    message = delivery.message
    is_own = is_of_device(message.topic, message.device_id)
    return is_own and not message.retain and (message.topic, message.payload) not in history.published_by_clients
