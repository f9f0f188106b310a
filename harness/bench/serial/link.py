"""The board link, version 1, both ends as pure state machines: bytes and the time go in, events and bytes come out.

Each direction is stop-and-wait: a message is repeated until it is acknowledged, and a receiver takes each sequence number once. A
connection number, new at each opening, keeps frames of an earlier life apart. A receiver without room says `busy`: that is the flow
control, together with the longest body that each end announces. The host opens, and gives up at a message's deadline; a board never
gives up. A command carries a number that the board writes down *before* it acknowledges; after a reboot it says which one was the last, so
that the host neither repeats nor loses a command whose acknowledgement was lost.

Left to others: bytes on a wire (`bridge`), the meaning of messages (`messages`), the frames themselves (`framing`).
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from harness.bench.serial.framing import ConsoleText, CorruptFrame, Deframer, Frame, encode_body, encode_frame
from harness.errors import LocalWireError

VERSION = 1
SEQUENCE_MODULUS = 0x10000
ENVELOPE_BYTES_MAX = len('{"k":"d","c":65535,"s":65535,"m":}')
Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Times in seconds. A message is repeated after `retry_s` and what its bytes take on the line, `byte_s` each.

    The default of `byte_s` is that of 115200 baud with half as much again: 4 KB take 0.36 s there, and a copy sent too early delays all.
    """

    retry_s: float = 0.25
    byte_s: float = 0.00013
    busy_s: float = 0.05
    body_bytes_max: int = 8_192


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection stands: what the board says of itself, and the number of the last command that it took (0: none)."""

    about: dict[str, Any]
    body_bytes_max: int
    done: int


@dataclass(frozen=True, slots=True)
class Booted:
    """The board started anew: its boot frame arrived."""

    about: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The board does not know this connection (any more); the host opens a new one by itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The board speaks another version of the link; nothing more happens until it boots."""

    version: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of the other end, once."""

    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The other end took the message with this ticket."""

    ticket: int
    tries: int


@dataclass(frozen=True, slots=True)
class GaveUp:
    """No acknowledgement until the deadline: the message may or may not have arrived."""

    ticket: int
    tries: int
    was_busy: bool


LinkEvent = Opened | Booted | ConnectionLost | Refused | Arrived | Delivered | GaveUp | ConsoleText | CorruptFrame


class HostState(Enum):
    OPENING = "opening"
    OPEN = "open"
    REFUSED = "refused"


class FrameKind(Enum):
    """The member `k` of a frame."""

    OPEN, OPENED, BOOT, REFUSED, LOST = "open", "opened", "boot", "refused", "lost"
    DATA, ACK, BUSY = "d", "a", "b"


HOST_NEXT_STATE = {  # A pair that is missing here is a frame without meaning in that state: it is dropped.
    (HostState.OPENING, FrameKind.OPENED): HostState.OPEN,
    (HostState.OPENING, FrameKind.BOOT): HostState.OPENING,
    (HostState.OPENING, FrameKind.REFUSED): HostState.REFUSED,
    (HostState.OPEN, FrameKind.BOOT): HostState.OPENING,
    (HostState.OPEN, FrameKind.LOST): HostState.OPENING,
    (HostState.OPEN, FrameKind.DATA): HostState.OPEN,
    (HostState.OPEN, FrameKind.ACK): HostState.OPEN,
    (HostState.OPEN, FrameKind.BUSY): HostState.OPEN,
    (HostState.REFUSED, FrameKind.BOOT): HostState.OPENING,
}


@dataclass(slots=True)
class _Outgoing:
    """A message on its way; `next_try_s` is None as long as it was not sent in this connection."""

    ticket: int
    message: Message
    deadline_s: float
    tries: int = 0
    next_try_s: float | None = None
    was_busy: bool = False


