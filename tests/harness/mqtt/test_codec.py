"""The codec against bytes that were spelled by hand: legal ones both ways, and every fault with its statement."""

import pytest

from harness.errors import LocalWireError, RemoteWireError
from harness.mqtt.decoding import ConnectRefused, Decoder
from harness.mqtt.encoding import REMAINING_LENGTH_MAX, encode
from harness.mqtt.packets import (
    Connack,
    Connect,
    Packet,
    PacketType,
    Pingreq,
    Puback,
    Publish,
    Pubrel,
    Suback,
    Subscribe,
    Unsubscribe,
    Will,
)


def test_a_packet_is_encoded_to_the_bytes_of_the_standard(specimen):
    packet, encoded = specimen
    assert encode(packet) == encoded


def test_bytes_are_decoded_to_their_packet(specimen):
    packet, encoded = specimen
    assert Decoder().feed(encoded) == [packet]


def test_a_packet_cut_in_two_anywhere_is_the_same_packet(specimen):
    packet, encoded = specimen
    for cut in range(min(len(encoded), 300) + 1):
        decoder = Decoder()
        assert decoder.feed(encoded[:cut]) + decoder.feed(encoded[cut:]) == [packet]


def test_bytes_that_come_one_by_one_are_the_same_packets(specimens):
    decoder = Decoder()
    stream = b"".join(map(encode, specimens))
    assert [packet for octet in stream for packet in decoder.feed(bytes((octet,)))] == specimens


def test_the_type_of_a_packet_is_in_its_first_byte(specimen):
    packet, encoded = specimen
    assert PacketType(encoded[0] >> 4) is packet.packet_type


