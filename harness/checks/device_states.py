"""DEV-08 to DEV-10, DEV-19, DEV-21, DEV-24, DEV-25, DEV-27 to DEV-29: what a command leaves behind, and what must leave nothing."""

from collections.abc import Iterator
from typing import Any

from harness.checks.device_answers import answers, holds, sent_before
from harness.checks.device_reboots import BOOT_GRACE_S, reboots_behind
from harness.checks.device_view import (
    ReceivedMessage,
    commands_received,
    crashes,
    declares,
    downloads_with,
    is_download,
    reboots,
    requires_results,
    result_after,
    results,
    results_of,
)
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import Stimulus
from harness.history.timeline import History, Seen
from harness.wire.commands import CONFIGURATION, REBOOT, RESET, SEND_CONFIGURATION
from harness.wire.json_values import is_same_json

_BUFFER = "some clients drop packets above their buffer without a word (PubSubClient: 256 bytes in all)"
_RESULT_GRACE_S = 1.0  # what bench and broker add to a device's own time


@check("DEV-09", unseen="no two configurations followed each other, or no answer shows which one is in force")
def last_configuration_wins(history: History) -> Iterator[Observation]:
    """Of two configurations in a row the last one wins."""
    for question, answer, in_force in answers(history):
        sent = sent_before(history, question, CONFIGURATION)
        if len(sent) < 2:
            continue
        if holds(in_force, sent[-1].payload_json):
            yield kept(sent[-1].first, answer.seen)
        else:
            yield broken(f"{in_force!r} is in force after {sent[-1].payload_json!r} was sent last", sent[-1].first, answer.seen)


@check("DEV-29", unseen="no configuration lacked a key of the one before, or no answer shows what is in force")
def configuration_replaces_the_old_one(history: History) -> Iterator[Observation]:
    """A full configuration replaces the old one."""
    for question, answer, in_force in answers(history):
        sent = sent_before(history, question, CONFIGURATION)
        if len(sent) < 2 or not isinstance(sent[-2].payload_json, dict) or not isinstance(sent[-1].payload_json, dict):
            continue
        gone = {key: value for key, value in sent[-2].payload_json.items() if key not in sent[-1].payload_json}
        left = {key: value for key, value in gone.items() if holds(in_force, {key: value})}
        if left:
            yield broken(f"{left!r} of the old configuration is still in force, our reading: replaced", sent[-1].first, answer.seen)
        elif gone:
            yield kept(sent[-1].first, answer.seen)


@check("DEV-10", unseen="the device was not reset, or no answer shows its configuration")
def reset_restores_the_factory_configuration(history: History) -> Iterator[Observation]:
    """A reset restores the factory configuration."""
    declared = (history.start.declaration.get("factory") or {}).get("configuration")
    first_seen: dict[str, dict[str, Any]] = {}
    for question, answer, in_force in answers(history):
        before = sent_before(history, question, RESET, CONFIGURATION)
        if not before or before[-1].command != RESET:
            continue
        factory = declared if declared is not None else first_seen.setdefault(question.device_id, in_force)
        configured = _configured(history, question.device_id)
        # What was never configured (an uptime, a serial number) is no business of a reset's.
        wanted = {key: factory[key] for key in factory if declared is not None or key in configured}
        left = [
            key
            for key, value in in_force.items()
            if key not in factory and any(is_same_json(value, old) for old in configured.get(key, ()))
        ]
        if holds(in_force, wanted) and not left:
            yield kept(before[-1].first, answer.seen)
        else:
            yield broken(f"{in_force!r} is in force after a reset, allowed: {factory!r}", before[-1].first, answer.seen)


def _configured(history: History, device_id: str) -> dict[str, list[Any]]:
    """The values that configurations have brought to a device, by key."""
    values: dict[str, list[Any]] = {}
    for message in commands_received(history):
        if message.device_id == device_id and message.command == CONFIGURATION and isinstance(message.payload_json, dict):
            for key, value in message.payload_json.items():
                values.setdefault(key, []).append(value)
    return values


@check("DEV-10", unseen="no reset was repeated before its PUBREL, or no answer shows what came of it")
def repeated_reset_happens_once(history: History) -> Iterator[Observation]:
    """A repeated reset happens once: what was configured since stays."""
    for question, answer, in_force in answers(history):
        resets = [message for message in sent_before(history, question, RESET) if message.copies_before_release]
        sent = sent_before(history, question, CONFIGURATION)
        if not resets or not sent:
            continue
        if not results_of(history, resets[-1], sent[-1].first.line):
            yield from _resets_at_release(history, resets[-1], question)
        elif holds(in_force, sent[-1].payload_json):
            yield kept(resets[-1].first, answer.seen)
        else:
            copies = resets[-1].copies
            yield broken(f"{in_force!r} is in force: the repeated reset happened again", resets[-1].first, *copies, answer.seen)


