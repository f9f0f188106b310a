"""One reader for each packet type: the bytes of one whole packet to its value, or to the statement that they break.

A reader is told where the packet begins, where its body begins, and where it ends, within the bytes as they came: so nothing is
copied to find a packet. The readers of PUBLISH and of the acknowledgements, which are the traffic, index the bytes themselves;
those of the rare packets use a cursor. Cutting the stream into packets is `decoding`'s part.
"""

from collections.abc import Callable
from typing import TypeAlias

from harness.errors import RemoteWireError
from harness.mqtt.packets import (
    SUBSCRIPTION_REFUSED,
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from harness.mqtt.topic_filters import validate_topic_filter, validate_topic_name

VIOLATION = "MQTT-4.8.0-1"
"""The general statement, "a protocol violation ends the connection": cited where 3.1.1 gives a rule without a number of its own."""


class ConnectRefused(RemoteWireError):
    """A CONNECT that is no protocol for us, but has an answer: the server sends CONNACK with `return_code`, then closes.

    The code is 1 for an unknown protocol level (MQTT-3.1.2-2), 2 for an empty client id that wants to keep its session (MQTT-3.1.3-8).
    """

    def __init__(self, problem: str, *, statement: str, return_code: ConnectReturnCode) -> None:
        super().__init__(problem, statement=statement)
        self.return_code = return_code


def _publish(data: bytes, at: int, body: int, stop: int) -> Publish:
    if stop - body < 2:
        raise RemoteWireError("PUBLISH ends within its topic name", statement="MQTT-3.3.2-1")
    first_byte = data[at]
    qos = first_byte >> 1 & 3
    topic_end = body + 2 + (data[body] << 8 | data[body + 1])
    if topic_end > stop:
        raise RemoteWireError("PUBLISH ends within its topic name", statement="MQTT-3.3.2-1")
    topic = _publish_topic(data[body + 2 : topic_end])
    if qos == 0:
        return Publish(topic, data[topic_end:stop], 0, first_byte & 1 == 1)
    if stop - topic_end < 2:
        raise RemoteWireError("PUBLISH ends within its packet id", statement="MQTT-2.3.1-1")
    packet_id = data[topic_end] << 8 | data[topic_end + 1]
    if packet_id == 0:
        raise RemoteWireError(f"PUBLISH of QoS {qos} with packet id 0", statement="MQTT-2.3.1-1")
    return Publish(topic, data[topic_end + 2 : stop], qos, first_byte & 1 == 1, first_byte & 8 == 8, packet_id)


def _publish_topic(name: bytes) -> str:
    try:
        topic = name.decode()
    except UnicodeDecodeError:
        raise RemoteWireError(f"topic name {name!r} is no UTF-8", statement="MQTT-1.5.3-1") from None
    if not topic or "\0" in topic or "+" in topic or "#" in topic:
        _require(validate_topic_name, topic)
    return topic


_Identified: TypeAlias = Puback | Pubrec | Pubrel | Pubcomp | Unsuback
_Reader: TypeAlias = Callable[[bytes, int, int, int], Packet]  # the bytes, the begin of the packet, that of its body, its end


def _acknowledgement(packet: type[_Identified], statement: str) -> _Reader:
    """A reader of packets that hold a packet id and nothing else."""

    def read(data: bytes, at: int, body: int, stop: int) -> Packet:
        if stop - body != 2:
            raise RemoteWireError(f"{packet.__name__.upper()} of {stop - body} bytes instead of 2", statement=VIOLATION)
        packet_id = data[body] << 8 | data[body + 1]
        if packet_id == 0:
            raise RemoteWireError(f"{packet.__name__.upper()} with packet id 0", statement=statement)
        return packet(packet_id)

    return read


def _bare(packet: Pingreq | Pingresp | Disconnect) -> _Reader:
    """A reader of packets that are a header and nothing else."""

    def read(data: bytes, at: int, body: int, stop: int) -> Packet:
        if stop != body:
            name = packet.packet_type.name
            raise RemoteWireError(f"{name} with a body of {stop - body} bytes", statement=VIOLATION)
        return packet

    return read


class _Fields:
    """A cursor over the body of one packet."""

    __slots__ = ("_at", "_content", "_name")

    def __init__(self, name: str, content: bytes) -> None:
        self._name = name
        self._content = content
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._content)

    def octets(self, count: int) -> bytes:
        taken = self._content[self._at : self._at + count]
        if len(taken) < count:
            raise RemoteWireError(f"{self._name} ends within a field", statement=VIOLATION)
        self._at += count
        return taken

    def octet(self) -> int:
        return self.octets(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.octets(2), "big")

    def packet_id(self, statement: str) -> int:
        packet_id = self.number()
        if packet_id == 0:
            raise RemoteWireError(f"{self._name} with packet id 0", statement=statement)
        return packet_id

    def sized(self) -> bytes:
        return self.octets(self.number())

    def text(self) -> str:
        content = self.sized()
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise RemoteWireError(f"{self._name}: {content!r} is no UTF-8", statement="MQTT-1.5.3-1") from None
        if "\0" in text:
            raise RemoteWireError(f"{self._name}: {text!r} holds U+0000", statement="MQTT-1.5.3-2")
        return text

    def topic_filter(self) -> str:
        topic_filter = self.text()
        _require(validate_topic_filter, topic_filter)
        return topic_filter

    def end(self) -> None:
        if not self.at_end:
            surplus = len(self._content) - self._at
            raise RemoteWireError(f"{self._name} with {surplus} bytes after its last field", statement=VIOLATION)


