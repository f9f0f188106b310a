"""DEV-03 to DEV-06, DEV-26, DEV-30: the QoS 2 exchange from the device's side. What counts is the effect, not the packet."""

from collections.abc import Iterator
from itertools import pairwise

from harness.checks.device_answers import answers, holds, is_in_force_afterwards, sent_before
from harness.checks.device_diagnosis import KEEPS_NO_IDS, hint_with_stack, likely_stack
from harness.checks.device_view import (
    ReceivedMessage,
    commands_received,
    effects_of,
    in_lines,
    received_messages,
    requires_results,
    results_of,
)
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import MqttClosed, MqttPacket
from harness.history.timeline import History, Seen
from harness.wire.commands import CONFIGURATION

_FORGETS_NO_IDS = "a table of packet ids that never forgets drops new messages: an id is free again after PUBCOMP"
_LOSES_STATE = "the session's state (ids received, ids released) must outlive the connection, as clean_session = 0 promises"


@check("DEV-03", unseen="no QoS 2 command reached the device over a connection that lasted")
def device_completes_every_exchange(history: History) -> Iterator[Observation]:
    """The device answers each command with PUBREC and PUBCOMP."""
    for message in commands_received(history):
        if message.first.fact.qos != 2:
            continue  # What the device should have asked for is another row's business (DEV-02).
        if message.completed is not None and message.pubrecs:
            yield kept(message.first, message.pubrecs[0], message.completed)
        elif message.was_left or (not message.lost_connection and not message.cut_short):
            missing = "PUBREC" if not message.pubrecs else "PUBCOMP"
            detail = f"{message.command!r} (packet id {message.first.fact.packet_id}) never got its {missing}"
            yield broken(detail, message.first, hint=likely_stack(history, message.device_id))
    for released in _passed_over(history):
        detail = f"the PUBREL of packet id {released.fact.packet_id} got no PUBCOMP on its connection, while later messages were received"
        yield broken(detail, released, hint="a PUBREL is answered by PUBCOMP even where its packet id is not known any more")


def _passed_over(history: History) -> Iterator[Seen[MqttPacket]]:
    """The PUBRELs that a device did not answer on their connection, though it received a later message there.   Source: M 4.3.3-2."""
    answered = {(seen.fact.connection, seen.fact.packet_id) for seen in history.packets("PUBCOMP")}
    latest = {message.first.fact.connection: message.first.line for message in received_messages(history) if message.pubrecs}
    for released in history.packets("PUBREL"):
        packet = released.fact
        is_open = packet.sent_by == "server" and (packet.connection, packet.packet_id) not in answered
        if is_open and released.line < latest.get(packet.connection, 0):
            yield released


@check("DEV-04", unseen="no command was repeated with DUP before its PUBREL, or no effect of it can be seen", hint=KEEPS_NO_IDS)
def repeated_publish_has_one_effect(history: History) -> Iterator[Observation]:
    """A PUBLISH repeated with DUP before PUBREL has one effect in total, and gets its PUBREC each time."""
    for message in commands_received(history):
        copies = message.copies_before_release
        if not copies or message.lost_connection or message.first.fact.qos != 2:
            continue
        if len(message.pubrecs) < 1 + len(copies) and not _left_since(history, message):
            detail = f"{message.command!r} was sent {1 + len(copies)} times and got {len(message.pubrecs)} PUBREC"
            yield broken(detail, message.first, *copies, hint="every PUBLISH of QoS 2 is answered by a PUBREC, repeated or not")
        yield from _one_effect(history, message, f"sent {1 + len(copies)} times with the same packet id", KEEPS_NO_IDS)


def _left_since(history: History, message: ReceivedMessage) -> bool:
    """Whether the device ended that connection in the same scenario, as one that restarts into a new firmware: a receipt may have been on
    its way."""
    ended = [seen for seen in history.of(MqttClosed) if seen.fact.connection == message.first.fact.connection]
    return any(seen.fact.closed_by == "peer" and seen.event.scope == message.first.event.scope for seen in ended)


