"""TCP conversations as a pcapng file, the form that Wireshark reads.

Only what a reader of payloads needs: IPv4 packets without a link layer, correct lengths, sequence numbers and checksums, a comment on
each. Nothing was captured: addresses are of the ranges reserved for documentation.   Source: draft-ietf-opsawg-pcapng, RFC 791, RFC 9293.
"""

import struct
from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address

_SECTION_HEADER, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_LINKTYPE_IPV4 = 228
_OPTION_COMMENT, _OPTION_APPLICATION = 1, 4
_TCP_PROTOCOL = 6
_SEGMENT_BYTES_MAX = 8_960
_WINDOW = 65_535
_SEQUENCE_START = 1_000


class Flags(IntFlag):
    """TCP's control bits."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a conversation."""

    address: IPv4Address
    port: int


def file_header(application: str, comment: str) -> bytes:
    """The blocks that a file starts with."""
    options = _option(_OPTION_COMMENT, comment) + _option(_OPTION_APPLICATION, application) + _END_OF_OPTIONS
    section = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1) + options
    interface = struct.pack("<HHI", _LINKTYPE_IPV4, 0, 0)
    return _block(_SECTION_HEADER, section) + _block(_INTERFACE, interface)


class Conversation:
    """One TCP connection, from its handshake to its end. Each method returns the blocks of the packets that it stands for.

    Times are seconds since 1970 (UTC).
    """

    def __init__(self, client: Endpoint, server: Endpoint) -> None:
        self._client = client
        self._server = server
        self._next = {client: _SEQUENCE_START, server: _SEQUENCE_START}

    def open(self, utc_s: float, comment: str) -> bytes:
        """The three packets of the handshake."""
        first = self._packet(self._client, utc_s, Flags.SYN, comment=comment)
        second = self._packet(self._server, utc_s, Flags.SYN | Flags.ACK)
        return first + second + self._packet(self._client, utc_s, Flags.ACK)

    def send(self, utc_s: float, data: bytes, *, from_client: bool, comment: str) -> bytes:
        """`data` in as many segments as it needs; the comment stands on the first."""
        sender = self._client if from_client else self._server
        pieces = [data[start : start + _SEGMENT_BYTES_MAX] for start in range(0, len(data), _SEGMENT_BYTES_MAX)] or [b""]
        packets = [
            self._packet(sender, utc_s, Flags.PSH | Flags.ACK, piece, comment if number == 0 else "") for number, piece in enumerate(pieces)
        ]
        return b"".join(packets)

    def skip(self, size_bytes: int, *, from_client: bool) -> None:
        """`size_bytes` were sent and are not kept: they are missing from the sequence, as after a capture that lost packets."""
        sender = self._client if from_client else self._server
        self._next[sender] = (self._next[sender] + size_bytes) % 2**32

    def close(self, utc_s: float, *, by_client: bool, reset: bool, comment: str) -> bytes:
        """The end of the connection: a FIN each, or a RST."""
        first, second = (self._client, self._server) if by_client else (self._server, self._client)
        if reset:
            return self._packet(first, utc_s, Flags.RST | Flags.ACK, comment=comment)
        return self._packet(first, utc_s, Flags.FIN | Flags.ACK, comment=comment) + self._packet(second, utc_s, Flags.FIN | Flags.ACK)

    def _packet(self, sender: Endpoint, utc_s: float, flags: Flags, data: bytes = b"", comment: str = "") -> bytes:
        receiver = self._server if sender == self._client else self._client
        sequence = self._next[sender]
        acknowledged = self._next[receiver] if Flags.ACK in flags else 0
        self._next[sender] = (sequence + len(data) + bool(flags & (Flags.SYN | Flags.FIN))) % 2**32
        return _packet_block(
            utc_s, _ip_packet(sender, receiver, _tcp_segment(sender, receiver, sequence, acknowledged, flags, data)), comment
        )


def _tcp_segment(sender: Endpoint, receiver: Endpoint, sequence: int, acknowledged: int, flags: Flags, data: bytes) -> bytes:
    def header(checksum: int) -> bytes:
        return struct.pack("!HHIIBBHHH", sender.port, receiver.port, sequence, acknowledged, 5 << 4, flags, _WINDOW, checksum, 0)

    length = len(header(0)) + len(data)
    pseudo_header = sender.address.packed + receiver.address.packed + struct.pack("!BBH", 0, _TCP_PROTOCOL, length)
    return header(_checksum(pseudo_header + header(0) + data)) + data


def _ip_packet(sender: Endpoint, receiver: Endpoint, segment: bytes) -> bytes:
    def header(checksum: int) -> bytes:
        fixed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, _TCP_PROTOCOL, checksum)
        return fixed + sender.address.packed + receiver.address.packed

    return header(_checksum(header(0))) + segment


def _checksum(data: bytes) -> int:
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet_block(utc_s: float, packet: bytes, comment: str) -> bytes:
    microseconds = round(utc_s * 1_000_000)
    options = _option(_OPTION_COMMENT, comment) + _END_OF_OPTIONS if comment else b""
    fixed = struct.pack("<IIIII", 0, microseconds >> 32, microseconds & 0xFFFFFFFF, len(packet), len(packet))
    return _block(_ENHANCED_PACKET, fixed + _padded(packet) + options)


_END_OF_OPTIONS = b"\0\0\0\0"


def _option(code: int, text: str) -> bytes:
    value = text.encode()[:0xFFFF]
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