def _require(validate: Callable[[str], None], topic: str) -> None:
    """Turn the complaint of a topic rule, "problem [statement]", into one about the peer."""
    try:
        validate(topic)
    except ValueError as fault:
        problem, _, statement = str(fault).rpartition(" [")
        raise RemoteWireError(problem, statement=statement.rstrip("]")) from None


def _connect(data: bytes, at: int, body: int, stop: int) -> Connect:
    fields = _Fields("CONNECT", data[body:stop])
    _require_protocol(fields)
    flags = fields.octet()
    _require_connect_flags(flags)
    keep_alive_s = fields.number()
    client_id = fields.text()
    will = _will(fields, flags) if flags & 0x04 else None
    username = fields.text() if flags & 0x80 else None
    password = fields.sized() if flags & 0x40 else None
    fields.end()
    clean_session = flags & 0x02 != 0
    if not client_id and not clean_session:
        problem = "CONNECT with an empty client id wants to keep its session"
        raise ConnectRefused(problem, statement="MQTT-3.1.3-8", return_code=ConnectReturnCode.IDENTIFIER_REJECTED)
    return Connect(client_id, clean_session, keep_alive_s, username, password, will)


def _require_protocol(fields: _Fields) -> None:
    name = fields.sized()
    if name != b"MQTT":
        raise RemoteWireError(f"CONNECT with the protocol name {name!r}", statement="MQTT-3.1.2-1")
    level = fields.octet()
    if level != 4:
        code = ConnectReturnCode.UNACCEPTABLE_PROTOCOL_VERSION
        raise ConnectRefused(f"CONNECT with protocol level {level}", statement="MQTT-3.1.2-2", return_code=code)


def _require_connect_flags(flags: int) -> None:
    if flags & 0x01:
        raise RemoteWireError("CONNECT with its reserved flag set", statement="MQTT-3.1.2-3")
    if not flags & 0x04 and flags & 0x18:
        raise RemoteWireError("CONNECT with a will QoS and no will", statement="MQTT-3.1.2-13")
    if not flags & 0x04 and flags & 0x20:
        raise RemoteWireError("CONNECT with will retain and no will", statement="MQTT-3.1.2-15")
    if flags & 0x18 == 0x18:
        raise RemoteWireError("CONNECT with a will of QoS 3", statement="MQTT-3.1.2-14")
    if flags & 0xC0 == 0x40:
        raise RemoteWireError("CONNECT with a password and no user name", statement="MQTT-3.1.2-22")


