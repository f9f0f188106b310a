"""Packets to bytes: refuses to build what MQTT 3.1.1 forbids.

A bench that wants to send nonsense on purpose writes raw bytes itself; nothing here helps it, so that an accident is never
taken for intent.
"""

from collections.abc import Callable
from typing import Any

from harness.errors import LocalWireError
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

REMAINING_LENGTH_MAX = 268_435_455
"""Bytes after the fixed header, at most.   Source: 2.2.3."""


def encode(packet: Packet) -> bytes:
    """The bytes of `packet`. Raises LocalWireError, naming the statement, when 3.1.1 forbids to send it."""
    return _WRITERS[type(packet)](packet)


def _publish(packet: Publish) -> bytes:
    topic, qos, packet_id = packet.topic, packet.qos, packet.packet_id
    if not topic or "+" in topic or "#" in topic or "\0" in topic:
        _require_topic_name(topic)
    name = _text(topic)
    if qos == 0:
        if packet_id is not None:
            raise LocalWireError(f"PUBLISH of QoS 0 with packet id {packet_id} [MQTT-2.3.1-5]")
        if packet.dup:
            raise LocalWireError("PUBLISH of QoS 0 with DUP [MQTT-3.3.1-2]")
        return _with_header(0x31 if packet.retain else 0x30, name + packet.payload)
    if qos not in (1, 2):
        raise LocalWireError(f"PUBLISH of QoS {qos} [MQTT-3.3.1-4]")
    first_byte = 0x30 | packet.dup << 3 | qos << 1 | packet.retain
    return _with_header(first_byte, name + _packet_id(packet_id) + packet.payload)


def _packet_id(packet_id: int | None) -> bytes:
    if packet_id is None or not 0 < packet_id <= 0xFFFF:
        raise LocalWireError(f"packet id {packet_id}: must be 1 to 65535 [MQTT-2.3.1-1]")
    return packet_id.to_bytes(2, "big")


def _acknowledgement(first_byte: int) -> Callable[[Puback | Pubrec | Pubrel | Pubcomp | Unsuback], bytes]:
    """A writer of packets that hold a packet id and nothing else."""
    header = bytes((first_byte, 2))

    def write(packet: Puback | Pubrec | Pubrel | Pubcomp | Unsuback) -> bytes:
        return header + _packet_id(packet.packet_id)

    return write


def _connect(packet: Connect) -> bytes:
    if not packet.client_id and not packet.clean_session:
        raise LocalWireError("CONNECT with an empty client id wants to keep its session [MQTT-3.1.3-7]")
    if packet.password is not None and packet.username is None:
        raise LocalWireError("CONNECT with a password and no user name [MQTT-3.1.2-22]")
    if not 0 <= packet.keep_alive_s <= 0xFFFF:
        raise LocalWireError(f"CONNECT with a keep-alive of {packet.keep_alive_s} s: must be 0 to 65535 [3.1.2.10]")
    flags = packet.clean_session << 1
    body = [_text(packet.client_id)]
    if packet.will is not None:
        flags |= 0x04 | packet.will.qos << 3 | packet.will.retain << 5
        body += _will(packet.will)
    if packet.username is not None:
        flags |= 0x80
        body.append(_text(packet.username))
    if packet.password is not None:
        flags |= 0x40
        body.append(_sized(packet.password))
    return _with_header(0x10, b"\0\4MQTT\4" + bytes((flags,)) + packet.keep_alive_s.to_bytes(2, "big") + b"".join(body))


def _will(will: Will) -> tuple[bytes, bytes]:
    if will.qos not in (0, 1, 2):
        raise LocalWireError(f"CONNECT with a will of QoS {will.qos} [MQTT-3.1.2-14]")
    _require_topic_name(will.topic)
    return _text(will.topic), _sized(will.payload)


