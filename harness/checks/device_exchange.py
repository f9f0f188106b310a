"""DEV-03 to DEV-06, DEV-26, DEV-30: the QoS 2 exchange from the device's side. What counts is the effect, not the packet."""

from collections.abc import Iterator
from itertools import pairwise

from harness.checks.device_diagnosis import KEEPS_NO_IDS, hint_with_stack, likely_stack
from harness.checks.device_view import (
    ReceivedMessage,
    commands_received,
    configuration_in_force,
    effects_of,
    received_messages,
    result_after,
)
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import History
from harness.wire.commands import CONFIGURATION, SEND_CONFIGURATION

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


@check("DEV-04", unseen="no command was repeated with DUP before its PUBREL, or no effect of it can be seen", hint=KEEPS_NO_IDS)
def repeated_publish_has_one_effect(history: History) -> Iterator[Observation]:
    """A PUBLISH repeated with DUP before PUBREL has one effect in total, and gets its PUBREC each time."""
    for message in commands_received(history):
        copies = message.copies_before_release
        if not copies or message.lost_connection or message.first.fact.qos != 2:
            continue
        if len(message.pubrecs) < 1 + len(copies):
            detail = f"{message.command!r} was sent {1 + len(copies)} times and got {len(message.pubrecs)} PUBREC"
            yield broken(detail, message.first, *copies, hint="every PUBLISH of QoS 2 is answered by a PUBREC, repeated or not")
        yield from _one_effect(history, message, f"repeated {len(copies)} times with the same packet id", KEEPS_NO_IDS)


def _one_effect(history: History, message: ReceivedMessage, how: str, hint: str) -> Iterator[Observation]:
    lines = effects_of(history, message)
    evidence = [message.first, *message.copies]
    if len(lines) > 1:
        detail = f"{message.command!r}, {how}, had {len(lines)} effects (lines {lines}), allowed: 1"
        yield broken(detail, *evidence, hint=hint_with_stack(history, message.device_id, hint))
    elif lines:
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
        yield from _applied(history, message)


@check("DEV-04", unseen="no command was repeated on a resumed session, or no effect can be seen", hint=_LOSES_STATE)
def publish_after_resumption_has_one_effect(history: History) -> Iterator[Observation]:
    """A PUBLISH repeated on the resumed session has one effect in total."""
    for message in commands_received(history):
        if not message.was_repeated_on_another_connection:
            continue
        yield from _one_effect(history, message, "repeated after a resumption", _LOSES_STATE)
        yield from _applied(history, message)


def _applied(history: History, message: ReceivedMessage) -> Iterator[Observation]:
    """Whether a configuration that was disturbed on its way is the one in force afterwards."""
    if message.command != CONFIGURATION:
        return
    asked = next((other for other in commands_received(history) if other.command == SEND_CONFIGURATION and other.is_after(message)), None)
    answer = result_after(history, asked) if asked is not None else None
    if asked is None or answer is None:
        return
    in_force = configuration_in_force(history, answer)
    if in_force is not None and any(in_force.get(key) != value for key, value in message.payload_json.items()):
        yield broken(f"{message.payload_json!r} was acknowledged, {in_force!r} is in force: no effect at all", message.first, answer.seen)


@check("DEV-06", unseen="no packet id came again after its PUBCOMP", hint=_FORGETS_NO_IDS)
def packet_id_after_completion_is_a_new_message(history: History) -> Iterator[Observation]:
    """The same packet id after PUBCOMP is a new message with an effect of its own."""
    earlier: dict[tuple[str, int | None], ReceivedMessage] = {}
    for message in received_messages(history):
        key = (message.device_id, message.first.fact.packet_id)
        before = earlier.get(key)
        earlier[key] = message
        if before is None or before.completed is None or not message.command or before.first.fact.payload == message.first.fact.payload:
            continue
        if before.command != message.command or before.first.event.scope != message.first.event.scope:
            continue
        if effects_of(history, message):
            yield kept(before.first, message.first)
        else:
            yield broken(
                f"{message.command!r} with packet id {key[1]}, free since its PUBCOMP, had no effect", before.completed, message.first
            )


@check("DEV-26", unseen="no command came in pieces")
def segmentation_does_not_matter(history: History) -> Iterator[Observation]:
    """Packets are read alike however TCP cuts or joins them."""
    for message, how in _segmented(history):
        answer = result_after(history, message)
        signs = (message.completed, answer.seen if answer else None, *message.pubrecs)
        if any(sign is not None and sign.fact.connection == message.first.fact.connection for sign in signs):
            yield kept(message.first)
        else:
            yield broken(f"{message.command!r}, sent {how}, was not taken on its connection", message.first)


def _segmented(history: History) -> Iterator[tuple[ReceivedMessage, str]]:
    """Every command that came in an announced way, with that way."""
    announced = list(history.stimuli("segmented"))
    for seen in announced:
        device_id = seen.fact.facts["device_id"]
        later = [other.line for other in announced if other.line > seen.line and other.fact.facts["device_id"] == device_id]
        until_line = min(later, default=history.events[-1].line + 1)
        for message in commands_received(history):
            if message.device_id == device_id and seen.line < message.first.line < until_line:
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