def _one_effect(history: History, message: ReceivedMessage, how: str, hint: str) -> Iterator[Observation]:
    lines = effects_of(history, message)
    evidence = [message.first, *message.copies]
    if len(lines) > 1:
        detail = f"{message.command!r}, {how}, had {len(lines)} effects ({in_lines(lines)}), allowed: 1"
        yield broken(detail, *evidence, hint=hint_with_stack(history, message.device_id, hint))
    elif is_in_force_afterwards(history, message) is False:
        yield broken(f"{message.payload_json!r} was acknowledged, and is not in force afterwards: no effect at all", *evidence, hint=hint)
    elif lines or is_in_force_afterwards(history, message):
        yield kept(*evidence)


@check("DEV-05", unseen="no session was resumed with a PUBREL first, or no effect can be seen", hint=_LOSES_STATE)
def release_after_resumption_has_one_effect(history: History) -> Iterator[Observation]:
    """PUBREL after a resumed session, without a new PUBLISH, gets its PUBCOMP, and the command has one effect in total."""
    for message in commands_received(history):
        if not message.was_released_on_another_connection or message.copies:
            continue
        if message.completed is None:
            yield broken(f"{message.command!r}: PUBREL after the resumption got no PUBCOMP", message.first, *message.pubrels)
            continue
        yield from _one_effect(history, message, "released after a resumption", _LOSES_STATE)


@check("DEV-04", unseen="no command was repeated on a resumed session, or no effect can be seen", hint=_LOSES_STATE)
def publish_after_resumption_has_one_effect(history: History) -> Iterator[Observation]:
    """A PUBLISH repeated on the resumed session has one effect in total."""
    for message in commands_received(history):
        if not message.was_repeated_on_another_connection:
            continue
        if not _is_answered_again(history, message):
            detail = f"{message.command!r}, repeated after a resumption, got no PUBREC, though later commands did"
            yield broken(detail, message.first, *message.copies, hint="every PUBLISH of QoS 2 is answered by a PUBREC, repeated or not")
        yield from _one_effect(history, message, "repeated after a resumption", _LOSES_STATE)


def _is_answered_again(history: History, message: ReceivedMessage) -> bool:
    """Whether the last copy got its PUBREC; or nothing else did, so that its connection may not have lasted."""
    connection = message.copies[-1].fact.connection
    if message.completed is not None or any(receipt.fact.connection == connection for receipt in message.pubrecs):
        return True
    later = [other for other in commands_received(history) if other.is_after(message)]
    return not any(receipt.fact.connection == connection for other in later for receipt in other.pubrecs)


@check("DEV-04", unseen="no command was repeated behind another one, or no answer shows what came of it", hint=KEEPS_NO_IDS)
def copy_behind_another_command_has_no_effect(history: History) -> Iterator[Observation]:
    """A configuration that is repeated before its PUBREL, behind another one, is not applied again."""
    for message in commands_received(history):
        late = [copy for copy in message.copies_before_release if message.command == CONFIGURATION]
        for question, answer, in_force in answers(history):
            if not late or question.device_id != message.device_id or question.first.line < late[-1].line:
                continue
            between = [sent for sent in sent_before(history, question, CONFIGURATION) if sent.is_after(message)]
            if not between or between[-1].first.line > late[0].line:
                continue
            evidence = (message.first, between[-1].first, *late, answer.seen)
            if holds(in_force, between[-1].payload_json):
                yield kept(*evidence)
            elif not _acts_at_release(history, message, late[0].line):
                yield broken(f"{in_force!r} is in force: a copy of the older configuration was applied again", *evidence)
            elif len(results_of(history, message, question.first.line)) <= 1 + len(between):
                yield kept(*evidence)  # It applies each message at its PUBREL, and this one's came last: one effect each.


def _acts_at_release(history: History, message: ReceivedMessage, until_line: int) -> bool:
    """Whether a configuration is not yet in force while its PUBREL is held back, as a question in between shows."""
    shown = [in_force for question, _, in_force in answers(history) if question.is_after(message) and question.first.line < until_line]
    return bool(shown) and not holds(shown[0], message.payload_json)


