"""DEV-01, DEV-02, DEV-15, DEV-16, DEV-20: the device's connection: logging in, staying, coming back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from harness.checks.device_answers import is_in_force_afterwards
from harness.checks.device_fetches import Fetch, spoilt_fetches
from harness.checks.device_view import (
    ReceivedMessage,
    commands_received,
    crashes,
    declares,
    downloads_with,
    in_lines,
    is_download,
    reboots,
    received_messages,
    requires_results,
    result_after,
)
from harness.checks.registry import Observation, broken, check, kept, not_seen
from harness.history.events import HttpEnded, HttpRequest, MqttClosed, MqttPacket, ScenarioEnded, ScenarioStarted, Stimulus
from harness.history.timeline import History, Seen
from harness.mqtt.topic_filters import matches
from harness.wire.commands import REBOOT
from harness.wire.topics import control_topic

KEEP_ALIVE_GRACE_S = 1.5  # common clients look at their timers once a second
BROKER_PATIENCE = 1.5  # of the keep-alive: then a server ends the connection (MQTT-3.1.2-24); one that did not stood still itself
_ANSWER_GRACE_S = 1.0
_LONG_WAIT_S = 10.0  # who waits so long hammers nobody, growth or not
_SCATTERED_WAIT_S = 0.9  # nor does who has reached the limit of its waits and draws them by chance
_GROWTH_MIN = 1.5
_JITTER_MIN = 0.02
_UNSTEADY_S = 0.05

_BLOCKED = (
    "the download runs inside the MQTT loop or callback, so nothing is sent meanwhile (PubSubClient, umqtt, Paho embedded C: pings leave "
    "only where the application yields)"
)
_KEEP_ALIVE = "declare in keep_alive_s what the device asks for; a program is told the declared one as HIL_KEEP_ALIVE_S"
_CLEAN = "clean_session = 1 is the default of esp-mqtt, umqtt and PubSubClient: what is sent while the device is away is lost"


@check("DEV-01", unseen="the device did not try to log in")
def device_logs_in_with_its_token(history: History) -> Iterator[Observation]:
    """The device logs in with its id as client id and user name, and its token as password."""
    questioned = {seen.event.scope: seen.fact.devices.get("device", "") for seen in history.of(ScenarioStarted)}
    for seen in history.packets("CONNECT"):
        packet, device_id = seen.fact, questioned.get(seen.event.scope) or seen.fact.device_id
        if packet.client_id != device_id:
            yield broken(f"the client id is {packet.client_id!r}, allowed: the device id {device_id!r}", seen)
        elif packet.username != device_id:
            yield broken(f"the user name is {packet.username!r}, allowed: the device id {device_id!r}", seen)
        elif packet.password != f"<token:{device_id}>":
            yield broken("the password is not the device token", seen)
        else:
            yield kept(seen)


@check("DEV-02", unseen="no QoS 1 command was repeated, or no effect of it can be seen")
def repeated_qos_1_command_has_one_effect(history: History) -> Iterator[Observation]:
    """Under the declared profile qos1, a command that is repeated with DUP has one effect."""
    for message in received_messages(history):
        if message.first.fact.qos != 1 or not message.copies:
            continue
        if is_download(message):
            effects = [exchange.asked.line for exchange in downloads_with(history, message) if exchange.request.method == "GET"]
        elif message.command == REBOOT:
            effects = [line for line in reboots(history, message.device_id) if line > message.first.line]
        else:
            continue
        if len(effects) > 1:
            detail = f"{message.command!r}, repeated with DUP, had {len(effects)} effects ({in_lines(effects)}), allowed: 1"
            yield broken(detail, message.first, *message.copies, hint="QoS 1 repeats: remember what was executed last")
        elif effects:
            yield kept(message.first, *message.copies)


@check("DEV-15", unseen="no slow download ran for longer than a keep-alive interval", hint=_BLOCKED)
def slow_download_keeps_the_connection(history: History) -> Iterator[Observation]:
    """A slow download does not cost the MQTT connection, or the device comes back by itself."""
    declared_s = float(declares(history).get("keep_alive_s", 30))
    for fetch, transfer in _slow(history):
        device_id = fetch.message.device_id
        connects = [seen for seen in history.packets("CONNECT", device_id=device_id) if seen.line < transfer.asked.line]
        keep_alive_s = float(connects[-1].fact.keep_alive_s or 0) if connects else declared_s
        if connects and keep_alive_s != declared_s:
            yield broken(f"its CONNECT says keep-alive {keep_alive_s:g} s, declared: {declared_s:g} s", connects[-1], hint=_KEEP_ALIVE)
        if not keep_alive_s:
            continue
        if transfer.lasted_s < keep_alive_s:
            if transfer.ended.fact.closed_by == "peer":
                detail = (
                    f"the device ended the transfer after {transfer.lasted_s:.1f} s, before its keep-alive of {keep_alive_s:g} s was over"
                )
                yield not_seen(detail)
            continue
        silence_s, evidence = _longest_silence(history, fetch.message, transfer)
        lost = [seen for seen in history.of(MqttClosed) if seen.fact.device_id == device_id and transfer.covers(seen.line)]
        if lost and _listening_after(history, device_id, lost[-1].line) is None:
            yield broken(f"the download cost the connection ({lost[-1].fact.reason}), and it did not come back", *fetch.evidence, lost[-1])
        elif not lost and silence_s > keep_alive_s * BROKER_PATIENCE + KEEP_ALIVE_GRACE_S:
            continue
        elif not lost and silence_s > keep_alive_s + KEEP_ALIVE_GRACE_S:
            detail = f"{silence_s:.1f} s without a packet during a download, allowed: {keep_alive_s:g} s"
            yield broken(detail, *fetch.evidence, *evidence)
        else:
            yield kept(*fetch.evidence, *lost)


@dataclass(frozen=True)
class _Transfer:
    """A slow download, from its first request to its last byte: whoever asks for parts makes many requests."""

    asked: Seen[HttpRequest]
    ended: Seen[HttpEnded]

    @property
    def lasted_s(self) -> float:
        return self.ended.at_s - self.asked.at_s

    def covers(self, line: int) -> bool:
        return self.asked.line < line < self.ended.line


def _slow(history: History) -> Iterator[tuple[Fetch, _Transfer]]:
    over = {seen.fact.name: seen.line for seen in history.of(ScenarioEnded)}
    for fetch in spoilt_fetches(history, "trickle"):
        gets = [exchange for exchange in fetch.attempts if exchange.request.method == "GET"]
        ends = [exchange.ended for exchange in gets if exchange.ended is not None]
        # What the device sends after the scenario is not seen here: a transfer that outlives it tells nothing.
        if ends and ends[-1].line < over.get(fetch.message.first.event.scope, ends[-1].line + 1):
            yield fetch, _Transfer(gets[0].asked, ends[-1])


def _longest_silence(history: History, message: ReceivedMessage, transfer: _Transfer) -> tuple[float, tuple[Seen[MqttPacket], ...]]:
    """The longest time without a packet of the device that overlaps the download, and the packets around it."""
    # What the device sent before, to another scenario, is not seen here: without a packet of this one, silence begins with the request.
    scope = message.first.event.scope
    by_device = (seen for seen in history.of(MqttPacket) if seen.fact.device_id == message.device_id and seen.fact.sent_by == "client")
    sent = [seen for seen in by_device if seen.event.scope == scope]
    longest_s = 0.0
    around: tuple[Seen[MqttPacket], ...] = ()
    for before, after in pairwise((None, *sent)):
        assert after is not None  # only the first of them is not there
        if after.line < transfer.asked.line or (before is not None and before.line > transfer.ended.line):
            continue
        since_s = before.at_s if before is not None else transfer.asked.at_s
        if after.at_s - since_s > longest_s:
            longest_s, around = after.at_s - since_s, (before or after, after)
    return longest_s, around


def _listening_after(history: History, device_id: str, line: int) -> Seen[MqttPacket] | None:
    """The first sign after a line that the device's subscriptions stand: a SUBACK, or a CONNACK with its session present."""
    for seen in history.of(MqttPacket):
        packet = seen.fact
        if seen.line <= line or packet.device_id != device_id or packet.sent_by != "server":
            continue
        if packet.type == "SUBACK" or (packet.type == "CONNACK" and packet.session_present and not any(packet.return_codes or ())):
            return seen
    return None


