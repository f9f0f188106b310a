"""Our codec and paho-mqtt's agree on generated packets.

paho has no codec to call: a client of it is given a wire in place of a socket. What it writes there is compared with our bytes, and what we
write there must reach its callbacks. It is a client, so it writes no CONNACK, SUBACK, UNSUBACK or PINGRESP, and reads no CONNECT,
SUBSCRIBE, UNSUBSCRIBE, PINGREQ or DISCONNECT.
"""

import paho.mqtt.client as paho
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import (
    Connack,
    Connect,
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
)
from tests.harness.mqtt.packet_strategies import (
    acknowledgements,
    bare_packets,
    connacks,
    connects,
    packet_ids,
    publishes,
    subacks,
    subscribes,
    unsubscribes,
)

written_by_clients = st.one_of(
    connects,
    publishes,
    subscribes,
    unsubscribes,
    acknowledgements.filter(lambda packet: not isinstance(packet, Unsuback)),
    bare_packets.filter(lambda packet: not isinstance(packet, Pingresp)),
)


class Wire:
    """Stands where paho expects its socket."""

    def __init__(self) -> None:
        self.to_paho = bytearray()
        self.from_paho = bytearray()

    def send(self, data: bytes) -> int:
        self.from_paho += data
        return len(data)

    def recv(self, size_bytes: int) -> bytes:
        if not self.to_paho:
            raise BlockingIOError
        taken = bytes(self.to_paho[:size_bytes])
        del self.to_paho[:size_bytes]
        return taken

    def close(self) -> None:
        """Nothing to close."""


def paho_client(client_id: str = "c", *, clean_session: bool = True) -> tuple[paho.Client, Wire]:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session, protocol=paho.MQTTv311)
    client._sock = wire = Wire()
    return client, wire


def written_by_paho(packet: Packet) -> bytes:
    """The bytes that paho writes for this packet."""
    if isinstance(packet, Connect):
        return _connect_written_by_paho(packet)
    client, wire = paho_client()
    match packet:
        case Publish(topic, payload, qos, retain, dup, packet_id):
            client._send_publish(packet_id or 0, topic.encode(), payload, qos, retain, dup, paho.MQTTMessageInfo(packet_id or 0))
        case Puback(packet_id):
            client._send_puback(packet_id)
        case Pubrec(packet_id):
            client._send_pubrec(packet_id)
        case Pubrel(packet_id):
            client._send_pubrel(packet_id)
        case Pubcomp(packet_id):
            client._send_pubcomp(packet_id)
        case Subscribe(packet_id, filters):
            client._last_mid = packet_id - 1
            client._send_subscribe(False, [(name.encode(), qos) for name, qos in filters])
        case Unsubscribe(packet_id, unwanted):
            client._last_mid = packet_id - 1
            client._send_unsubscribe(False, [name.encode() for name in unwanted])
        case Pingreq():
            client._send_pingreq()
        case Disconnect():
            client._send_disconnect()
    return bytes(wire.from_paho)


def _connect_written_by_paho(packet: Connect) -> bytes:
    client, wire = paho_client(packet.client_id, clean_session=packet.clean_session)
    client._username = None if packet.username is None else packet.username.encode()
    client._password = packet.password
    if packet.will is not None:
        client.will_set(packet.will.topic, packet.will.payload, packet.will.qos, packet.will.retain)
    client._send_connect(packet.keep_alive_s)
    return bytes(wire.from_paho)


@given(written_by_clients)
def test_both_write_the_same_bytes(packet: Packet):
    assert encode(packet) == written_by_paho(packet)


@given(written_by_clients)
def test_we_read_what_paho_wrote(packet: Packet):
    assert Decoder().feed(written_by_paho(packet)) == [packet]


def hand_to_paho(client: paho.Client, wire: Wire, *packets: Packet) -> list[Packet]:
    """Lets paho read our bytes; what it writes back."""
    wire.to_paho += b"".join(map(encode, packets))
    while wire.to_paho:
        assert client.loop_read() == paho.MQTT_ERR_SUCCESS
    return Decoder().feed(bytes(wire.from_paho))


# With return code 1 paho reconnects by itself, in MQTT 3.1.
@given(connacks.filter(lambda connack: connack.return_code != 1))
def test_paho_reads_our_connack(connack: Connack):
    client, wire = paho_client()
    seen = []
    client.on_connect = lambda _client, _userdata, flags, reason, _properties: seen.append((flags.session_present, reason.is_failure))
    wire.to_paho += encode(connack)
    client.loop_read()
    assert seen == [(connack.session_present, connack.return_code != 0)]


@given(publishes)
def test_paho_reads_our_message_and_we_read_its_answers(sent: Publish):
    client, wire = paho_client()
    seen = []
    client.on_message = lambda _client, _userdata, message: seen.append(message)
    answers = hand_to_paho(client, wire, sent, *([Pubrel(sent.packet_id)] if sent.qos == 2 else []))
    (message,) = seen
    read = Publish(message.topic, message.payload, message.qos, message.retain, message.dup, message.mid or None)
    assert read == sent
    assert answers == {0: [], 1: [Puback(sent.packet_id)], 2: [Pubrec(sent.packet_id), Pubcomp(sent.packet_id)]}[sent.qos]


@given(packet_ids)
def test_paho_answers_our_pubrec_with_the_pubrel_of_its_message(packet_id: int):
    client, wire = paho_client()
    client._last_mid = packet_id - 1
    client.publish("t", b"x", 2)
    assert hand_to_paho(client, wire, Pubrec(packet_id)) == [Publish("t", b"x", 2, packet_id=packet_id), Pubrel(packet_id)]


@given(subacks)
def test_paho_reads_our_suback(suback: Suback):
    client, wire = paho_client()
    seen = []
    client.on_subscribe = lambda _client, _userdata, mid, codes, _properties: seen.append((mid, [code.value for code in codes]))
    hand_to_paho(client, wire, suback)
    assert seen == [(suback.packet_id, list(suback.return_codes))]


@given(packet_ids)
def test_paho_reads_our_unsuback(packet_id: int):
    client, wire = paho_client()
    seen = []
    client.on_unsubscribe = lambda _client, _userdata, mid, _codes, _properties: seen.append(mid)
    hand_to_paho(client, wire, Unsuback(packet_id))
    assert seen == [packet_id]


def test_paho_reads_our_pingresp():
    client, wire = paho_client()
    client._ping_t = 1.0
    hand_to_paho(client, wire, Pingresp())
    assert client._ping_t == 0
