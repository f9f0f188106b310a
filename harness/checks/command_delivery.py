"""The family CMD, second part: what arrives at the device, how often, in which order, and where else."""

import re
from collections import defaultdict
from collections.abc import Iterator

from harness.checks.admission import Defect, TargetView, defects
from harness.checks.command_calls import accepted, described, may_be_of, refused_and_silent, shown_status, with_only
from harness.checks.deliveries import Sent, carries, is_from_the_platform, matched
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import MqttClosed, MqttMalformed, MqttPacket
from harness.history.timeline import Delivery, Exchange, History, Seen
from harness.wire.commands import DOWNLOADS
from harness.wire.json_values import is_same_json
from harness.wire.topics import control_topic


def _owed(history: History, announcement: str) -> Iterator[Exchange]:
    """Accepted commands for which a scenario waited at the device, as it announced; none where the target hung up on the device.

    A device that was not granted the wildcard waits on the `topics` that the announcement names.
    """
    watched: dict[tuple[str, str], int] = {}
    topics: dict[tuple[str, str], list[str]] = {}
    for seen in history.stimuli(announcement):
        place = (seen.event.scope, str(seen.fact.facts["device_id"]))
        watched.setdefault(place, seen.line)
        if "topics" in seen.fact.facts:
            topics[place] = seen.fact.facts["topics"]
    lost = {
        (seen.event.scope, seen.fact.device_id)
        for seen in history.of(MqttClosed)
        if seen.fact.closed_by == "peer" and seen.line > watched.get((seen.event.scope, seen.fact.device_id), seen.line)
    }
    for call in accepted(history):
        place = (call.scope, call.request.device_id)
        if place not in watched or watched[place] > call.asked.line or place in lost or call.command is None:
            continue
        topic = control_topic(call.request.device_id, call.command)
        if topic in topics.get(place, [topic]):
            yield call


@check("CMD-02", "CMD-20", unseen="no accepted command to a device that was watched")
def accepted_command_reaches_its_device(history: History) -> Iterator[Observation]:
    """A command that was answered 200 arrives at its connected device, on {device_id}/control/{command}."""
    for call in _owed(history, "watching"):
        sent = matched(history).of(call)
        if sent is not None and sent.first is not None:
            yield kept(call, sent.first)
        elif not _went_astray(history, call):
            topic = control_topic(call.request.device_id, call.command or "")
            detail = f"{described(call)} was answered 200 and never came on {topic!r}"
            yield broken(detail, call, hint="answered before the broker took it, published nowhere, or with QoS 0 and lost")


def _went_astray(history: History, call: Exchange) -> bool:
    """Whether the message came, but on another topic: that is judged there."""
    return any(stray.seen.event.scope == call.scope and stray.line > call.asked.line for stray in matched(history).strays)


@check("CMD-02", unseen="no accepted command to a device that was watched")
def command_arrives_on_no_other_topic(history: History) -> Iterator[Observation]:
    """A command arrives on its own topic only, and at no other device."""
    for stray in matched(history).strays:
        message = stray.message
        if _is_explained_elsewhere(history, stray):
            continue
        detail = f"device {message.device_id} got a message on {message.topic!r} that no command to it explains"
        yield broken(detail, stray)
    for call in _owed(history, "watching"):
        sent = matched(history).of(call)
        if sent is not None and sent.first is not None:
            yield kept(call, sent.first)


def _is_explained_elsewhere(history: History, stray: Delivery) -> bool:
    """Whether a stray belongs to a refused command, to a name that is no topic level, or is no command at all."""
    target = TargetView.of(history)
    for call in history.commands():
        if call.scope != stray.seen.event.scope or call.asked.line > stray.line:
            continue
        found = defects(target, call)
        if Defect.NAME in found or (call.status not in (None, 200) and may_be_of(stray, call)):
            return True
    if stray.topic is not None and stray.topic.role == "control":
        return False
    # Beside commands a platform may have other things to say to a device; a command's data on another topic is not one of them.
    return (
        not any(
            call.scope == stray.seen.event.scope and carries(stray.payload_json, (call.sent_json or {}).get("data", {}))
            for call in accepted(history)
            if isinstance(call.sent_json, dict) and call.sent_json.get("data") and call.command not in DOWNLOADS
        )
        and stray.offer is None
    )