@check("DEV-16", unseen="no command came while a slow download ran", hint=_BLOCKED)
def commands_are_answered_during_a_download(history: History) -> Iterator[Observation]:
    """Other commands are answered while a slow download runs."""
    for fetch, transfer in _slow(history):
        for message in commands_received(history):
            if is_download(message) or message.device_id != fetch.message.device_id or not transfer.covers(message.first.line):
                continue
            answered_s = _answered_after_s(history, message)
            limit_s = float(declares(history).get("result_s", 5)) + _ANSWER_GRACE_S
            # A device that is busy answers when the download is over: only an answer well before that tells.
            left_s = transfer.ended.at_s - message.first.at_s - _ANSWER_GRACE_S
            answer = result_after(history, message)
            is_refused = answer is not None and answer.is_failure
            if not is_refused and is_in_force_afterwards(history, message) is False:
                yield broken(
                    f"{message.payload_json!r}, sent during a download, is not in force afterwards", *fetch.evidence, message.first
                )
            elif answered_s is not None and answered_s <= min(limit_s, left_s):
                yield kept(message.first)
            elif left_s >= limit_s or (answered_s is None and left_s > 0):
                took = "no answer" if answered_s is None else f"its answer after {answered_s:.1f} s"
                yield broken(f"{message.command!r} got {took} during a download, allowed: {limit_s:g} s", *fetch.evidence, message.first)


