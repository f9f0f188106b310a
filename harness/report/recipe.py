"""What a finding takes to be seen again, as steps: who listens, what is sent, which key is taken from which message, when the clock moves.

A finding's evidence names a few lines of the history; the steps are those lines with what made them possible: the connection on which a
message came, the command that issued a key. Everything is read from the history of the one scenario that showed the finding.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from harness.history import events as ev
from harness.history.timeline import Delivery, Exchange, History
from harness.wire.commands import DOWNLOADS
from harness.wire.json_values import is_same_json, read_json
from harness.wire.topics import parse_control_topic

CALLS_MAX = 20  # in one recipe: evidence of hundreds of calls shows the same thing again and again
_SUSPECTS_MAX = 3
_KEY_NUMBER = re.compile(r"<(key:\d+)")


@dataclass(frozen=True, slots=True)
class Listen:
    """A device connects and subscribes. Texts hold secrets as labels; no user name and no password are empty ones."""

    line: int
    connection: int
    device_id: str
    client_id: str
    username: str
    password: str
    clean_session: bool
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class HangUp:
    """A device's connection ends: in order, or by closing the socket."""

    line: int
    connection: int
    abruptly: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `keys` are the labels of the download keys that its command issued, in the order in which they came."""

    line: int
    exchange: Exchange
    keys: tuple[str, ...] = ()

    @property
    def ends_at(self) -> int:
        return self.exchange.lines[-1]


@dataclass(frozen=True, slots=True)
class Say:
    """A device publishes."""

    line: int
    device_id: str
    topic: str
    payload: str
    qos: int


@dataclass(frozen=True, slots=True)
class MoveClock:
    """The target's test clock is moved forward."""

    line: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """A hook of the target file is run."""

    line: int
    command: str


Step = Listen | HangUp | Ask | Say | MoveClock | Run


@dataclass
class _Connection:
    """What the history knows of one MQTT connection."""

    number: int
    opened: ev.Event
    device_id: str
    connect: ev.MqttPacket | None = None
    filters: tuple[tuple[str, int], ...] = ()
    closed: ev.Event | None = None
    lines: set[int] = field(default_factory=set)

    @property
    def is_kept(self) -> bool:
        return self.connect is not None and self.connect.clean_session is False


def recipe(history: History, lines: Iterable[int]) -> tuple[Step, ...]:
    """The steps that show again what `lines` of the history show, in their order; none where no platform was questioned there."""
    wanted = sorted({line for line in lines if 0 < line <= len(history.events)})
    scope = history.events[wanted[0] - 1].scope if wanted else ""
    if not _questions_a_platform(history, scope):
        return ()
    here = history.within(scope)
    asked = _asked(history, here, {line for line in wanted if history.events[line - 1].scope == scope})
    connections = _connections(here)
    last = max([*wanted, *(ask.ends_at for ask in asked)])
    heard = [connection for connection in connections if connection.lines & set(wanted)]
    first = min([ask.line for ask in asked] + [connection.opened.line for connection in heard], default=last)
    spoken = list(_spoken(here, wanted))
    silent = {say.device_id for say in spoken}  # one client id has one connection: who speaks does not listen
    devices = ({_addressee(ask) for ask in asked} | {connection.device_id for connection in heard}) - silent
    listeners = [connection for connection in connections if connection.device_id in devices and _matters(connection, first, last)]
    steps = [*asked, *spoken, *_listening(listeners, last), *_moves(history, first, last), *_hooks(here)]
    return tuple(sorted(steps, key=lambda step: step.line))


def _questions_a_platform(history: History, scope: str) -> bool:
    return any(seen.fact.subject == "platform" for seen in history.of(ev.ScenarioStarted, scope=scope))


def _asked(history: History, here: History, wanted: set[int]) -> list[Ask]:
    """The requests among the wanted lines, with the commands that issued their keys; where there is none, what led to those lines."""
    calls = [exchange for exchange in here.exchanges if wanted & set(exchange.lines)]
    if not calls:
        calls = list(_leading_to(history, here, wanted))
    chosen = {exchange.request.exchange: exchange for exchange in calls[:CALLS_MAX]}
    keys: dict[int, tuple[str, ...]] = {}
    uses = [(label, exchange) for exchange in chosen.values() for label in _keys_in(exchange)]
    for label, use in uses:
        issued = _issued(here, label)
        if issued is not None:
            for command in (issued, *_rivals(here, issued, use)):
                chosen[command.request.exchange] = command
                keys[command.request.exchange] = _keys_of(here, command)
    return [Ask(exchange.asked.line, exchange, keys.get(number, ())) for number, exchange in chosen.items()]


def _rivals(here: History, issued: Exchange, use: Exchange) -> list[Exchange]:
    """Offers to the same device between the command that issued a key and an attempt with it that was refused: they may have ended it."""
    if use.status == 200:
        return []
    device_id, lines = issued.request.device_id, range(issued.asked.line + 1, use.asked.line)
    offers = [command for command in here.commands() if command.command in DOWNLOADS and command.asked.line in lines]
    return [offer for offer in offers if offer.request.device_id == device_id][:_SUSPECTS_MAX]