@check("CMD-03", unseen="no command reached a device that was granted QoS 2")
def command_is_published_with_qos_2(history: History) -> Iterator[Observation]:
    """A command is delivered with QoS 2 to a device that was granted QoS 2."""
    granted = granted_at(history)
    for delivery in _control_deliveries(history):
        if granted.get(delivery.message.connection) != 2:
            continue
        if delivery.message.qos == 2:
            yield kept(delivery)
        else:
            detail = f"{delivery.message.topic} came with QoS {delivery.message.qos}, allowed: 2"
            yield broken(detail, delivery, hint="published with a lower QoS: the delivered one is the lesser of published and granted")


def granted_at(history: History) -> dict[int, int]:
    """Connection -> the QoS granted on it, or on the last connection of that device where the session goes on without a SUBSCRIBE."""
    granted: dict[int, int] = {}
    latest: dict[str, int] = {}
    for seen in history.packets("CONNACK"):
        granted[seen.fact.connection] = -1
    for seen in sorted((*history.packets("SUBACK"), *history.packets("CONNACK")), key=lambda seen: seen.line):
        fact = seen.fact
        if fact.type == "SUBACK" and fact.return_codes:
            latest[fact.device_id] = min(fact.return_codes)
            granted[fact.connection] = latest[fact.device_id]
        elif fact.type == "CONNACK" and fact.session_present:
            granted[fact.connection] = latest.get(fact.device_id, -1)
    return granted


def _control_deliveries(history: History) -> Iterator[Delivery]:
    """Messages of the platform to a device on its own control topics."""
    for delivery in history.deliveries:
        if delivery.topic is not None and delivery.topic.role == "control" and is_from_the_platform(history, delivery):
            yield delivery


@check("CMD-03", unseen="no command reached a device that was granted QoS 2")
def command_arrives_exactly_once(history: History) -> Iterator[Observation]:
    """A command is released to its device exactly once, over a dropped connection with a resumed session too."""
    owed = {call.asked.line for call in _owed(history, "session kept")}
    for sent in matched(history).sent:
        if sent.copies:
            times = 1 + len(sent.copies)
            assert sent.first is not None
            yield broken(f"{described(sent.call)} came {times} times, allowed: once", sent.call, sent.first, *sent.copies)
        elif sent.first is not None:
            yield kept(sent.call, sent.first)
        elif sent.call.asked.line in owed:
            detail = f"{described(sent.call)} never came to the resumed session of {sent.call.request.device_id}"
            yield broken(detail, sent.call, hint="the broker forgets what is in flight when a connection drops (M 4.4.0-1)")


@check(
    "CMD-03",
    unseen="no exchange was cut off in a session that was resumed",
    hint="a broker that forgets, with the connection, what is in flight: a device that acts at PUBREL never acts",
)
def cut_exchange_is_taken_up_again(history: History) -> Iterator[Observation]:
    """A resumed session takes up each exchange that was cut off, with PUBREL or a marked copy.   Source: M 4.4.0-1, 3.3.1-1."""
    for before, after in _resumptions(history):
        open_ids = _unfinished_ids(history, before)
        again = [seen for seen in _from_server(history, after) if seen.fact.type in ("PUBLISH", "PUBREL")]
        first = {packet_id: next((seen for seen in again if seen.fact.packet_id == packet_id), None) for packet_id in open_ids}
        is_past = any(seen.fact.type == "PUBLISH" and seen.fact.packet_id not in open_ids for seen in again)
        for packet_id, seen in first.items():
            if seen is None and is_past:
                yield broken(f"packet {packet_id} was cut off before PUBCOMP, and the resumed session goes on without it", *again)
            elif seen is not None and seen.fact.type == "PUBLISH" and not seen.fact.dup:
                yield broken(f"packet {packet_id} came again to the resumed session with DUP 0, allowed: 1", seen)
            elif seen is not None:
                yield kept(seen)


