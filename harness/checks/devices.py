"""The family DEV: how a device takes commands and reports its configuration. Its other rows stand in the modules named `device_…`.

Effects count, not packets. Importing this module registers the whole family.
"""

from collections.abc import Iterator

from harness.checks import device_connection, device_downloads, device_exchange, device_key_policies, device_reboots, device_states
from harness.checks.device_answers import Shown, answers, holds, sent_before
from harness.checks.device_connection import are_covered, unheard_commands
from harness.checks.device_diagnosis import likely_stack
from harness.checks.device_view import (
    ReceivedMessage,
    Result,
    commands_received,
    declares,
    requires_results,
    results_of,
)
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import MqttPacket
from harness.history.timeline import History, Seen
from harness.wire.commands import CONFIGURATION, RESET, SEND_CONFIGURATION, STANDARD_COMMANDS
from harness.wire.json_values import pointed_at
from harness.wire.topics import is_of_device

__all__ = ["device_connection", "device_downloads", "device_exchange", "device_key_policies", "device_reboots", "device_states"]


@check("DEV-01", unseen="the device did not connect with a new session")
def device_subscribes_to_its_own_topics(history: History) -> Iterator[Observation]:
    """The device subscribes to its own control topics and to nothing outside its id."""
    for seen in history.packets("SUBSCRIBE"):
        device_id = seen.fact.device_id
        foreign = [name for name, _ in seen.fact.filters or () if not is_of_device(name, device_id)]
        if foreign:
            yield broken(f"it subscribes to {', '.join(map(repr, foreign))}, allowed: {device_id!r} and below", seen)
        else:
            yield kept(seen)
    for seen in history.packets("CONNACK"):
        if not seen.fact.session_present and not any(seen.fact.return_codes or ()):
            yield from _hears_its_commands(history, seen)


def _hears_its_commands(history: History, connack: Seen[MqttPacket]) -> Iterator[Observation]:
    """Whether the filters of a new session cover every command that the device declares, once the first command comes."""
    asked, deaf = unheard_commands(history, connack)
    lost = [seen for seen in history.stimuli("connection lost") if seen.event.scope == connack.event.scope and seen.line < connack.line]
    if deaf and not lost:  # What it does when it comes back is judged by DEV-20.
        what = f"its subscriptions do not cover {', '.join(map(repr, deaf))}" if asked else "it connects and does not subscribe"
        yield broken(f"{what}, allowed: all its control topics", connack, *asked)


@check("DEV-02", unseen="the device did not subscribe to a control topic")
def device_asks_for_qos_2(history: History) -> Iterator[Observation]:
    """The device asks for QoS 2 on its control topics."""
    claims = declares(history)
    wanted, commands = claims.get("qos", 2), claims.get("commands", STANDARD_COMMANDS)
    for seen in history.packets("SUBSCRIBE"):
        for name, qos in seen.fact.filters or ():
            if not any(are_covered((name,), seen.fact.device_id, command) for command in commands):
                continue
            if qos == wanted:
                yield kept(seen)
            else:
                detail = f"it asks for QoS {qos} on {name!r}, allowed: {wanted}"
                yield broken(detail, seen, hint=likely_stack(history, seen.fact.device_id))


@check("DEV-08a", "DEV-08b", unseen="no configuration was sent and then asked for, or its result cannot be read")
def configuration_is_applied_and_reported(history: History) -> Iterator[Observation]:
    """A configuration is applied, and send_configuration reports it."""
    for asked, answer in _reports(history):
        sent = _last_configuration(history, asked)
        if sent is not None and answer is not None:
            yield _judged_report(history, sent, asked, answer)
        elif sent is not None and requires_results(history):
            yield broken(f"{(asked.first.fact.payload or '')[:60]!r} to send_configuration got no result", asked.first)

    for question, source, in_force in answers(history):
        told = _last_configuration(history, question) if isinstance(source, Shown) else None
        if told is not None and not holds(in_force, told.payload_json):
            yield broken(f"{in_force!r} is in force after {told.payload_json!r} was sent", told.first, question.first, source.seen)
        elif told is not None:
            yield kept(told.first, question.first, source.seen)


def _judged_report(history: History, sent: ReceivedMessage, asked: ReceivedMessage, answer: Result) -> Observation:
    """Whether a result holds what was sent last: all of it, or the values that `keys` names."""
    pointer = str(declares(history).get("configuration_pointer", "/configuration"))
    reported = pointed_at(answer.body, pointer)
    keys = asked.payload_json.get("keys") if isinstance(asked.payload_json, dict) else None
    unknown = [key for key in keys or () if key not in sent.payload_json]
    wanted = sent.payload_json if keys is None else {key: sent.payload_json[key] for key in keys if key not in unknown}
    if unknown and answer.is_failure:
        return kept(sent.first, asked.first, answer.seen)  # It refuses a key that it does not have.
    if answer.is_failure:
        return broken(f"it refuses {asked.payload_json!r}, allowed: a report of what is in force", asked.first, answer.seen)
    if not isinstance(reported, dict):
        detail = f"the result holds {reported!r} at {pointer}, allowed: the configuration"
        return broken(detail, answer.seen, requirement="DEV-08b")
    extra = sorted(key for key in reported if key not in wanted and not (key in unknown and reported[key] is None))
    if keys is not None and extra:
        return broken(f"it reports {', '.join(extra)} besides, asked for were {keys!r}", asked.first, answer.seen)
    wrong = [key for key in wanted if not holds(reported, {key: wanted[key]})]
    if wrong:
        detail = f"it reports { ({key: reported.get(key) for key in wrong})!r} after { ({key: wanted[key] for key in wrong})!r} was sent"
        return broken(detail, sent.first, asked.first, answer.seen, requirement="DEV-08a")
    return kept(sent.first, asked.first, answer.seen)


def _reports(history: History) -> Iterator[tuple[ReceivedMessage, Result | None]]:
    """Every question for the configuration, with the first result before the device's next question."""
    questions = [message for message in commands_received(history) if message.command == SEND_CONFIGURATION]
    for asked in questions:
        later = [other.first.line for other in questions if other.is_after(asked)]
        found = results_of(history, asked, min(later, default=history.end_line))
        yield asked, found[0] if found else None


def _last_configuration(history: History, asked: ReceivedMessage) -> ReceivedMessage | None:
    """The last legal configuration before a question, where no reset came between."""
    told = [message for message in sent_before(history, asked, CONFIGURATION, RESET) if isinstance(message.payload_json, dict)]
    return told[-1] if told and told[-1].command == CONFIGURATION else None
