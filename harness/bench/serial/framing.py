"""Frames of the board link, version 1: one line of text each, so that they share a UART with the board's own log lines.

    ~LLLLCCCC{"k":"d","c":4711,"s":1,"m":{…}}\\n

`~` starts a frame and appears nowhere else in one (inside JSON it is written `\\u007e`), so a receiver that lost bytes finds the next frame
by itself. LLLL is the body's length in bytes and CCCC its CRC-16/CCITT-FALSE, both as four lower-case hexadecimal digits. Whatever stands
outside of frames is console text. What the frames mean is left to `link`. The page for firmware authors is simulators/board/LINK.md.
"""

import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import LocalWireError

START = b"~"
HEADER_BYTES = 8
BODY_BYTES_MAX = 0xFFFF
_HEADER = re.compile(rb"[0-9a-f]{8}")
_BOUNDARY = re.compile(rb"([~\n])")


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that arrived whole: its body, a JSON object."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CorruptFrame:
    """Bytes that began like a frame and are none. `raw` starts after `~`; `problem` is one short sentence."""

    raw: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class ConsoleText:
    """Text outside of frames: a line without its end, or the piece of one that a frame or the length limit cut off."""

    raw: bytes
    is_whole_line: bool = True

    def text(self) -> str:
        """The lossy view for people; `raw` is the evidence."""
        return self.raw.decode("utf-8", errors="replace")


Received = Frame | CorruptFrame | ConsoleText


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF, not reflected): 0x29B1 for b"123456789"."""
    return binascii.crc_hqx(data, 0xFFFF)


def encode_body(body: Mapping[str, Any]) -> bytes:
    """The JSON text of a frame: ASCII, no blanks, `~` escaped."""
    text = json.dumps(body, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("~", "\\u007e").encode("ascii")


def encode_frame(body: Mapping[str, Any]) -> bytes:
    """One frame with its line end. Raises LocalWireError where the body is longer than the header can say."""
    raw = encode_body(body)
    if len(raw) > BODY_BYTES_MAX:
        raise LocalWireError(f"a frame body of {len(raw)} bytes; the header can say {BODY_BYTES_MAX}")
    return b"~%04x%04x%s\n" % (len(raw), crc16(raw), raw)


def decode_line(raw: bytes) -> Frame | CorruptFrame:
    """Judges what stood between `~` and the line end; one carriage return at its end is forgiven, as terminals add them."""
    line = raw.removesuffix(b"\r")
    header, body = line[:HEADER_BYTES], line[HEADER_BYTES:]
    if not _HEADER.fullmatch(header):
        return CorruptFrame(raw, "no length and CRC after `~`")
    length, crc = int(header[:4], 16), int(header[4:], 16)
    if len(body) != length:
        return CorruptFrame(raw, f"{len(body)} bytes of body where {length} were announced")
    if crc16(body) != crc:
        return CorruptFrame(raw, f"CRC {crc16(body):04x} where {crc:04x} was announced")
    return _parse(raw, body)


def _parse(raw: bytes, body: bytes) -> Frame | CorruptFrame:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return CorruptFrame(raw, "the body is no JSON")
    return Frame(value) if isinstance(value, dict) else CorruptFrame(raw, "the body is no JSON object")


class Deframer:
    """Cuts a byte stream into frames, corrupt frames and console text, at any split; keeps at most one line.

    A frame body longer than `body_bytes_max` is corrupt; console text is handed out in pieces of at most `text_bytes_max`.
    """

    def __init__(self, *, body_bytes_max: int = 8_192, text_bytes_max: int = 4_096) -> None:
        self._frame_bytes_max = HEADER_BYTES + body_bytes_max + 1  # the forgiven carriage return
        self._text_bytes_max = text_bytes_max
        self._kept = bytearray()
        self._in_frame = False
        self._is_skipping = False

    def feed(self, data: bytes) -> list[Received]:
        """What these bytes completed, in order."""
        received: list[Received] = []
        for piece in _BOUNDARY.split(data):
            if piece == START:
                received += self._end(cut_off=True)
                self._in_frame = True
            elif piece == b"\n":
                received += self._end(cut_off=False)
            elif piece:
                received += self._keep(piece)
        return received

    def flush(self) -> list[Received]:
        """What is kept of an unfinished line: for a prompt without a line end, or a line that went dead."""
        return list(self._end(cut_off=True))

    @property
    def unfinished(self) -> bytes:
        """The bytes of the line that has not ended yet."""
        return START * self._in_frame + bytes(self._kept)

    def _keep(self, piece: bytes) -> Iterator[Received]:
        if self._is_skipping:
            return
        self._kept += piece
        if self._in_frame and len(self._kept) > self._frame_bytes_max:
            yield CorruptFrame(bytes(self._kept), f"a body of more than {self._frame_bytes_max - HEADER_BYTES - 1} bytes")
            self._kept.clear()
            self._is_skipping = True
        while not self._in_frame and len(self._kept) > self._text_bytes_max:
            yield ConsoleText(bytes(self._kept[: self._text_bytes_max]), is_whole_line=False)
            del self._kept[: self._text_bytes_max]

    def _end(self, *, cut_off: bool) -> Iterator[Received]:
        kept, in_frame, skipping = bytes(self._kept), self._in_frame, self._is_skipping
        self._kept.clear()
        self._in_frame = self._is_skipping = False
        if skipping:
            return
        if in_frame:
            yield CorruptFrame(kept, "cut off before its end") if cut_off else decode_line(kept)
        elif line := kept.removesuffix(b"\r"):
            yield ConsoleText(line, is_whole_line=not cut_off)