def _resets_at_release(history: History, reset: ReceivedMessage, question: ReceivedMessage) -> Iterator[Observation]:
    """A device that acts at PUBREL resets after the configuration, rightly: then its results tell how often."""
    done = results_of(history, reset, question.first.line)
    if len(done) > 1:
        yield broken(f"the repeated reset got {len(done)} results, allowed: 1", reset.first, *reset.copies, *(each.seen for each in done))
    elif done:
        yield kept(reset.first, *reset.copies, done[0].seen)


@check("DEV-25", unseen="no undisturbed command had a result to show")
def results_come_once_and_in_time(history: History) -> Iterator[Observation]:
    """Each command has one result on its result topic, within the declared time."""
    claims = declares(history)
    if claims.get("results") != "required":
        return
    commands = commands_received(history)
    for message in commands:
        later = [other.first.line for other in commands if other.is_after(message) and other.command == message.command]
        found = results_of(history, message, min(later, default=history.end_line))
        limit_s = float(claims.get("result_s", 5)) + _RESULT_GRACE_S
        if message.command in (REBOOT, RESET):  # A result may wait until the device is back.
            limit_s += float(claims.get("reboot_s", 10)) + BOOT_GRACE_S
        if not found:
            yield broken(f"{message.command!r} got no result, allowed: one within {claims.get('result_s', 5):g} s", message.first)
        elif len(found) > 1 and message.copies:
            continue  # What a repeated command may cause is judged elsewhere (DEV-04).
        elif len(found) > 1:
            yield broken(f"{message.command!r} got {len(found)} results, allowed: 1", message.first, *(result.seen for result in found))
        elif (took_s := found[0].seen.at_s - _due_from_s(history, message)) > limit_s:
            yield broken(f"the result of {message.command!r} took {took_s:.1f} s", message.first, found[0].seen)
        else:
            yield kept(message.first, found[0].seen)


def _due_from_s(history: History, message: ReceivedMessage) -> float:
    """From when on a command owes its result: its arrival, or the end of the transfer that it asked for."""
    ends_s = [exchange.ended.at_s for exchange in downloads_with(history, message) if exchange.ended] if is_download(message) else []
    return max([message.first.at_s, *ends_s])


@check("CMD-28", unseen="the device published no result")
def result_is_a_json_object(history: History) -> Iterator[Observation]:
    """A result is a JSON object, and not retained."""
    for result in results(history):
        payload = result.seen.fact.payload or ""
        if not isinstance(result.body, dict):
            yield broken(f"the result of {result.command!r} is {payload[:60]!r}, our reading: a JSON object", result.seen)
        elif result.seen.fact.retain:
            yield broken(f"the result of {result.command!r} has RETAIN=1: whoever subscribes later takes it for a new one", result.seen)
        else:
            yield kept(result.seen)


@check("DEV-19", unseen="no odd message was sent")
def odd_message_does_not_stop_the_device(history: History) -> Iterator[Observation]:
    """After a malformed, unknown, oversized or empty message the device stays up and goes on serving."""
    for seen in history.stimuli("odd message"):
        device_id, what = seen.fact.facts["device_id"], seen.fact.facts["what"]
        until_line = _next_announcement(history, seen)
        ends = sorted((*crashes(history, device_id), *reboots(history, device_id)))
        down = [line for line in ends if seen.line < line < until_line]
        questions = [message for message in _received_by(history, seen) if message.command == SEND_CONFIGURATION]
        # The message may be an odd question itself: the plain one comes behind it.
        asked = next((message for message in reversed(questions) if message.first.line < until_line), None)
        if down:
            yield broken(f"{what} brought the device down (line {down[0]})", seen)
        elif asked is None or not _is_answered(history, asked, until_line):
            yield broken(f"after {what} the device answered no more", seen)
        else:
            yield kept(seen, asked.first)


def _is_answered(history: History, asked: ReceivedMessage, until_line: int) -> bool:
    """Whether a question got its result, or, where results are not promised, its acknowledgement."""
    if requires_results(history):
        return bool(results_of(history, asked, until_line))
    return asked.completed is not None


@check("DEV-27", unseen="no command was sent that the device must refuse")
def refused_command_is_acknowledged(history: History) -> Iterator[Observation]:
    """Refused, stale and malformed commands are acknowledged like all others."""
    for message in commands_received(history):
        if message.completed is not None:
            yield kept(message.first, message.completed)
        elif not message.lost_connection and not message.cut_short:
            yield broken(f"{message.command!r} with {(message.first.fact.payload or '')[:40]!r} was never acknowledged", message.first)


@check("DEV-19", unseen="no payload of a chosen size was sent")
def payload_up_to_the_declared_size_is_taken(history: History) -> Iterator[Observation]:
    """Payloads up to max_payload_bytes are executed."""
    for seen in history.stimuli("payload of"):
        size_bytes, until_line = seen.fact.facts["size_bytes"], _next_announcement(history, seen)
        asked = [
            message for message in _received_by(history, seen) if message.command == SEND_CONFIGURATION and message.first.line < until_line
        ]
        shown = next((entry for entry in answers(history) if entry[0].first.line in {message.first.line for message in asked}), None)
        if shown is None and not any(_is_answered(history, message, until_line) for message in asked):
            yield broken(f"after a payload of {size_bytes} bytes the device answered no more", seen)
        if shown is None:
            continue
        sent = sent_before(history, shown[0], CONFIGURATION)
        if sent and holds(shown[2], sent[-1].payload_json):
            yield kept(seen, shown[1].seen)
        else:
            detail = f"a payload of {size_bytes} bytes had no effect, though max_payload_bytes allows it"
            yield broken(detail, seen, shown[1].seen, hint=_BUFFER)