@dataclass(slots=True)
class _Traffic:
    """The stop-and-wait part that both ends share: one message in flight out, the last sequence number in."""

    settings: LinkSettings
    queue: deque[_Outgoing] = field(default_factory=deque)
    out_sequence: int = 1
    in_sequence: int = 0
    output: bytearray = field(default_factory=bytearray)

    def put(self, **body: Any) -> None:
        self.output += encode_frame(body)

    def restart(self) -> None:
        """A new connection: numbers start again, what was not acknowledged will be sent again."""
        self.out_sequence, self.in_sequence = 1, 0
        if self.queue:
            self.queue[0].next_try_s = None

    def transmit(self, connection: int, now_s: float) -> None:
        """Sends the first message, or sends it again when its time has come."""
        if not self.queue:
            return
        first = self.queue[0]
        if first.next_try_s is None or now_s >= first.next_try_s:
            self.put(k="d", c=connection, s=self.out_sequence, m=dict(first.message))
            first.tries += 1
            size_bytes = len(encode_body(first.message))
            first.next_try_s = now_s + self.settings.retry_s + self.settings.byte_s * size_bytes

    def acknowledged(self, sequence: object) -> list[LinkEvent]:
        """The first message is through, if it is the one that is meant."""
        if not self.queue or self.queue[0].next_try_s is None or _counter(sequence) != self.out_sequence:
            return []
        first = self.queue.popleft()
        self.out_sequence = (self.out_sequence + 1) % SEQUENCE_MODULUS
        return [Delivered(first.ticket, first.tries)]

    def told_busy(self, sequence: object, now_s: float) -> None:
        if self.queue and _counter(sequence) == self.out_sequence:
            self.queue[0].was_busy = True
            self.queue[0].next_try_s = now_s + self.settings.busy_s

    def take(self, frame: dict[str, Any], connection: int, accept: Callable[[dict[str, Any]], bool]) -> list[LinkEvent] | None:
        """A data frame of this connection: taken once, acknowledged each time, refused with `busy` while there is no room.

        None where its number is neither the last nor the next: a line keeps the order, so the other end counts in another life.
        """
        sequence, message = _counter(frame.get("s")), frame.get("m")
        if sequence == self.in_sequence:
            self.put(k="a", c=connection, s=sequence)
            return []
        expected = (self.in_sequence + 1) % SEQUENCE_MODULUS
        if sequence != expected or not isinstance(message, dict):
            return None
        if not accept(message):
            self.put(k="b", c=connection, s=sequence)
            return []
        self.in_sequence = expected
        self.put(k="a", c=connection, s=sequence)
        return [Arrived(message)]