FAULTS = {
    "reserved type 0": (b"\0\0", "MQTT-4.8.0-1"),
    "reserved type 15": (b"\xf0\0", "MQTT-4.8.0-1"),
    "PUBACK with flags": (b"\x42\2\0\1", "MQTT-2.2.2-2"),
    "PUBREL without its flag": (b"\x60\2\0\1", "MQTT-3.6.1-1"),
    "SUBSCRIBE without its flag": (b"\x80\6\0\1\0\1a\0", "MQTT-3.8.1-1"),
    "UNSUBSCRIBE without its flag": (b"\xa0\5\0\1\0\1a", "MQTT-3.10.1-1"),
    "DISCONNECT with flags": (b"\xe1\0", "MQTT-3.14.1-1"),
    "HTTP": (b"GET / HTTP/1.1\r\n", "MQTT-2.2.2-2"),
    "remaining length of five bytes": (b"\x30\x80\x80\x80\x80\1", "MQTT-4.8.0-1"),
    "PUBLISH of QoS 3": (b"\x36\6\0\1t\0\1x", "MQTT-3.3.1-4"),
    "PUBLISH of QoS 0 with DUP": (b"\x38\3\0\1t", "MQTT-3.3.1-2"),
    "PUBLISH with packet id 0": (b"\x32\5\0\1t\0\0", "MQTT-2.3.1-1"),
    "PUBLISH without a packet id": (b"\x32\3\0\1t", "MQTT-2.3.1-1"),
    "PUBLISH with half a packet id": (b"\x32\4\0\1t\0", "MQTT-2.3.1-1"),
    "PUBLISH without a topic": (b"\x30\0", "MQTT-3.3.2-1"),
    "PUBLISH that ends in its topic": (b"\x30\4\0\3ab", "MQTT-3.3.2-1"),
    "empty topic name": (b"\x30\3\0\0x", "MQTT-4.7.3-1"),
    "plus sign in a topic name": (b"\x30\5\0\3a/+", "MQTT-4.7.1-1"),
    "number sign in a topic name": (b"\x30\3\0\1#", "MQTT-4.7.1-1"),
    "U+0000 in a topic name": (b"\x30\3\0\1\0", "MQTT-4.7.3-2"),
    "topic name that is no UTF-8": (b"\x30\3\0\1\xff", "MQTT-1.5.3-1"),
    "overlong UTF-8": (b"\x30\4\0\2\xc0\xaf", "MQTT-1.5.3-1"),
    "surrogate": (b"\x30\5\0\3\xed\xa0\x80", "MQTT-1.5.3-1"),
    "PUBACK with packet id 0": (b"\x40\2\0\0", "MQTT-2.3.1-6"),
    "UNSUBACK with packet id 0": (b"\xb0\2\0\0", "MQTT-2.3.1-7"),
    "short PUBREC": (b"\x50\1\0", "MQTT-4.8.0-1"),
    "long PUBCOMP": (b"\x70\3\0\1\0", "MQTT-4.8.0-1"),
    "PINGREQ with a body": (b"\xc0\1\0", "MQTT-4.8.0-1"),
    "SUBSCRIBE without a filter": (b"\x82\2\0\1", "MQTT-3.8.3-3"),
    "SUBSCRIBE with packet id 0": (b"\x82\6\0\0\0\1a\0", "MQTT-2.3.1-1"),
    "SUBSCRIBE with QoS 3": (b"\x82\6\0\1\0\1a\3", "MQTT-3-8.3-4"),
    "SUBSCRIBE without a QoS": (b"\x82\5\0\1\0\1a", "MQTT-4.8.0-1"),
    "SUBSCRIBE to an empty filter": (b"\x82\5\0\1\0\0\0", "MQTT-4.7.3-1"),
    "number sign before the end": (b"\x82\7\0\1\0\2#a\0", "MQTT-4.7.1-2"),
    "plus sign that shares a level": (b"\x82\7\0\1\0\2+a\0", "MQTT-4.7.1-3"),
    "filter with U+0000": (b"\x82\6\0\1\0\1\0\0", "MQTT-1.5.3-2"),
    "filter that is no UTF-8": (b"\x82\6\0\1\0\1\xff\0", "MQTT-1.5.3-1"),
    "SUBACK without a code": (b"\x90\2\0\1", "MQTT-3.8.4-5"),
    "SUBACK with a reserved code": (b"\x90\3\0\1\3", "MQTT-3.9.3-2"),
    "UNSUBSCRIBE without a filter": (b"\xa2\2\0\1", "MQTT-3.10.3-2"),
    "CONNACK with reserved flags": (b"\x20\2\2\0", "MQTT-4.8.0-1"),
    "CONNACK with a reserved code": (b"\x20\2\0\6", "MQTT-4.8.0-1"),
    "CONNACK that refuses with a session": (b"\x20\2\1\5", "MQTT-3.2.2-4"),
    "short CONNACK": (b"\x20\1\0", "MQTT-4.8.0-1"),
    "long CONNACK": (b"\x20\3\0\0\0", "MQTT-4.8.0-1"),
    "CONNECT of MQTT 3.1": (b"\x10\x0f\0\6MQIsdp\3\2\0\x3c\0\1d", "MQTT-3.1.2-1"),
    "CONNECT of MQTT 5": (b"\x10\x0e\0\4MQTT\5\2\0\x3c\0\0\1d", "MQTT-3.1.2-2"),
    "CONNECT with the reserved flag": (b"\x10\x0d\0\4MQTT\4\3\0\x3c\0\1d", "MQTT-3.1.2-3"),
    "will QoS without a will": (b"\x10\x0d\0\4MQTT\4\x0a\0\x3c\0\1d", "MQTT-3.1.2-13"),
    "will retain without a will": (b"\x10\x0d\0\4MQTT\4\x22\0\x3c\0\1d", "MQTT-3.1.2-15"),
    "will of QoS 3": (b"\x10\x12\0\4MQTT\4\x1e\0\x3c\0\1d\0\1w\0\0", "MQTT-3.1.2-14"),
    "will to a wildcard": (b"\x10\x12\0\4MQTT\4\6\0\x3c\0\1d\0\1#\0\0", "MQTT-4.7.1-1"),
    "password without a user name": (b"\x10\x10\0\4MQTT\4\x42\0\x3c\0\1d\0\1p", "MQTT-3.1.2-22"),
    "empty client id with a session to keep": (b"\x10\x0c\0\4MQTT\4\0\0\x3c\0\0", "MQTT-3.1.3-8"),
    "CONNECT that ends in its client id": (b"\x10\x0d\0\4MQTT\4\2\0\x3c\0\2d", "MQTT-4.8.0-1"),
    "CONNECT with bytes left over": (b"\x10\x0e\0\4MQTT\4\2\0\x3c\0\1d\0", "MQTT-4.8.0-1"),
    "client id with U+0000": (b"\x10\x0d\0\4MQTT\4\2\0\x3c\0\1\0", "MQTT-1.5.3-2"),
}


