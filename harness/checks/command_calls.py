"""Views that several families share: single-defect commands, what was delivered for them, and deliveries that nothing explains."""

from collections import Counter
from collections.abc import Iterator

from harness.checks.admission import Defect, TargetView, defects
from harness.checks.registry import Observation, broken, kept
from harness.history.timeline import Delivery, Exchange, History


def accepted(history: History) -> Iterator[Exchange]:
    """The commands that the target answered with 200."""
    return (call for call in history.commands() if call.status == 200)


def with_only(history: History, defect: Defect) -> Iterator[Exchange]:
    """The answered commands that have this defect and no other."""
    target = TargetView.of(history)
    return (call for call in history.commands() if call.status is not None and defects(target, call) == (defect,))


def unexplained(history: History) -> Iterator[Delivery]:
    """Deliveries that no send before them explains, by count; a send whose answer was not seen may have gone through.

    Blind spot: as messages carry no id, a loss can hide a duplicate of the same command in the same scenario.
    """
    sends: Counter[tuple[str, str, str]] = Counter()
    calls = [call for call in history.commands() if call.status in (None, 200)]
    timeline = sorted(
        [(call.asked.line, call) for call in calls] + [(found.line, found) for found in history.deliveries], key=lambda e: e[0]
    )
    for _, entry in timeline:
        if isinstance(entry, Exchange):
            sends[(entry.scope, entry.request.device_id, entry.command or "")] += 1
            continue
        topic = entry.topic
        key = (entry.seen.event.scope, entry.message.device_id, topic.command if topic else "")
        if sends[key]:
            sends[key] -= 1
        else:
            yield entry


def _first_line(entry: Exchange | Delivery) -> int:
    return entry.asked.line if isinstance(entry, Exchange) else entry.line


def refused_and_silent(history: History, call: Exchange, *, allowed: tuple[int, ...]) -> Observation:
    """Whether a command was refused with one of the allowed statuses, and nothing reached the device for it."""
    words = " or ".join(map(str, allowed))
    if call.status not in allowed:
        return broken(f"{described(call)} was answered {call.status}, allowed: {words}", call)
    for delivery in unexplained(history.within(call.scope)):
        topic = delivery.topic
        if delivery.message.device_id == call.request.device_id and topic is not None and topic.command == call.command:
            return broken(f"{described(call)} was answered {call.status}, and yet published on {delivery.message.topic}", call, delivery)
    return kept(call)


def described(call: Exchange) -> str:
    """A command request in a few words, for a finding."""
    body = call.request.body if len(call.request.body) <= 80 else call.request.body[:77] + "…"
    return f"{call.request.method} command {body!r} as {call.request.credential}"


def deliveries_of(history: History, call: Exchange) -> list[Delivery]:
    """What the called device got on the command's topic, in the call's scenario."""
    return [
        delivery
        for delivery in history.deliveries
        if delivery.seen.event.scope == call.scope
        and delivery.message.device_id == call.request.device_id
        and delivery.topic is not None
        and delivery.topic.command == call.command
        and delivery.topic.role == "control"
    ]
