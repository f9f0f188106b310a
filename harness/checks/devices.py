"""The family DEV: how a device takes commands and reports its configuration. Its other rows stand in the modules named `device_…`.

Effects count, not packets. Importing this module registers the whole family.
"""

from collections.abc import Iterator

from harness.checks import device_connection, device_downloads, device_exchange, device_states
from harness.checks.device_diagnosis import likely_stack
from harness.checks.device_states import Shown, answers, holds
from harness.checks.device_view import (
    ReceivedMessage,
    Result,
    commands_received,
    declares,
    pointed_at,
    results,
)
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import History
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION

__all__ = ["device_connection", "device_downloads", "device_exchange", "device_states"]


@check("DEV-01", unseen="the device did not subscribe")
def device_subscribes_to_its_own_topics(history: History) -> Iterator[Observation]:
    """The device subscribes to its own control topics and to nothing outside its id."""
    for seen in history.packets("SUBSCRIBE"):
        device_id = seen.fact.device_id
        foreign = [name for name, _ in seen.fact.filters or () if name != device_id and not name.startswith(device_id + "/")]
        if foreign:
            yield broken(f"it subscribes to {', '.join(map(repr, foreign))}, allowed: {device_id!r} and below", seen)
        else:
            yield kept(seen)


@check("DEV-02", unseen="the device did not subscribe to a control topic")
def device_asks_for_qos_2(history: History) -> Iterator[Observation]:
    """The device asks for QoS 2 on its control topics."""
    wanted = declares(history).get("qos", 2)
    for seen in history.packets("SUBSCRIBE"):
        for name, qos in seen.fact.filters or ():
            if "/control/" not in name and not name.endswith("/#"):
                continue
            if qos == wanted:
                yield kept(seen)
            else:
                detail = f"it asks for QoS {qos} on {name!r}, allowed: {wanted}"
                yield broken(detail, seen, hint=likely_stack(history, seen.fact.device_id))


@check("DEV-08a", "DEV-08b", unseen="no configuration was sent and then asked for, or its result cannot be read")
def configuration_is_applied_and_reported(history: History) -> Iterator[Observation]:
    """A configuration is applied, and send_configuration reports it."""
    pointer = str(declares(history).get("configuration_pointer", "/configuration"))
    for asked, answer in _reports(history):
        sent = _last_configuration(history, asked)
        if sent is None:
            continue
        reported = pointed_at(answer.body, pointer)
        keys = asked.payload_json.get("keys") if isinstance(asked.payload_json, dict) else None
        wanted = sent.payload_json if keys is None else {key: sent.payload_json[key] for key in keys if key in sent.payload_json}
        if not isinstance(reported, dict):
            yield broken(f"the result holds {reported!r} at {pointer}, allowed: the configuration", answer.seen, requirement="DEV-08b")
        elif keys is not None and (extra := sorted(set(reported) - set(wanted))):
            yield broken(f"it reports {', '.join(extra)} besides, asked for were {keys!r}", asked.first, answer.seen)
        elif wrong := [key for key, value in wanted.items() if reported.get(key) != value]:
            shown = {key: reported.get(key) for key in wrong}
            detail = f"it reports {shown!r} after { ({key: wanted[key] for key in wrong})!r} was sent"
            yield broken(detail, sent.first, asked.first, answer.seen, requirement="DEV-08a")
        else:
            yield kept(sent.first, asked.first, answer.seen)

    for question, source, in_force in answers(history):
        told = _last_configuration(history, question) if isinstance(source, Shown) else None
        if told is not None and not holds(in_force, told.payload_json):
            yield broken(f"{in_force!r} is in force after {told.payload_json!r} was sent", told.first, question.first, source.seen)
        elif told is not None:
            yield kept(told.first, question.first, source.seen)


def _reports(history: History) -> Iterator[tuple[ReceivedMessage, Result]]:
    """Every send_configuration with its result."""
    for asked in commands_received(history):
        if asked.command != SEND_CONFIGURATION:
            continue
        for answer in results(history, asked.device_id):
            if answer.command == SEND_CONFIGURATION and answer.line > asked.first.line:
                yield asked, answer
                break


def _last_configuration(history: History, asked: ReceivedMessage) -> ReceivedMessage | None:
    """The last legal configuration before a question, where no reset came between."""
    earlier = [
        message for message in commands_received(history) if message.device_id == asked.device_id and message.first.line < asked.first.line
    ]
    relevant = [message for message in earlier if message.command in (CONFIGURATION, "reset") and isinstance(message.payload_json, dict)]
    return relevant[-1] if relevant and relevant[-1].command == CONFIGURATION else None
