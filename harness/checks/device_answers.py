"""Which configuration is in force, as a device's results or a declared observer show it: the answers to `send_configuration`."""

from dataclasses import dataclass
from typing import Any

from harness.checks.device_view import ReceivedMessage, Result, commands_received, configuration_in_force, results_of
from harness.history.events import Observed
from harness.history.timeline import History, Seen
from harness.wire.commands import CONFIGURATION, RESET, SEND_CONFIGURATION
from harness.wire.json_values import is_same_json, read_json


@dataclass(frozen=True)
class Shown:
    """The configuration as the declared observer shows it."""

    seen: Seen[Observed]


def answers(history: History) -> list[tuple[ReceivedMessage, Result | Shown, dict[str, Any]]]:
    """Every question for the configuration that was answered, by a result or by an observer, with the configuration that is in force."""
    found: list[tuple[ReceivedMessage, Result | Shown, dict[str, Any]]] = []
    questions = [message for message in commands_received(history) if message.command == SEND_CONFIGURATION]
    for message in questions:
        later = [other.first.line for other in questions if other.is_after(message)]
        given = results_of(history, message, min(later, default=history.end_line))
        answer = given[0] if given else None
        in_force = configuration_in_force(history, answer) if answer is not None else None
        if answer is not None and in_force is not None:
            found.append((message, answer, in_force))
        elif (shown := _shown_after(history, message)) is not None:
            found.append((message, *shown))
    return found


def _shown_after(history: History, message: ReceivedMessage) -> tuple[Shown, dict[str, Any]] | None:
    """What the observer showed right after a question; None where there is none, or it shows no JSON object."""
    for seen in history.of(Observed):
        if seen.fact.device_id == message.device_id and seen.fact.name == CONFIGURATION and seen.line > message.first.line:
            value = read_json(seen.fact.value)
            return (Shown(seen), value) if isinstance(value, dict) else None
    return None


def sent_before(history: History, question: ReceivedMessage, *commands: str) -> list[ReceivedMessage]:
    """The messages of these commands that came to a device before a question, in the same scenario."""
    return [
        message
        for message in commands_received(history)
        if message.command in commands and question.is_after(message) and message.first.event.scope == question.first.event.scope
    ]


def holds(in_force: dict[str, Any], wanted: Any) -> bool:
    """Whether a configuration holds every value of another."""
    return isinstance(wanted, dict) and all(key in in_force and is_same_json(in_force[key], value) for key, value in wanted.items())


def is_in_force_afterwards(history: History, message: ReceivedMessage) -> bool | None:
    """Whether the next answer shows a configuration's values; None where nobody asked, or something else was sent in between."""
    later = next(((question, in_force) for question, _, in_force in answers(history) if question.is_after(message)), None)
    if message.command != CONFIGURATION or later is None:
        return None
    question, in_force = later
    between = [sent for sent in sent_before(history, question, CONFIGURATION, RESET) if sent.is_after(message)]
    return None if between else holds(in_force, message.payload_json)