@pytest.fixture(params=FAULTS.values(), ids=FAULTS.keys())
def fault(request) -> tuple[bytes, str]:
    return request.param


def test_malformed_bytes_are_refused_by_their_statement(fault):
    stream, statement = fault
    with pytest.raises(RemoteWireError) as caught:
        Decoder().feed(stream)
    assert caught.value.statement == statement


def test_a_refusal_keeps_the_bytes(fault):
    stream, _ = fault
    with pytest.raises(RemoteWireError) as caught:
        Decoder().feed(stream)
    assert caught.value.raw
    assert stream.startswith(caught.value.raw)


def test_malformed_bytes_are_refused_alike_at_every_split(fault):
    stream, statement = fault
    for cut in range(1, len(stream)):
        with pytest.raises(RemoteWireError) as caught:
            _feed_in_two(stream, cut)
        assert caught.value.statement == statement


def _feed_in_two(stream: bytes, cut: int) -> None:
    decoder = Decoder()
    decoder.feed(stream[:cut])
    decoder.feed(stream[cut:])


@pytest.mark.parametrize(("level", "client_id", "return_code"), [(5, b"\0\1d", 1), (3, b"\0\1d", 1), (0x84, b"\0\1d", 1), (4, b"\0\0", 2)])
def test_a_connect_that_has_an_answer_says_which(level, client_id, return_code):
    body = b"\0\4MQTT" + bytes((level,)) + b"\0\0\x3c" + client_id
    with pytest.raises(ConnectRefused) as caught:
        Decoder().feed(bytes((0x10, len(body))) + body)
    assert caught.value.return_code == return_code


def test_packets_before_a_fault_are_not_lost():
    decoder = Decoder()
    assert decoder.feed(b"\xc0\0\x40\2\0\7\xf0\0") == [Pingreq(), Puback(7)]
    assert decoder.error is not None
    assert decoder.error.raw == b"\xf0\0"


def test_nothing_is_read_after_a_fault():
    decoder = Decoder()
    decoder.feed(b"\xc0\0\xf0\0")
    with pytest.raises(RemoteWireError, match="reserved packet type 15"):
        decoder.feed(b"\xc0\0")


def test_only_the_faulty_packet_is_kept_as_evidence():
    decoder = Decoder()
    decoder.feed(b"\xc0\0\x40\2\0\0\xc0\0")
    assert decoder.error is not None
    assert decoder.error.raw == b"\x40\2\0\0"


def test_a_wrong_first_byte_is_refused_before_the_rest_has_come():
    with pytest.raises(RemoteWireError):
        Decoder().feed(b"G")


def test_a_packet_of_the_greatest_allowed_size_is_read():
    packet = Publish("t", bytes(95))
    assert Decoder(max_packet_bytes=100).feed(encode(packet)) == [packet]


def test_a_packet_over_the_allowed_size_is_refused_when_its_length_is_known():
    with pytest.raises(RemoteWireError, match="packet of 101 bytes: more than 100"):
        Decoder(max_packet_bytes=100).feed(b"\x30\x63")