def _resumptions(history: History) -> Iterator[tuple[int, int]]:
    """The connections that resumed a session, each after the one that the device had before."""
    latest: dict[str, int] = {}
    for seen in history.packets("CONNACK"):
        if seen.fact.session_present and seen.fact.device_id in latest:
            yield latest[seen.fact.device_id], seen.fact.connection
        latest[seen.fact.device_id] = seen.fact.connection


def _from_server(history: History, connection: int) -> list[Seen[MqttPacket]]:
    packets = history.of(MqttPacket)
    return [seen for seen in packets if seen.fact.connection == connection and seen.fact.sent_by == "server"]


def _unfinished_ids(history: History, connection: int) -> list[int]:
    """The packet ids of QoS 2 messages of the server for which the device did not send PUBCOMP on that connection."""
    receipts = (seen.fact for seen in history.packets("PUBCOMP") if seen.fact.sent_by == "client")
    finished = {receipt.packet_id for receipt in receipts if receipt.connection == connection}
    begun = [seen.fact for seen in _from_server(history, connection) if seen.fact.type == "PUBLISH" and seen.fact.qos == 2]
    return [packet.packet_id for packet in begun if packet.packet_id is not None and packet.packet_id not in finished]


@check(
    "CMD-04",
    unseen="no command reached a device",
    hint="published with retain, or a broker that marks queued messages as retained (amqtt does)",
)
def command_is_not_retained(history: History) -> Iterator[Observation]:
    """A command is delivered with RETAIN 0, and nothing is stored for a later subscriber."""
    for delivery in history.deliveries:
        message = delivery.message
        if message.retain and (message.topic, message.payload) not in history.published_by_clients:
            yield broken(f"{message.topic} was delivered with RETAIN=1, allowed: 0", delivery)
        elif delivery.topic is not None:
            yield kept(delivery)


def _with_data(history: History) -> Iterator[Sent]:
    for sent in matched(history).sent:
        if sent.first is not None and sent.command not in DOWNLOADS and "data" in sent.call.sent_json:
            yield sent


@check("CMD-05a", unseen="no command other than a download reached a device")
def payload_carries_the_data(history: History) -> Iterator[Observation]:
    """The payload of a command that is no download carries the JSON value of its data."""
    for sent in _with_data(history):
        assert sent.first is not None
        if sent.fits(sent.first):
            yield kept(sent.call, sent.first)
        else:
            shown = sent.first.message.payload[:80]
            yield broken(f"data {sent.data!r} arrived as {shown!r}, allowed: the same JSON value", sent.call, sent.first)


@check("CMD-05b", unseen="no command other than a download reached a device")
def payload_is_the_data_itself(history: History) -> Iterator[Observation]:
    """The payload is the data object itself, not wrapped in another."""
    for sent in _with_data(history):
        assert sent.first is not None
        if is_same_json(sent.first.payload_json, sent.data):
            yield kept(sent.call, sent.first)
        elif sent.fits(sent.first):
            shown = sent.first.message.payload[:80]
            yield broken(f"data {sent.data!r} came wrapped: {shown!r}, our reading: the object itself", sent.call, sent.first)


@check(
    "CMD-18a",
    "CMD-18b",
    "CMD-18c",
    unseen="no command with a name that is no topic level was sent",
    hint="a name goes into a topic unchecked: allow one topic level without / + # NUL and control characters",
)
def command_name_stays_in_its_topic(history: History) -> Iterator[Observation]:
    """No command name reaches another topic than its own; names that are no plain topic level are refused."""
    for call in with_only(history, Defect.NAME):
        strange = _strange_delivery(history, call)
        if strange is not None:
            detail = f"{described(call)} came on {strange.message.topic!r}, allowed: {{device_id}}/control/<that name> only"
            yield broken(detail, call, strange, requirement="CMD-18a")
        elif call.status is None or not 400 <= call.status < 500:
            yield broken(f"{described(call)} was answered {shown_status(call)}, allowed: 400", call, requirement="CMD-18b")
        else:
            yield refused_and_silent(history, call, allowed=tuple(range(400, 500)), requirement="CMD-18b", reading=("CMD-18c", 400))
    for seen in history.of(MqttMalformed):
        if "4.7.1" in seen.fact.statement or "wildcard" in seen.fact.problem:
            yield broken(f"the broker sent a topic with a wildcard: {seen.fact.problem}", seen, requirement="CMD-18a")


