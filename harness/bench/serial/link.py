"""The board link, version 1: what both of its ends share. Each end is a pure state machine: bytes and the time go in, events and bytes out.

Each direction is stop-and-wait: a message is repeated until it is acknowledged, and a receiver takes each sequence number once. A
connection number, new at each opening, keeps frames of an earlier life apart. A receiver without room says `busy`: that is the flow
control, together with the longest body that each end announces. The host opens, and gives up at a message's deadline; a board never
gives up. A command carries a number that the board writes down *before* it acknowledges; after a reboot it says which one was the last, so
that the host neither repeats nor loses a command whose acknowledgement was lost.

Left to others: the ends (`link_host`, `link_board`), bytes on a wire (`bridge`), the meaning of messages (`messages`), the frames
themselves (`framing`).
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from harness.bench.serial.framing import ConsoleText, CorruptFrame, encode_body, encode_frame

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


class FrameKind(Enum):
    """The member `k` of a frame."""

    OPEN, OPENED, BOOT, REFUSED, LOST = "open", "opened", "boot", "refused", "lost"
    DATA, ACK, BUSY = "d", "a", "b"


@dataclass(slots=True)
class Outgoing:
    """A message on its way; `next_try_s` is None as long as it was not sent in this connection."""

    ticket: int
    message: Message
    deadline_s: float
    tries: int = 0
    next_try_s: float | None = None
    was_busy: bool = False


@dataclass(slots=True)
class Traffic:
    """The stop-and-wait part that both ends share: one message in flight out, the last sequence number in."""

    settings: LinkSettings
    queue: deque[Outgoing] = field(default_factory=deque)
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
        if not self.queue or self.queue[0].next_try_s is None or counter(sequence) != self.out_sequence:
            return []
        first = self.queue.popleft()
        self.out_sequence = (self.out_sequence + 1) % SEQUENCE_MODULUS
        return [Delivered(first.ticket, first.tries)]

    def told_busy(self, sequence: object, now_s: float) -> None:
        if self.queue and counter(sequence) == self.out_sequence:
            self.queue[0].was_busy = True
            self.queue[0].next_try_s = now_s + self.settings.busy_s

    def take(self, frame: dict[str, Any], connection: int, accept: Callable[[dict[str, Any]], bool]) -> list[LinkEvent] | None:
        """A data frame of this connection: taken once, acknowledged each time, refused with `busy` while there is no room.

        None where its number is neither the last nor the next: a line keeps the order, so the other end counts in another life.
        """
        sequence, message = counter(frame.get("s")), frame.get("m")
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


def counter(value: object) -> int | None:
    """A connection or sequence number; None for whatever else JSON may hold there (1.0 and true are equal to 1 in Python)."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < SEQUENCE_MODULUS:
        return value
    return None


def number(value: object) -> int:
    """A count of the other end's; 0 for whatever else JSON may hold there."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0


def members(value: object) -> dict[str, Any]:
    """An object of the other end's; an empty one for whatever else JSON may hold there."""
    return value if isinstance(value, dict) else {}