def _next_announcement(history: History, seen: Seen[Stimulus]) -> int:
    """The line of the next announcement of that kind about the same device; behind the history where there is none."""
    same = (other for other in history.stimuli(seen.fact.name) if other.fact.facts["device_id"] == seen.fact.facts["device_id"])
    return min((other.line for other in same if other.line > seen.line), default=history.end_line)


def _received_by(history: History, seen: Seen[Stimulus]) -> list[ReceivedMessage]:
    """What came to the device that an announcement is about, after it."""
    device_id = seen.fact.facts["device_id"]
    return [message for message in commands_received(history) if message.device_id == device_id and message.first.line > seen.line]


@check("DEV-24", unseen="no unlisted command was sent, or no answer shows what came of it")
def unlisted_command_has_no_effect(history: History) -> Iterator[Observation]:
    """A command that the declaration does not list has no effect, and is refused on the result topic."""
    listed = set(declares(history).get("commands", ()))
    for message in commands_received(history):
        if message.command in listed:
            continue
        answer = result_after(history, message)
        if answer is not None and answer.is_success:
            yield broken(f"the unlisted {message.command!r} was answered with success", message.first, answer.seen)
        elif answer is None and declares(history).get("results") == "required":
            yield broken(f"the unlisted {message.command!r} got no result, allowed: a refusal", message.first)
        elif len(refusals := results_of(history, message, history.end_line)) > _times(history, message):
            yield broken(f"the unlisted {message.command!r} was refused {len(refusals)} times, allowed: once", message.first)
        if message.command == REBOOT and (booted := reboots_behind(history, message)):
            yield broken(f"the unlisted 'reboot' rebooted the device (line {booted[0]})", message.first)
        if asked := downloads_with(history, message):
            yield broken(f"the unlisted {message.command!r} was followed by a request for its file", message.first, asked[0])
        yield from _nothing_changed(history, message, "an unlisted command")


def _times(history: History, message: ReceivedMessage) -> int:
    """How often a command of that name came, from this message on."""
    received = (other for other in commands_received(history) if other.device_id == message.device_id)
    return sum(other.command == message.command and other.first.line >= message.first.line for other in received)


def _nothing_changed(history: History, message: ReceivedMessage, what: str) -> Iterator[Observation]:
    """Whether the configuration before a message is still in force after it."""
    later = next(((asked, found, now) for asked, found, now in answers(history) if asked.is_after(message)), None)
    if later is None:
        return
    question, answer, in_force = later
    legal = [sent for sent in sent_before(history, question, CONFIGURATION) if sent is not message and message.is_after(sent)]
    if legal and not holds(in_force, legal[-1].payload_json):
        yield broken(f"{in_force!r} is in force after {what}, allowed: {legal[-1].payload_json!r} as before", message.first, answer.seen)
    elif legal:
        yield kept(message.first, answer.seen)


@check("DEV-21", unseen="no command came with RETAIN=1, or no answer shows what came of it")
def retained_command_is_not_executed(history: History) -> Iterator[Observation]:
    """A command with RETAIN=1 is stale and not executed."""
    for message in commands_received(history):
        if not message.first.fact.retain:
            continue
        if message.command == REBOOT:
            booted = reboots_behind(history, message)
            yield (
                broken(f"a 'reboot' with RETAIN=1 rebooted the device (line {booted[0]})", message.first) if booted else kept(message.first)
            )
        elif asked := downloads_with(history, message):
            yield broken(f"a {message.command!r} with RETAIN=1 was followed by a request for its file", message.first, asked[0])
        elif is_download(message):
            yield kept(message.first)
        else:
            yield from _nothing_changed(history, message, "a command with RETAIN=1")


@check("DEV-28", unseen="nothing was echoed, or no answer shows what came of it")
def echoed_result_is_not_executed(history: History) -> Iterator[Observation]:
    """The device's own result, echoed to it, is not executed."""
    for seen in history.stimuli("echo"):
        device_id = seen.fact.facts["device_id"]
        question = next((entry for entry in answers(history) if entry[0].first.line > seen.line and entry[0].device_id == device_id), None)
        if question is None:
            continue
        sent = sent_before(history, question[0], CONFIGURATION)
        after = [result for result in results(history, device_id) if seen.line < result.line < question[0].first.line]
        if after:
            yield broken(f"an echoed result was answered on {after[0].command!r}", seen, after[0].seen)
        elif sent and not holds(question[2], sent[-1].payload_json):
            yield broken(f"{question[2]!r} is in force after an echoed result", seen, question[1].seen)
        else:
            yield kept(seen, question[1].seen)