def _strange_delivery(history: History, call: Exchange) -> Delivery | None:
    """A message after this call, in its scenario, on a topic that is not the name's own, or holds a wildcard."""
    for delivery in history.deliveries:
        if delivery.seen.event.scope != call.scope or delivery.line < call.asked.line:
            continue
        topic = delivery.message.topic
        own = control_topic(call.request.device_id, call.command or "")
        is_reached = topic != own and carries(delivery.payload_json, call.sent_json.get("data"))
        if is_reached or (topic == own and re.search(r"[+#]", topic)):
            return delivery
    return None


@check("CMD-20", unseen="no command was sent to a device that was offline with a clean session")
def clean_session_gets_nothing_later(history: History) -> Iterator[Observation]:
    """A device that is offline with a clean session does not get a command later."""
    for away in history.stimuli("offline with a clean session"):
        device_id = away.fact.facts["device_id"]
        calls = [call for call in accepted(history) if _is_after(call, away.line, away.event.scope, device_id)]
        late = [
            delivery
            for delivery in history.deliveries
            if delivery.line > away.line and delivery.seen.event.scope == away.event.scope and delivery.message.device_id == device_id
            if is_from_the_platform(history, delivery)
        ]
        if calls and late:
            yield broken(f"{described(calls[0])} came later to a clean session, allowed: not at all", *calls, *late)
        elif calls:
            yield kept(*calls)


def _is_after(call: Exchange, line: int, scope: str, device_id: str) -> bool:
    return call.scope == scope and call.asked.line > line and call.request.device_id == device_id


@check(
    "CMD-21a",
    "CMD-21b",
    unseen="no two commands to one device arrived",
    hint="several workers or connections publish: give each device its own queue",
)
def commands_arrive_in_order(history: History) -> Iterator[Observation]:
    """Commands to one device arrive in the order of their 200s."""
    by_device: dict[tuple[str, str], list[Sent]] = defaultdict(list)
    for sent in matched(history).sent:
        if sent.first is not None and sent.call.status == 200 and not sent.copies and sent.fits(sent.first) and _is_known(sent):
            by_device[(sent.call.scope, sent.call.request.device_id)].append(sent)
    for sends in by_device.values():
        yield from _order_of(sorted(sends, key=lambda sent: sent.call.asked.line))


def _is_known(sent: Sent) -> bool:
    """Whether the match is by more than order: data of its own. Downloads and equal data are matched by order itself."""
    return sent.command not in DOWNLOADS and bool(sent.data)


def _order_of(sends: list[Sent]) -> Iterator[Observation]:
    for later in sends:
        before = [earlier for earlier in sends if _was_answered_before(earlier, later)]
        for requirement, group in (
            ("CMD-21a", [earlier for earlier in before if earlier.command == later.command]),
            ("CMD-21b", [earlier for earlier in before if earlier.command != later.command]),
        ):
            if group:
                yield _in_order(max(group, key=_arrival), later, requirement)


def _was_answered_before(earlier: Sent, later: Sent) -> bool:
    ended = earlier.call.ended
    return ended is not None and ended.line < later.call.asked.line and not is_same_json(earlier.data, later.data)


def _arrival(sent: Sent) -> int:
    assert sent.first is not None
    return sent.first.line


def _in_order(earlier: Sent, later: Sent, requirement: str) -> Observation:
    if _arrival(earlier) < _arrival(later):
        return kept(later.call)
    detail = f"{described(earlier.call)} was answered before {described(later.call)} was sent, and came after it"
    return broken(detail, earlier.call, later.call, requirement=requirement)