def _will(fields: _Fields, flags: int) -> Will:
    topic = fields.text()
    _require(validate_topic_name, topic)
    return Will(topic, fields.sized(), flags >> 3 & 3, flags & 0x20 != 0)


def _connack(data: bytes, at: int, body: int, stop: int) -> Connack:
    fields = _Fields("CONNACK", data[body:stop])
    flags, return_code = fields.octets(2)
    fields.end()
    if flags > 1:
        raise RemoteWireError(f"CONNACK with reserved flags in {flags:08b}", statement=VIOLATION)
    if return_code not in _CONNECT_RETURN_CODES:
        raise RemoteWireError(f"CONNACK with the reserved return code {return_code}", statement=VIOLATION)
    if flags and return_code:
        problem = f"CONNACK refuses with {return_code} and says session present"
        raise RemoteWireError(problem, statement="MQTT-3.2.2-4")
    return Connack(flags == 1, return_code)


def _subscribe(data: bytes, at: int, body: int, stop: int) -> Subscribe:
    fields = _Fields("SUBSCRIBE", data[body:stop])
    packet_id = fields.packet_id("MQTT-2.3.1-1")
    filters = []
    while not fields.at_end:
        topic_filter, qos = fields.topic_filter(), fields.octet()
        if qos > 2:
            raise RemoteWireError(f"SUBSCRIBE to {topic_filter!r} with QoS byte {qos}", statement="MQTT-3-8.3-4")
        filters.append((topic_filter, qos))
    if not filters:
        raise RemoteWireError("SUBSCRIBE without a topic filter", statement="MQTT-3.8.3-3")
    return Subscribe(packet_id, tuple(filters))


def _suback(data: bytes, at: int, body: int, stop: int) -> Suback:
    fields = _Fields("SUBACK", data[body:stop])
    packet_id = fields.packet_id("MQTT-2.3.1-7")
    return_codes = tuple(data[body + 2 : stop])
    if not return_codes:
        raise RemoteWireError("SUBACK without a return code", statement="MQTT-3.8.4-5")
    for code in return_codes:
        if code > 2 and code != SUBSCRIPTION_REFUSED:
            raise RemoteWireError(f"SUBACK with the reserved return code {code}", statement="MQTT-3.9.3-2")
    return Suback(packet_id, return_codes)


def _unsubscribe(data: bytes, at: int, body: int, stop: int) -> Unsubscribe:
    fields = _Fields("UNSUBSCRIBE", data[body:stop])
    packet_id = fields.packet_id("MQTT-2.3.1-1")
    filters = []
    while not fields.at_end:
        filters.append(fields.topic_filter())
    if not filters:
        raise RemoteWireError("UNSUBSCRIBE without a topic filter", statement="MQTT-3.10.3-2")
    return Unsubscribe(packet_id, tuple(filters))


_CONNECT_RETURN_CODES = frozenset(ConnectReturnCode)

# By first byte. What is missing here is refused by `decoding`.
READERS: dict[int, _Reader] = {
    0x10: _connect,
    0x20: _connack,
    **{0x30 | flags: _publish for flags in (0, 1, 2, 3, 4, 5, 10, 11, 12, 13)},
    0x40: _acknowledgement(Puback, "MQTT-2.3.1-6"),
    0x50: _acknowledgement(Pubrec, "MQTT-2.3.1-6"),
    0x62: _acknowledgement(Pubrel, "MQTT-2.3.1-6"),
    0x70: _acknowledgement(Pubcomp, "MQTT-4.3.3-2"),
    0x82: _subscribe,
    0x90: _suback,
    0xA2: _unsubscribe,
    0xB0: _acknowledgement(Unsuback, "MQTT-2.3.1-7"),
    0xC0: _bare(Pingreq()),
    0xD0: _bare(Pingresp()),
    0xE0: _bare(Disconnect()),
}
