"""Views that several families share: single-defect commands, what was published although they were refused, and words for findings."""

import re
from collections.abc import Iterator

from harness.checks.admission import Defect, TargetView, defects
from harness.checks.deliveries import matched
from harness.checks.registry import Observation, broken, kept
from harness.history.timeline import Delivery, Exchange, History
from harness.wire.commands import CONFIGURATION, REBOOT, RESET

# The statuses that the endpoint's OpenAPI document lists for a refusal.
REFUSALS = (400, 401, 403, 404)


def accepted(history: History) -> Iterator[Exchange]:
    """The commands that the target answered with 200."""
    return (call for call in history.commands() if call.status == 200)


def answered_or_hung_up(exchange: Exchange) -> bool:
    """Whether an answer came, or the target closed the connection instead of answering; a time-out of ours is neither."""
    return exchange.status is not None or (exchange.ended is not None and exchange.ended.fact.closed_by == "peer")


def has_whole_body(exchange: Exchange) -> bool:
    """Whether the answer's whole body came, so that it can be judged."""
    return exchange.ended is not None and exchange.ended.fact.complete


def shown_status(exchange: Exchange) -> str:
    """The status for a finding."""
    return "with a closed connection" if exchange.status is None else str(exchange.status)


def with_only(history: History, defect: Defect) -> Iterator[Exchange]:
    """The answered commands that have this defect and no other."""
    target = TargetView.of(history)
    return (call for call in history.commands() if answered_or_hung_up(call) and defects(target, call) == (defect,))


def is_read_liberally(call: Exchange) -> bool:
    """Whether only a reading says that this well-formed command is accepted: absent data, data for a reboot, an empty configuration.

    Source: CMD-29.
    """
    body = call.sent_json
    data = body.get("data")
    return "data" not in body or (call.command in (REBOOT, RESET) and bool(data)) or (call.command == CONFIGURATION and data == {})


_ORDINARY_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")


def is_oddly_named(call: Exchange) -> bool:
    """Whether a platform may refuse the command's name as malformed, which comes before its device and its list.

    No row says what a name is made of; only up to 32 letters, digits, `_` and `-` are beyond doubt. Source: CMD-18, CMD-25.
    """
    return call.command is not None and _ORDINARY_NAME.match(call.command) is None


def stray_of(history: History, call: Exchange) -> Delivery | None:
    """What was published for a refused command: a message to its device, of its name, that no accepted command explains.

    A stray is taken for another command's where a finding says so already: a body that is no command request was answered 200, an accepted
    command of that name had come to the device before, or the same message came to another device at about that time.
    """
    return next((stray for stray in matched(history).strays if may_be_of(stray, call) and not _is_of_an_accepted(history, stray)), None)


def _is_of_an_accepted(history: History, stray: Delivery) -> bool:
    if any(other.command is None and may_be_of(stray, other) for other in accepted(history)):
        return True
    return any(
        _follows(stray, sent.first) or _repeats_elsewhere(stray, sent.first) for sent in matched(history).sent if sent.first is not None
    )


def _follows(stray: Delivery, first: Delivery) -> bool:
    is_of_its_scenario = first.seen.event.scope == stray.seen.event.scope
    return is_of_its_scenario and first.message.topic == stray.message.topic and first.line < stray.line


_ECHO_WITHIN_S = 10.0


def _repeats_elsewhere(stray: Delivery, first: Delivery) -> bool:
    """Whether a stray is what another device got for an accepted command just then; an empty payload does not show it."""
    if stray.topic is None or first.topic is None or first.message.device_id == stray.message.device_id or not stray.payload_json:
        return False
    is_alike = (first.topic.command, first.message.payload) == (stray.topic.command, stray.message.payload)
    return is_alike and abs(first.seen.event.at_s - stray.seen.event.at_s) <= _ECHO_WITHIN_S


def may_be_of(stray: Delivery, call: Exchange) -> bool:
    """Whether a stray may have been published for a call: later, in its scenario, at its device, under its name if it has one."""
    if stray.seen.event.scope != call.scope or stray.line < call.asked.line or stray.message.device_id != call.request.device_id:
        return False
    return call.command is None or stray.topic is None or stray.topic.command == call.command


def refused_and_silent(
    history: History, call: Exchange, *, allowed: tuple[int, ...], requirement: str = "", reading: tuple[str, int] | None = None
) -> Observation:
    """Whether a command was refused with one of the allowed statuses, and nothing reached the device for it.

    `reading` is a requirement of level READ with the status that it names: another allowed status differs from it.
    """
    if call.status not in allowed:
        words = " or ".join(map(str, allowed))
        return broken(f"{described(call)} was answered {shown_status(call)}, allowed: {words}", call, requirement=requirement)
    stray = stray_of(history, call)
    if stray is not None:
        detail = f"{described(call)} was answered {call.status}, and yet published on {stray.message.topic}"
        return broken(detail, call, stray, requirement=requirement)
    if reading is not None:
        wanted = TargetView.of(history).status_read(*reading)
        if call.status != wanted:
            return broken(f"{described(call)} was answered {call.status}, our reading: {wanted}", call, requirement=reading[0])
    return kept(call)


def described(call: Exchange) -> str:
    """A command request in a few words, for a finding."""
    body = call.request.body if len(call.request.body) <= 80 else call.request.body[:77] + "…"
    return f"{call.request.method} command {body!r} as {call.request.credential}"