def _keys_of(here: History, command: Exchange) -> tuple[str, ...]:
    """The labels of the keys that a command issued, in the order in which they came."""
    payloads = [delivery.message.payload for delivery in here.deliveries if _command_of(here, delivery) is command]
    return tuple(dict.fromkeys(f"<{number}>" for payload in payloads for number in _KEY_NUMBER.findall(payload)))


def _leading_to(history: History, here: History, wanted: set[int]) -> Iterator[Exchange]:
    """For lines that are no requests: the commands that explain the messages among them, else the last requests before them."""
    delivered = [delivery for delivery in here.deliveries if delivery.line in wanted]
    explained = [command for delivery in delivered if (command := _command_of(here, delivery))]
    if explained:
        if len(delivered) == 1 and not _has_its_data(delivered[0], explained[0]):
            # A message that no command to its device asked for: one of the last commands to others brought it, in whatever scenario.
            explained += [command for command in history.commands() if command.asked.line < delivered[0].line][-_SUSPECTS_MAX:]
        yield from {command.asked.line: command for command in explained}.values()
    elif not any(isinstance(event.fact, ev.MqttPacket) and event.line in wanted for event in here.events):
        yield from [exchange for exchange in here.exchanges if wanted and exchange.asked.line < max(wanted)][-CALLS_MAX:]


def _keys_in(exchange: Exchange) -> list[str]:
    request = exchange.request
    texts = [request.url, request.body, *(value for _, value in request.headers)]
    return [f"<{number}>" for text in texts for number in _KEY_NUMBER.findall(text)]


def _issued(here: History, label: str) -> Exchange | None:
    """The command whose message brought the key."""
    delivery = next((delivery for delivery in here.deliveries if label in delivery.message.payload), None)
    return _command_of(here, delivery) if delivery is not None else None


def _command_of(here: History, delivery: Delivery) -> Exchange | None:
    """The last command of that name to that device that was sent before the message came."""
    topic = parse_control_topic(delivery.message.topic)
    found = None
    for exchange in here.commands():
        if exchange.asked.line > delivery.line:
            break
        if topic is not None and exchange.request.device_id == topic.device_id and exchange.command == topic.command:
            found = exchange
    return found


def _has_its_data(delivery: Delivery, command: Exchange) -> bool:
    """Whether a message carries what its command asked for; of an offer to download, that is not the question."""
    body, payload = read_json(command.request.body), read_json(delivery.message.payload)
    return command.command in DOWNLOADS or (isinstance(body, dict) and is_same_json(body.get("data"), payload))


def _addressee(ask: Ask) -> str:
    return ask.exchange.request.device_id if ask.exchange.request.endpoint == "command" else ""


def _connections(here: History) -> list[_Connection]:
    found: dict[int, _Connection] = {}
    for event in here.events:
        fact = event.fact
        if isinstance(fact, ev.MqttOpened):
            found[fact.connection] = _Connection(fact.connection, event, fact.device_id)
        if not isinstance(fact, ev.MqttOpened | ev.MqttPacket | ev.MqttDelivered | ev.MqttMalformed | ev.MqttClosed):
            continue
        connection = found.get(fact.connection)
        if connection is None:
            continue
        connection.lines.add(event.line)
        match fact:
            case ev.MqttPacket(type="CONNECT", sent_by="client"):
                connection.connect = fact
            case ev.MqttPacket(type="SUBSCRIBE", sent_by="client", filters=filters):
                connection.filters += filters or ()
            case ev.MqttClosed():
                connection.closed = event
    return list(found.values())


def _matters(connection: _Connection, first: int, last: int) -> bool:
    """Whether it was open meanwhile, or left a session behind in which commands waited."""
    if connection.connect is None or connection.opened.line > last:
        return False
    return connection.is_kept or connection.closed is None or connection.closed.line > first


def _listening(connections: Iterable[_Connection], last: int) -> Iterator[Step]:
    for connection in connections:
        connect = connection.connect
        assert connect is not None
        line, number = connection.opened.line, connection.number
        name = connect.client_id or connection.device_id
        login = (name, connect.username or "", connect.password or "")
        yield Listen(line, number, connection.device_id, *login, bool(connect.clean_session), connection.filters)
        if connection.closed is not None and connection.closed.line < last:
            assert isinstance(connection.closed.fact, ev.MqttClosed)
            in_order = connection.closed.fact.closed_by == "us" and not connection.closed.fact.reason.startswith("cut")
            yield HangUp(connection.closed.line, number, abruptly=not in_order)


def _spoken(here: History, wanted: Iterable[int]) -> Iterator[Say]:
    lines = set(wanted)
    for seen in here.packets("PUBLISH"):
        if seen.line in lines and seen.fact.sent_by == "client":
            yield Say(seen.line, seen.fact.device_id, seen.fact.topic or "", seen.fact.payload or "", seen.fact.qos or 0)


def _moves(history: History, first: int, last: int) -> Iterator[MoveClock]:
    """Steps of the clock are everybody's, whichever scenario made them."""
    return (MoveClock(seen.line, seen.fact.seconds) for seen in history.of(ev.ClockAdvanced) if first < seen.line < last)


def _hooks(here: History) -> Iterator[Run]:
    """All of them: those before the requests made the state in which they were answered, those behind them undo it."""
    return (Run(seen.line, seen.fact.command) for seen in here.of(ev.HookRun))
