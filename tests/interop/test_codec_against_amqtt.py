"""Our codec and amqtt's write the same bytes for the same packet, and read the same packet from the same bytes.

Left out, because amqtt does otherwise: passwords that are no UTF-8 (it holds them as text) and empty client ids (it invents one).
"""

import asyncio
from dataclasses import replace

from amqtt import mqtt as amqtt
from amqtt.adapters import BufferReader
from amqtt.mqtt.connect import ConnectPayload, ConnectVariableHeader
from amqtt.mqtt.packet import MQTTFixedHeader, PacketIdVariableHeader
from hypothesis import given

from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketType,
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
from tests.harness.mqtt.packet_strategies import packets

IDENTIFIED = {
    Puback: amqtt.PubackPacket,
    Pubrec: amqtt.PubrecPacket,
    Pubrel: amqtt.PubrelPacket,
    Pubcomp: amqtt.PubcompPacket,
    Unsuback: amqtt.UnsubackPacket,
}
BARE = {Pingreq: amqtt.PingReqPacket, Pingresp: amqtt.PingRespPacket, Disconnect: amqtt.DisconnectPacket}
BY_TYPE = {kind.packet_type: kind for kind in (*IDENTIFIED, *BARE)}


def as_amqtt_can_say_it(packet: Packet) -> Packet:
    if not isinstance(packet, Connect):
        return packet
    password = None if packet.password is None else packet.password.hex().encode()
    return replace(packet, client_id=packet.client_id or "c", password=password)


def to_amqtt(packet: Packet):
    """The packet, built by amqtt's own means."""
    match packet:
        case Connect():
            return _connect_to_amqtt(packet)
        case Connack(session_present, return_code):
            return amqtt.ConnackPacket.build(int(session_present), return_code)
        case Publish(topic, payload, qos, retain, dup, packet_id):
            return amqtt.PublishPacket.build(topic, payload, packet_id, dup, qos, retain)
        case Subscribe(packet_id, filters):
            return amqtt.SubscribePacket.build(list(filters), packet_id)
        case Suback(packet_id, return_codes):
            return amqtt.SubackPacket.build(packet_id, list(return_codes))
        case Unsubscribe(packet_id, unwanted):
            return amqtt.UnsubscribePacket.build(list(unwanted), packet_id)
        case Pingreq() | Pingresp() | Disconnect():
            return BARE[type(packet)]()
    return IDENTIFIED[type(packet)](variable_header=PacketIdVariableHeader(packet.packet_id))


def _connect_to_amqtt(packet: Connect):
    header = ConnectVariableHeader(keep_alive=packet.keep_alive_s)
    header.clean_session_flag = packet.clean_session
    header.username_flag = packet.username is not None
    header.password_flag = packet.password is not None
    payload = ConnectPayload(packet.client_id, username=packet.username)
    payload.password = None if packet.password is None else packet.password.decode()
    if packet.will is not None:
        header.will_flag, header.will_retain_flag, header.will_qos = True, packet.will.retain, packet.will.qos
        payload.will_topic, payload.will_message = packet.will.topic, packet.will.payload
    return amqtt.ConnectPacket(variable_header=header, payload=payload)


async def read_by_amqtt(encoded: bytes):
    reader = BufferReader(encoded)
    header = await MQTTFixedHeader.from_stream(reader)
    return await amqtt.packet_class(header).from_stream(reader, fixed_header=header)


def from_amqtt(theirs) -> Packet:
    """What amqtt has read, in our words."""
    kind = PacketType(theirs.fixed_header.packet_type)
    match kind:
        case PacketType.CONNECT:
            return _connect_from_amqtt(theirs)
        case PacketType.CONNACK:
            return Connack(bool(theirs.session_parent), theirs.return_code)
        case PacketType.PUBLISH:
            return Publish(theirs.topic_name, theirs.data, theirs.qos, theirs.retain_flag, theirs.dup_flag, theirs.packet_id)
        case PacketType.SUBSCRIBE:
            return Subscribe(theirs.variable_header.packet_id, tuple((name, qos) for name, qos in theirs.payload.topics))
        case PacketType.SUBACK:
            return Suback(theirs.variable_header.packet_id, tuple(theirs.payload.return_codes))
        case PacketType.UNSUBSCRIBE:
            return Unsubscribe(theirs.variable_header.packet_id, tuple(theirs.payload.topics))
        case PacketType.PINGREQ | PacketType.PINGRESP | PacketType.DISCONNECT:
            return BY_TYPE[kind]()
    return BY_TYPE[kind](theirs.variable_header.packet_id)


def _connect_from_amqtt(theirs) -> Connect:
    will = None
    if theirs.will_flag:
        will = Will(theirs.will_topic, bytes(theirs.will_message), theirs.will_qos, theirs.will_retain_flag)
    password = None if theirs.password is None else theirs.password.encode()
    return Connect(theirs.client_id, theirs.clean_session_flag, theirs.keep_alive, theirs.username, password, will)


@given(packets.map(as_amqtt_can_say_it))
def test_both_write_the_same_bytes(packet: Packet):
    assert encode(packet) == to_amqtt(packet).to_bytes()


@given(packets.map(as_amqtt_can_say_it))
def test_amqtt_reads_what_we_wrote(packet: Packet):
    assert from_amqtt(asyncio.run(read_by_amqtt(encode(packet)))) == packet


@given(packets.map(as_amqtt_can_say_it))
def test_we_read_what_amqtt_wrote(packet: Packet):
    assert Decoder().feed(to_amqtt(packet).to_bytes()) == [packet]
