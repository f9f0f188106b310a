"""The fourteen MQTT 3.1.1 control packets as values.

A packet here is what it says, not how it is spelled: `encoding.encode` turns it into bytes, `decoding.Decoder` turns bytes
into it. The values check nothing themselves; the codec does, in both directions, so that a fault is named where it crosses
the wire: `LocalWireError` for ours, `RemoteWireError` for the peer's.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal, TypeAlias

Side: TypeAlias = Literal["client", "server"]
"""One end of a connection. Some packets are sent by one side only."""


class QoS(IntEnum):
    """Quality of service of a message, or the most that a subscription wants."""

    AT_MOST_ONCE = 0
    AT_LEAST_ONCE = 1
    EXACTLY_ONCE = 2


class PacketType(IntEnum):
    """The upper four bits of a packet's first byte; 0 and 15 are reserved.   Source: 2.2.1."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


class ConnectReturnCode(IntEnum):
    """The server's answer to CONNECT.   Source: 3.2.2.3, table 3.1."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


SUBSCRIPTION_REFUSED = 0x80
"""The SUBACK return code of a filter that the server did not accept; the others are the granted QoS.   Source: 3.9.3."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the server publishes on the client's behalf when the connection ends without DISCONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """Client to server, first packet of a connection. `keep_alive_s` is 0 (off) to 65,535 seconds."""

    packet_type: ClassVar[PacketType] = PacketType.CONNECT
    client_id: str
    clean_session: bool = True
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None


@dataclass(frozen=True, slots=True)
class Connack:
    """Server to client, first packet of the answer. `return_code` is one of `ConnectReturnCode`."""

    packet_type: ClassVar[PacketType] = PacketType.CONNACK
    session_present: bool
    return_code: int


@dataclass(frozen=True, slots=True)
class Publish:
    """A message, in either direction. `packet_id` (1 to 65,535) is there exactly when `qos` is 1 or 2."""

    packet_type: ClassVar[PacketType] = PacketType.PUBLISH
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int | None = None


@dataclass(frozen=True, slots=True)
class Puback:
    """Answers PUBLISH of QoS 1."""

    packet_type: ClassVar[PacketType] = PacketType.PUBACK
    packet_id: int


@dataclass(frozen=True, slots=True)
class Pubrec:
    """Answers PUBLISH of QoS 2: received, and remembered as received."""

    packet_type: ClassVar[PacketType] = PacketType.PUBREC
    packet_id: int


@dataclass(frozen=True, slots=True)
class Pubrel:
    """Answers PUBREC: the sender will not send the message again."""

    packet_type: ClassVar[PacketType] = PacketType.PUBREL
    packet_id: int


@dataclass(frozen=True, slots=True)
class Pubcomp:
    """Answers PUBREL: the packet id is free again."""

    packet_type: ClassVar[PacketType] = PacketType.PUBCOMP
    packet_id: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Client to server. `filters` holds one or more (topic filter, requested QoS)."""

    packet_type: ClassVar[PacketType] = PacketType.SUBSCRIBE
    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Suback:
    """Answers SUBSCRIBE, one code per filter in its order: the granted QoS, or `SUBSCRIPTION_REFUSED`."""

    packet_type: ClassVar[PacketType] = PacketType.SUBACK
    packet_id: int
    return_codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Client to server. `filters` holds one or more topic filters."""

    packet_type: ClassVar[PacketType] = PacketType.UNSUBSCRIBE
    packet_id: int
    filters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsuback:
    """Answers UNSUBSCRIBE."""

    packet_type: ClassVar[PacketType] = PacketType.UNSUBACK
    packet_id: int


@dataclass(frozen=True, slots=True)
class Pingreq:
    """Client to server: I am still here."""

    packet_type: ClassVar[PacketType] = PacketType.PINGREQ


@dataclass(frozen=True, slots=True)
class Pingresp:
    """Answers PINGREQ."""

    packet_type: ClassVar[PacketType] = PacketType.PINGRESP


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Client to server: the connection ends on purpose, so the will is dropped."""

    packet_type: ClassVar[PacketType] = PacketType.DISCONNECT


Packet: TypeAlias = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
)