def _connack(packet: Connack) -> bytes:
    if packet.return_code not in tuple(ConnectReturnCode):
        raise LocalWireError(f"CONNACK with the reserved return code {packet.return_code} [3.2.2.3]")
    if packet.session_present and packet.return_code:
        raise LocalWireError(f"CONNACK refuses with {packet.return_code} and says session present [MQTT-3.2.2-4]")
    return bytes((0x20, 2, packet.session_present, packet.return_code))


def _subscribe(packet: Subscribe) -> bytes:
    if not packet.filters:
        raise LocalWireError("SUBSCRIBE without a topic filter [MQTT-3.8.3-3]")
    body = [_packet_id(packet.packet_id)]
    for topic_filter, qos in packet.filters:
        if qos not in (0, 1, 2):
            raise LocalWireError(f"SUBSCRIBE to {topic_filter!r} with QoS {qos} [MQTT-3-8.3-4]")
        body += (_filter(topic_filter), bytes((qos,)))
    return _with_header(0x82, b"".join(body))


def _suback(packet: Suback) -> bytes:
    if not packet.return_codes:
        raise LocalWireError("SUBACK without a return code [MQTT-3.8.4-5]")
    for code in packet.return_codes:
        if code not in (0, 1, 2, SUBSCRIPTION_REFUSED):
            raise LocalWireError(f"SUBACK with the reserved return code {code} [MQTT-3.9.3-2]")
    return _with_header(0x90, _packet_id(packet.packet_id) + bytes(packet.return_codes))


def _unsubscribe(packet: Unsubscribe) -> bytes:
    if not packet.filters:
        raise LocalWireError("UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]")
    return _with_header(0xA2, _packet_id(packet.packet_id) + b"".join(map(_filter, packet.filters)))


def _filter(topic_filter: str) -> bytes:
    try:
        validate_topic_filter(topic_filter)
    except ValueError as fault:
        raise LocalWireError(str(fault)) from fault
    return _text(topic_filter)


def _require_topic_name(topic: str) -> None:
    try:
        validate_topic_name(topic)
    except ValueError as fault:
        raise LocalWireError(str(fault)) from fault


def _text(text: str) -> bytes:
    """A UTF-8 string with its length before it.   Source: MQTT-1.5.3-1, MQTT-1.5.3-2."""
    try:
        content = text.encode()
    except UnicodeEncodeError as fault:
        raise LocalWireError(f"text {text!r} holds a surrogate [MQTT-1.5.3-1]") from fault
    if "\0" in text:
        raise LocalWireError(f"text {text!r} holds U+0000 [MQTT-1.5.3-2]")
    return _sized(content)


def _sized(content: bytes) -> bytes:
    if len(content) > 0xFFFF:
        raise LocalWireError(f"field of {len(content)} bytes: at most 65535 fit [1.5.3]")
    return len(content).to_bytes(2, "big") + content


def _with_header(first_byte: int, body: bytes) -> bytes:
    length = len(body)
    if length < 128:
        return bytes((first_byte, length)) + body
    if length > REMAINING_LENGTH_MAX:
        raise LocalWireError(f"packet of {length} bytes after its header: at most {REMAINING_LENGTH_MAX} [2.2.3]")
    header = bytearray((first_byte,))
    while length > 127:
        header.append(length & 127 | 128)
        length >>= 7
    header.append(length)
    return bytes(header) + body


# Each writer takes the type that is its key; a dict cannot say so to the type checker.
_WRITERS: dict[type[Packet], Callable[[Any], bytes]] = {
    Connect: _connect,
    Connack: _connack,
    Publish: _publish,
    Puback: _acknowledgement(0x40),
    Pubrec: _acknowledgement(0x50),
    Pubrel: _acknowledgement(0x62),
    Pubcomp: _acknowledgement(0x70),
    Subscribe: _subscribe,
    Suback: _suback,
    Unsubscribe: _unsubscribe,
    Unsuback: _acknowledgement(0xB0),
    Pingreq: lambda _: b"\xc0\x00",
    Pingresp: lambda _: b"\xd0\x00",
    Disconnect: lambda _: b"\xe0\x00",
}