class HostEnd:
    """The end that opens. `connection` is the number of the first connection (0 to 65535): draw it, so that two runs differ."""

    def __init__(self, *, connection: int, settings: LinkSettings | None = None) -> None:
        self.settings = settings or LinkSettings()
        self.state = HostState.OPENING
        self._connection = connection % SEQUENCE_MODULUS
        self._deframer = Deframer(body_bytes_max=self.settings.body_bytes_max)
        self._traffic = _Traffic(self.settings)
        self._tickets = 0
        self._next_open_s: float | None = None  # None: at once
        self._peer_body_bytes_max = self.settings.body_bytes_max

    def send(self, message: Message, *, now_s: float, deadline_s: float) -> int:
        """Queues a message and returns its ticket; `Delivered` or `GaveUp` will name it. Deadlines are monotonic seconds.

        Raises LocalWireError where the message is longer than the board takes.
        """
        size_bytes = len(encode_body(message)) + ENVELOPE_BYTES_MAX
        if size_bytes > self._peer_body_bytes_max:
            raise LocalWireError(f"a message of {size_bytes} bytes; this board takes {self._peer_body_bytes_max}")
        self._tickets += 1
        self._traffic.queue.append(_Outgoing(self._tickets, message, deadline_s))
        self.tick(now_s)
        return self._tickets

    def receive(self, data: bytes, now_s: float) -> list[LinkEvent]:
        """Bytes from the line."""
        events: list[LinkEvent] = []
        for item in self._deframer.feed(data):
            if isinstance(item, Frame):
                events += self._judge(item, now_s)
            else:
                events.append(item)
        return events + self.tick(now_s)

    def tick(self, now_s: float) -> list[LinkEvent]:
        """Does what is due at this time; to be called at `next_wake_s` at the latest."""
        events = self._give_up(now_s)
        if self.state is HostState.OPENING and (self._next_open_s is None or now_s >= self._next_open_s):
            self._traffic.put(k="open", v=VERSION, c=self._connection, max=self.settings.body_bytes_max)
            self._next_open_s = now_s + self.settings.retry_s
        elif self.state is HostState.OPEN:
            self._traffic.transmit(self._connection, now_s)
        return events

    def take_output(self) -> bytes:
        """The bytes to write now, in order; they are forgotten here. A line end in front ends what noise left on the board's side."""
        output = bytes(self._traffic.output)
        self._traffic.output.clear()
        return output

    @property
    def next_wake_s(self) -> float | None:
        """When `tick` has something to do (monotonic seconds); None: not before bytes arrive or a message is sent."""
        times = [item.deadline_s for item in self._traffic.queue]
        if self.state is HostState.OPENING:
            times.append(self._next_open_s or 0.0)
        elif self.state is HostState.OPEN and self._traffic.queue:
            times.append(self._traffic.queue[0].next_try_s or 0.0)
        return min(times, default=None)

    def reopen(self) -> None:
        """Starts a new connection at the next tick, for instance after the port came back."""
        self._connection = (self._connection + 1) % SEQUENCE_MODULUS
        self.state = HostState.OPENING
        self._next_open_s = None
        self._traffic.restart()

    def _judge(self, frame: Frame, now_s: float) -> list[LinkEvent]:
        body = frame.body
        kind = next((kind for kind in FrameKind if kind.value == body.get("k")), None)
        if kind is None or (kind is not FrameKind.BOOT and _counter(body.get("c")) != self._connection):
            return []
        state = HOST_NEXT_STATE.get((self.state, kind))
        if state is None:
            return []
        if state is HostState.OPENING:
            return self._begin_again(kind, body)
        self.state = state
        return self._act(kind, body, now_s)

    def _begin_again(self, kind: FrameKind, body: dict[str, Any]) -> list[LinkEvent]:
        was_open = self.state is HostState.OPEN
        self.reopen()
        lost: list[LinkEvent] = [ConnectionLost(kind.value)] if was_open else []
        return [*lost, Booted(_object(body.get("about")))] if kind is FrameKind.BOOT else lost

    def _act(self, kind: FrameKind, body: dict[str, Any], now_s: float) -> list[LinkEvent]:
        match kind:
            case FrameKind.OPENED:
                return self._opened(body)
            case FrameKind.REFUSED:
                return [Refused(_number(body.get("v")))]
            case FrameKind.DATA:
                return self._take(body)
            case FrameKind.ACK:
                return self._traffic.acknowledged(body.get("s"))
            case _:
                self._traffic.told_busy(body.get("s"), now_s)
                return []

    def _take(self, body: dict[str, Any]) -> list[LinkEvent]:
        events = self._traffic.take(body, self._connection, lambda _message: True)
        if events is None:
            self.reopen()
            return [ConnectionLost("the numbers do not agree")]
        return events

    def _opened(self, body: dict[str, Any]) -> list[LinkEvent]:
        self._peer_body_bytes_max = _number(body.get("max")) or self._peer_body_bytes_max
        done = _number(body.get("done"))
        events: list[LinkEvent] = [Opened(_object(body.get("about")), self._peer_body_bytes_max, done)]
        queue = self._traffic.queue
        while queue and queue[0].tries and _command_number(queue[0].message) in range(1, done + 1):
            first = queue.popleft()  # The board wrote it down before it went away: only the acknowledgement was lost.
            events.append(Delivered(first.ticket, first.tries))
        return events

    def _give_up(self, now_s: float) -> list[LinkEvent]:
        queue = self._traffic.queue
        expired = [item for item in queue if now_s >= item.deadline_s]
        must_reopen = bool(expired) and expired[0] is queue[0] and expired[0].tries > 0
        for item in expired:
            queue.remove(item)
        if must_reopen and self.state is HostState.OPEN:
            self.reopen()  # The board may have taken it: only a new connection makes the numbers agree again.
        return [GaveUp(item.ticket, item.tries, item.was_busy) for item in expired]