def _answered_after_s(history: History, message: ReceivedMessage) -> float | None:
    """How long a command waited for its result, or for its acknowledgement where results are not promised; None: for ever."""
    if requires_results(history):
        answer = result_after(history, message)
        return answer.seen.at_s - message.first.at_s if answer is not None else None
    return message.completed.at_s - message.first.at_s if message.completed is not None else None


@check("DEV-20a", unseen="the connection was not lost")
def device_comes_back(history: History) -> Iterator[Observation]:
    """After a broker restart or a network loss the device reconnects, hears commands, and answers them."""
    for lost, until_line in _losses(history):
        device_id, how = lost.fact.facts["device_id"], lost.fact.facts["how"]
        back = _listening_after(history, device_id, lost.line)
        if back is None or back.line > until_line:
            connects = [seen for seen in history.packets("CONNECT", device_id=device_id) if lost.line < seen.line < until_line]
            what = "reconnected, but did not subscribe again" if connects else "did not come back"
            yield broken(f"after {how} the device {what}", lost, *connects[:1])
            continue
        if crashed := [line for line in crashes(history, device_id) if lost.line < line < back.line]:
            yield broken(f"after {how} its program crashed (line {crashed[0]}); that it was started again is not its own doing", lost, back)
            continue
        if back.fact.type == "SUBACK" and (forgotten := _no_longer_heard(history, lost, back)):
            yield broken(f"after {how} its subscriptions no longer cover {', '.join(map(repr, forgotten))}, allowed: as before", lost, back)
            continue
        asked = next((m for m in commands_received(history) if m.device_id == device_id and back.line < m.first.line < until_line), None)
        answer = result_after(history, asked) if asked is not None else None
        if asked is None or (asked.completed is None and answer is None):
            yield broken(f"after {how} the device came back and took no command", lost, back)
        else:
            yield kept(lost, back, asked.first)


def _no_longer_heard(history: History, lost: Seen[Stimulus], back: Seen[MqttPacket]) -> list[str]:
    """Commands that the device subscribed to before a loss, and does not after it. What it never subscribed to is DEV-01's question."""
    device_id = back.fact.device_id
    before = [seen for seen in history.packets("SUBSCRIBE", device_id=device_id) if seen.line < lost.line]
    filters = [name for seen in before for name, _ in seen.fact.filters or ()]
    return [name for name in unheard_commands(history, back)[1] if are_covered(filters, device_id, name)]