@check("DEV-06", unseen="no packet id came again after its PUBCOMP", hint=_FORGETS_NO_IDS)
def packet_id_after_completion_is_a_new_message(history: History) -> Iterator[Observation]:
    """The same packet id after PUBCOMP is a new message with an effect of its own."""
    earlier: dict[tuple[str, int | None], ReceivedMessage] = {}
    for message in received_messages(history):
        key = (message.device_id, message.first.fact.packet_id)
        before = earlier.get(key)
        earlier[key] = message
        if before is None or before.completed is None or not message.command:
            continue
        if before.command != message.command or before.first.event.scope != message.first.event.scope:
            continue
        is_same_again = before.first.fact.payload == message.first.fact.payload
        if effects_of(history, message) or (is_in_force_afterwards(history, message) and not is_same_again):
            yield kept(before.first, message.first)
        elif requires_results(history) or is_in_force_afterwards(history, message) is False:
            yield broken(
                f"{message.command!r} with packet id {key[1]}, free since its PUBCOMP, had no effect", before.completed, message.first
            )


@check("DEV-26", unseen="no command came in pieces, or the device acknowledges none at all")
def segmentation_does_not_matter(history: History) -> Iterator[Observation]:
    """Packets are read alike however TCP cuts or joins them."""
    announced = {message.first.line for message, _ in _segmented(history)}
    plain = [message for message in commands_received(history) if message.first.line not in announced]
    for message, how in _segmented(history):
        wanted = _last_answer_to_any(plain)
        signs = [message.completed] if wanted == "PUBCOMP" else message.pubrecs
        if len(tries := _connects_behind(history, message)) > 1:
            yield broken(f"it connected {len(tries)} times until {message.command!r} reached it {how}", *tries, message.first)
            continue
        if any(sign is not None and sign.fact.connection == message.first.fact.connection for sign in signs):
            yield kept(message.first)
        elif wanted and (message.was_left or not message.lost_connection):  # What we cut off may have been on its way.
            yield broken(f"{message.command!r}, sent {how}, got no {wanted} on its connection", message.first)


def _last_answer_to_any(plain: list[ReceivedMessage]) -> str:
    """How far the device goes in an exchange that comes in one piece, PUBCOMP, PUBREC or ""; what it never does belongs to other rows."""
    if any(each.completed for each in plain):
        return "PUBCOMP"
    return "PUBREC" if not plain or any(each.pubrecs for each in plain) else ""


def _connects_behind(history: History, message: ReceivedMessage) -> list[Seen[MqttPacket]]:
    """The CONNECTs between the last announcement before a message and the message."""
    from_line = max(seen.line for seen in history.stimuli("segmented") if seen.line < message.first.line)
    return [seen for seen in history.packets("CONNECT", device_id=message.device_id) if from_line < seen.line < message.first.line]


def _segmented(history: History) -> Iterator[tuple[ReceivedMessage, str]]:
    """Every command that came in a way that its own scenario announced, with that way."""
    announced = list(history.stimuli("segmented"))
    for seen in announced:
        device_id = seen.fact.facts["device_id"]
        later = [other.line for other in announced if other.line > seen.line and other.fact.facts["device_id"] == device_id]
        until_line = min(later, default=history.end_line)
        for message in commands_received(history):
            is_its_own = message.device_id == device_id and message.first.event.scope == seen.event.scope
            if is_its_own and seen.line < message.first.line < until_line:
                yield message, str(seen.fact.facts["how"])


@check("DEV-30", unseen="no two commands were under way at once")
def receipts_keep_the_order(history: History) -> Iterator[Observation]:
    """PUBRECs go out in the order in which the PUBLISHes came."""
    by_device: dict[tuple[str, int], list[ReceivedMessage]] = {}
    for message in commands_received(history):
        if message.pubrecs:
            by_device.setdefault((message.device_id, message.first.fact.connection), []).append(message)
    for messages in by_device.values():
        for before, after in pairwise(messages):
            if after.first.line > before.pubrecs[0].line:
                continue  # Not under way at once: nothing could be out of order.
            if before.pubrecs[0].line < after.pubrecs[0].line:
                yield kept(before.first, after.first)
            else:
                ids = (before.first.fact.packet_id, after.first.fact.packet_id)
                yield broken(f"PUBLISH {ids[0]} came before {ids[1]}, its PUBREC after", before.first, after.first, before.pubrecs[0])
