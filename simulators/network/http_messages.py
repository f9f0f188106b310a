"""Where an HTTP/1.1 message's head ends and how long its body is: as much as a proxy must know to count bytes of bodies.

Pure: bytes in, pieces out. Bodies with `Content-Length` end where it says; any other body (chunked, or until the connection closes) is
counted as it stands on the wire and has no end here: such a connection carries no second exchange through the faults.  Source: RFC 9112.
"""

from dataclasses import dataclass
from typing import TypeAlias

HEAD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Head:
    """A start line with its headers, as raw bytes and taken apart; header names in lower case."""

    raw: bytes
    start_line: str
    headers: dict[str, str]

    @property
    def method_and_path(self) -> tuple[str, str]:
        """Of a request: the path without its query."""
        method, _, rest = self.start_line.partition(" ")
        return method, rest.partition(" ")[0].partition("?")[0]

    @property
    def status(self) -> int:
        """Of a response."""
        word = self.start_line.split(" ")[1:2]
        return int(word[0]) if word and word[0].isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the body, and where in it the piece begins."""

    data: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class End:
    """The message is complete."""


Piece: TypeAlias = Head | Body | End


class MessageReader:
    """One direction of a connection. `expects_body` is False where the next message has none whatever its head says (answers to HEAD)."""

    def __init__(self, *, is_response: bool) -> None:
        self.expects_body = True
        self._is_response = is_response
        self._rest = b""
        self._left: int | None = 0  # of the body; None: until the connection ends
        self._offset = 0
        self._is_in_body = False

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that `data` completes, in order. A head that never ends comes as a body without one."""
        self._rest += data
        pieces: list[Piece] = []
        while self._rest:
            if not self._is_in_body and not self._read_head(pieces):
                break
            if self._is_in_body:
                self._read_body(pieces)
        return pieces

    def _read_head(self, pieces: list[Piece]) -> bool:
        end = self._rest.find(b"\r\n\r\n")
        if end < 0:
            if len(self._rest) > HEAD_BYTES_MAX:
                self._begin_body(None)
                return True
            return False
        raw, self._rest = self._rest[: end + 4], self._rest[end + 4 :]
        start_line, *lines = raw[:-4].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        head = Head(raw, start_line, headers)
        pieces.append(head)
        self._begin_body(self._body_length(head))
        if self._left == 0:
            self._end(pieces)
        return True

    def _body_length(self, head: Head) -> int | None:
        if self._is_response and (not self.expects_body or head.status in (204, 304) or head.status < 200):
            return 0
        if "transfer-encoding" in head.headers:
            return None
        length = head.headers.get("content-length", "")
        if length.isdecimal():  # not isdigit: that is true of ², which is no number
            return int(length)
        return None if self._is_response else 0

    def _begin_body(self, length: int | None) -> None:
        self._is_in_body = True
        self._left = length
        self._offset = 0

    def _read_body(self, pieces: list[Piece]) -> None:
        size = len(self._rest) if self._left is None else min(self._left, len(self._rest))
        data, self._rest = self._rest[:size], self._rest[size:]
        if data:
            pieces.append(Body(data, self._offset))
            self._offset += len(data)
        if self._left is not None:
            self._left -= len(data)
            if self._left == 0:
                self._end(pieces)

    def _end(self, pieces: list[Piece]) -> None:
        self._is_in_body = False
        pieces.append(End())