class BoardEnd:
    """The end that is opened: the model of the C implementation, and the link of boards without hardware.

    `accept` is asked with each new message before it is acknowledged: a board writes a command's number down there, and returns False
    while it has no room. `done` tells the last number written down.
    """

    def __init__(
        self,
        *,
        about: Mapping[str, str],
        accept: Callable[[dict[str, Any]], bool],
        done: Callable[[], int],
        settings: LinkSettings | None = None,
    ) -> None:
        self.settings = settings or LinkSettings()
        self._about = dict(about)
        self._accept = accept
        self._done = done
        self._connection: int | None = None
        self._deframer = Deframer(body_bytes_max=self.settings.body_bytes_max)
        self._traffic = _Traffic(self.settings)

    def boot(self) -> None:
        """Says that the board starts; to be called once, first."""
        self._traffic.put(k="boot", v=VERSION, max=self.settings.body_bytes_max, done=self._done(), about=self._about)

    def send(self, message: Message, *, now_s: float) -> None:
        """Queues a message for the host; it is repeated until the host took it."""
        self._traffic.queue.append(_Outgoing(0, message, deadline_s=float("inf")))
        self.tick(now_s)

    @property
    def is_idle(self) -> bool:
        """Whether the host took everything."""
        return not self._traffic.queue

    def receive(self, data: bytes, now_s: float) -> list[LinkEvent]:
        """Bytes from the line."""
        events: list[LinkEvent] = []
        for item in self._deframer.feed(data):
            if isinstance(item, Frame):
                events += self._judge(item.body)
            else:
                events.append(item)
        self.tick(now_s)
        return events

    def tick(self, now_s: float) -> None:
        """Sends, or sends again, what is due."""
        if self._connection is not None:
            self._traffic.transmit(self._connection, now_s)

    def take_output(self) -> bytes:
        """The bytes to write now, in order; they are forgotten here."""
        output = bytes(self._traffic.output)
        self._traffic.output.clear()
        return output

    @property
    def next_wake_s(self) -> float | None:
        """When `tick` has something to do (monotonic seconds)."""
        if self._connection is None or not self._traffic.queue:
            return None
        return self._traffic.queue[0].next_try_s or 0.0

    def _judge(self, body: dict[str, Any]) -> list[LinkEvent]:
        kind, connection = body.get("k"), _counter(body.get("c"))
        if connection is None:
            return []
        if kind == "open":
            self._open(body, connection)
        elif kind == "d" and connection != self._connection:
            self._traffic.put(k="lost", c=connection)
        elif kind == "d":
            return self._take(body, connection)
        elif kind == "a" and connection == self._connection:
            return self._traffic.acknowledged(body.get("s"))
        return []

    def _take(self, body: dict[str, Any], connection: int) -> list[LinkEvent]:
        events = self._traffic.take(body, connection, self._accept)
        if events is None:
            self._traffic.put(k="lost", c=connection)
            return []
        return events

    def _open(self, body: dict[str, Any], connection: int) -> None:
        if _counter(body.get("v")) != VERSION:
            self._traffic.put(k="refused", v=VERSION, c=connection)
            return
        if connection != self._connection:  # A repeated `open` must not make the numbers start again.
            self._connection = connection
            self._traffic.restart()
        about, room = self._about, self.settings.body_bytes_max
        self._traffic.put(k="opened", v=VERSION, c=connection, max=room, done=self._done(), about=about)


def _counter(value: object) -> int | None:
    """A connection or sequence number; None for whatever else JSON may hold there (1.0 and true are equal to 1 in Python)."""
    is_counter = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < SEQUENCE_MODULUS
    return value if is_counter and isinstance(value, int) else None


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _command_number(message: Message) -> int:
    return _number(message.get("n")) if message.get("t") == "command" else 0
