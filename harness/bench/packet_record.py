"""An MQTT packet as a fact of the timeline."""

from typing import Any

from harness.history.events import MqttPacket, text_of
from harness.mqtt.packets import Connack, Connect, Packet, Publish, Side, Suback, Subscribe, Unsubscribe


def packet_fact(packet: Packet, size_bytes: int, *, connection: int, device_id: str, sent_by: Side) -> MqttPacket:
    """The fact that `packet`, of `size_bytes` in all, went over a connection."""
    return MqttPacket(connection, device_id, sent_by, packet.packet_type.name, size_bytes, **_members(packet))


def _members(packet: Packet) -> dict[str, Any]:
    match packet:
        case Publish():
            return {
                "packet_id": packet.packet_id,
                "topic": packet.topic,
                "payload": text_of(packet.payload),
                "qos": int(packet.qos),
                "dup": packet.dup,
                "retain": packet.retain,
            }
        case Connect():
            return {
                "client_id": packet.client_id,
                "username": packet.username,
                "password": None if packet.password is None else text_of(packet.password),
                "clean_session": packet.clean_session,
                "keep_alive_s": packet.keep_alive_s,
                "will_topic": packet.will.topic if packet.will else None,
            }
        case Connack():
            return {"session_present": packet.session_present, "return_codes": (int(packet.return_code),)}
        case Subscribe():
            return {"packet_id": packet.packet_id, "filters": tuple((name, int(qos)) for name, qos in packet.filters)}
        case Suback():
            return {"packet_id": packet.packet_id, "return_codes": tuple(map(int, packet.return_codes))}
        case Unsubscribe():
            return {"packet_id": packet.packet_id, "filters": tuple((name, 0) for name in packet.filters)}
        case _:
            packet_id = getattr(packet, "packet_id", None)
            return {} if packet_id is None else {"packet_id": packet_id}