def unheard_commands(history: History, answer: Seen[MqttPacket]) -> tuple[list[Seen[MqttPacket]], list[str]]:
    """What a device subscribed to on the connection of a CONNACK or SUBACK, and the commands of its declaration that it does not hear.

    None of them where the connection was lost: a SUBSCRIBE may have been on its way.
    """
    device_id, connection = answer.fact.device_id, answer.fact.connection
    asked = [seen for seen in history.packets("SUBSCRIBE", device_id=device_id) if seen.fact.connection == connection]
    filters = [name for seen in asked for name, _ in seen.fact.filters or ()]
    if any(seen.fact.connection == connection for seen in history.of(MqttClosed)):
        return asked, []
    return asked, [name for name in declares(history).get("commands", ()) if not are_covered(filters, device_id, name)]


def are_covered(filters: Iterable[str], device_id: str, command: str) -> bool:
    """Whether one of these filters matches a command's control topic."""
    return any(matches(name, control_topic(device_id, command)) for name in filters)


def _losses(history: History) -> Iterator[tuple[Seen[Stimulus], int]]:
    """Every announced loss of a connection, with the line of the same device's next one."""
    losses = list(history.stimuli("connection lost"))
    for lost in losses:
        later = [other.line for other in losses if other.line > lost.line and other.fact.facts["device_id"] == lost.fact.facts["device_id"]]
        yield lost, min(later, default=history.end_line)


@check("DEV-20a", unseen="the device did not connect", hint=_CLEAN)
def declared_session_is_kept(history: History) -> Iterator[Observation]:
    """A device that declares a persistent session connects without clean session."""
    for seen in history.packets("CONNECT"):
        if seen.fact.clean_session:
            yield broken("its CONNECT asks for a clean session, declared: persistent_session = true", seen)
        else:
            yield kept(seen)


@check("DEV-20b", unseen="no connection was refused several times in a row")
def reconnects_back_off(history: History) -> Iterator[Observation]:
    """Reconnects back off: the waits between them grow."""
    for connects in _refused_rounds(history):
        waits_s = _waits_s(connects)
        shown = ", ".join(f"{wait_s:.2f}" for wait_s in waits_s)
        is_patient = min(waits_s) >= _LONG_WAIT_S or (min(waits_s) >= _SCATTERED_WAIT_S and _are_scattered(waits_s))
        if is_patient or _grow(waits_s):
            yield kept(*connects)
        else:
            yield broken(f"the waits between refused connects do not grow: {shown} s", *connects)


@check("DEV-20b", unseen="no two rounds of refused connects were seen")
def reconnects_are_scattered(history: History) -> Iterator[Observation]:
    """Reconnects are scattered: the waits of one round differ from those of another."""
    rounds = list(_refused_rounds(history))
    for before, after in pairwise(rounds):
        pairs = list(zip(_waits_s(before), _waits_s(after), strict=False))
        if any(_are_scattered(pair) for pair in pairs):
            yield kept(*before, *after)
        else:
            shown = "; ".join(f"{one:.2f} and {other:.2f}" for one, other in pairs)
            yield broken(f"the waits of two rounds are the same ({shown} s): a fleet would come back all at once", *before, *after)


def _refused_rounds(history: History) -> Iterator[list[Seen[MqttPacket]]]:
    """The CONNECTs of each round in which connections were refused: at least three."""
    for lost, until_line in _losses(history):
        if not lost.fact.facts.get("is_refused"):
            continue
        device_id = lost.fact.facts["device_id"]
        connects = [seen for seen in history.packets("CONNECT", device_id=device_id) if lost.line < seen.line < until_line]
        if len(connects) >= 3:
            yield connects


def _grow(waits_s: Sequence[float]) -> bool:
    """Whether waits grow: each of them, or one, where they are longer than what a busy machine makes of no wait at all."""
    if all(later >= _GROWTH_MIN * before for before, later in pairwise(waits_s)):
        return True
    return max(waits_s[1:]) >= _GROWTH_MIN * waits_s[0] and fmean(waits_s) >= 3 * _UNSTEADY_S


def _are_scattered(waits_s: Sequence[float]) -> bool:
    """Whether chance is in these waits: they differ by more than a machine's own unsteadiness."""
    return max(waits_s) - min(waits_s) > max(_UNSTEADY_S, _JITTER_MIN * min(waits_s))


def _waits_s(connects: list[Seen[MqttPacket]]) -> list[float]:
    return [after.at_s - before.at_s for before, after in pairwise(connects)]
