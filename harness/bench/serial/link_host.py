"""The host's end of the board link: opens the connection, hands over messages until their deadlines, and opens anew where it must."""

from enum import Enum
from typing import Any

from harness.bench.serial.framing import Deframer, Frame, encode_body
from harness.bench.serial.link import (
    ENVELOPE_BYTES_MAX,
    SEQUENCE_MODULUS,
    VERSION,
    Booted,
    ConnectionLost,
    Delivered,
    FrameKind,
    GaveUp,
    LinkEvent,
    LinkSettings,
    Message,
    Opened,
    Outgoing,
    Refused,
    Traffic,
    counter,
    members,
    number,
)
from harness.errors import LocalWireError


class HostState(Enum):
    OPENING = "opening"
    OPEN = "open"
    REFUSED = "refused"


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


class HostEnd:
    """The end that opens. `connection` is the number of the first connection (0 to 65535): draw it, so that two runs differ."""

    def __init__(self, *, connection: int, settings: LinkSettings | None = None) -> None:
        self.settings = settings or LinkSettings()
        self.state = HostState.OPENING
        self._connection = connection % SEQUENCE_MODULUS
        self._deframer = Deframer(body_bytes_max=self.settings.body_bytes_max)
        self._traffic = Traffic(self.settings)
        self._tickets = 0
        self._next_open_s: float | None = None  # None: at once
        self._peer_body_bytes_max = self.settings.body_bytes_max

    @property
    def message_bytes_max(self) -> int:
        """The longest message that the board takes, in bytes of its JSON text."""
        return self._peer_body_bytes_max - ENVELOPE_BYTES_MAX

    def send(self, message: Message, *, now_s: float, deadline_s: float) -> int:
        """Queues a message and returns its ticket; `Delivered` or `GaveUp` will name it. Deadlines are monotonic seconds.

        Raises LocalWireError where the message is longer than the board takes.
        """
        size_bytes = len(encode_body(message))
        if size_bytes > self.message_bytes_max:
            frame_bytes = size_bytes + ENVELOPE_BYTES_MAX
            raise LocalWireError(f"a message that takes a frame body of {frame_bytes} bytes; this board takes {self._peer_body_bytes_max}")
        self._tickets += 1
        self._traffic.queue.append(Outgoing(self._tickets, message, deadline_s))
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
        """The bytes to write now, in order; they are forgotten here."""
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
        if kind is None or (kind is not FrameKind.BOOT and counter(body.get("c")) != self._connection):
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
        return [*lost, Booted(members(body.get("about")))] if kind is FrameKind.BOOT else lost

    def _act(self, kind: FrameKind, body: dict[str, Any], now_s: float) -> list[LinkEvent]:
        match kind:
            case FrameKind.OPENED:
                return self._opened(body)
            case FrameKind.REFUSED:
                return [Refused(number(body.get("v")))]
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
        self._peer_body_bytes_max = number(body.get("max")) or self._peer_body_bytes_max
        done = number(body.get("done"))
        events: list[LinkEvent] = [Opened(members(body.get("about")), self._peer_body_bytes_max, done)]
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


def _command_number(message: Message) -> int:
    return number(message.get("n")) if message.get("t") == "command" else 0