def test_the_begin_of_a_packet_can_be_seen():
    decoder = Decoder()
    decoder.feed(b"\xc0\0\x40\2\0")
    assert decoder.pending == b"\x40\2\0"


FORBIDDEN: dict[str, tuple[Packet, str]] = {
    "QoS 0 with a packet id": (Publish("t", b"", packet_id=1), "MQTT-2.3.1-5"),
    "QoS 0 with DUP": (Publish("t", b"", dup=True), "MQTT-3.3.1-2"),
    "QoS 3": (Publish("t", b"", 3, packet_id=1), "MQTT-3.3.1-4"),
    "QoS 1 without a packet id": (Publish("t", b"", 1), "MQTT-2.3.1-1"),
    "packet id 0": (Publish("t", b"", 1, packet_id=0), "MQTT-2.3.1-1"),
    "packet id 65,536": (Pubrel(65_536), "MQTT-2.3.1-1"),
    "wildcard in a topic name": (Publish("a/+", b""), "MQTT-4.7.1-1"),
    "empty topic name": (Publish("", b""), "MQTT-4.7.3-1"),
    "U+0000 in a topic name": (Publish("\0", b""), "MQTT-4.7.3-2"),
    "surrogate in a topic name": (Publish("\ud800", b""), "MQTT-1.5.3-1"),
    "topic name of 65,536 bytes": (Publish("t" * 65_536, b""), "1.5.3"),
    "no filter to subscribe": (Subscribe(1, ()), "MQTT-3.8.3-3"),
    "subscription of QoS 3": (Subscribe(1, (("a", 3),)), "MQTT-3-8.3-4"),
    "filter with '#' in the middle": (Subscribe(1, (("#/a", 0),)), "MQTT-4.7.1-2"),
    "no filter to unsubscribe": (Unsubscribe(1, ()), "MQTT-3.10.3-2"),
    "empty filter": (Unsubscribe(1, ("",)), "MQTT-4.7.3-1"),
    "SUBACK without a code": (Suback(1, ()), "MQTT-3.8.4-5"),
    "SUBACK with a reserved code": (Suback(1, (3,)), "MQTT-3.9.3-2"),
    "CONNACK with a reserved code": (Connack(False, 6), "3.2.2.3"),
    "CONNACK that refuses with a session": (Connack(True, 2), "MQTT-3.2.2-4"),
    "empty client id with a session to keep": (Connect("", False), "MQTT-3.1.3-7"),
    "password without a user name": (Connect("d", password=b"p"), "MQTT-3.1.2-22"),
    "keep-alive of 65,536 s": (Connect("d", keep_alive_s=65_536), "3.1.2.10"),
    "U+0000 in the client id": (Connect("\0"), "MQTT-1.5.3-2"),
    "surrogate in the user name": (Connect("d", username="\ud800"), "MQTT-1.5.3-1"),
    "password of 65,536 bytes": (Connect("d", username="u", password=bytes(65_536)), "1.5.3"),
    "will of QoS 3": (Connect("d", will=Will("w", b"", 3)), "MQTT-3.1.2-14"),
    "will to a wildcard": (Connect("d", will=Will("#", b"")), "MQTT-4.7.1-1"),
}


@pytest.mark.parametrize(("packet", "statement"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_what_the_standard_forbids_is_not_sent(packet, statement):
    with pytest.raises(LocalWireError) as caught:
        encode(packet)
    assert f"[{statement}]" in str(caught.value)


class _Endless(bytes):
    """A payload that claims to be as long as no packet may be, without the memory."""

    def __radd__(self, other: bytes) -> "_Endless":
        return self

    def __len__(self) -> int:
        return REMAINING_LENGTH_MAX + 1


def test_a_packet_longer_than_the_length_field_can_say_is_not_sent():
    with pytest.raises(LocalWireError, match="at most 268435455"):
        encode(Publish("t", _Endless()))
