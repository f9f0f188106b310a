"""One specimen of each packet and of each of its optional parts, with the bytes that 3.1.1 prescribes, spelled by hand."""

import pytest

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
    Will,
)

SPECIMENS: list[tuple[Packet, bytes]] = [
    (Connect("dev-7"), b"\x10\x11\0\4MQTT\4\x02\0\x3c\0\5dev-7"),
    (Connect("", True, 0), b"\x10\x0c\0\4MQTT\4\x02\0\0\0\0"),
    (Connect("d", False, 65_535), b"\x10\x0d\0\4MQTT\4\0\xff\xff\0\1d"),
    (Connect("d", username="ü"), b"\x10\x11\0\4MQTT\4\x82\0\x3c\0\1d\0\2\xc3\xbc"),
    (Connect("d", username="u", password=b"\0\xff"), b"\x10\x14\0\4MQTT\4\xc2\0\x3c\0\1d\0\1u\0\2\0\xff"),
    (
        Connect("d", False, 1, "u", b"", Will("w", b"\0", 2, True)),
        b"\x10\x18\0\4MQTT\4\xf4\0\1\0\1d\0\1w\0\1\0\0\1u\0\0",
    ),
    (Connect("d", will=Will("w", b"")), b"\x10\x12\0\4MQTT\4\x06\0\x3c\0\1d\0\1w\0\0"),
    (Connack(False, 0), b"\x20\2\0\0"),
    (Connack(True, 0), b"\x20\2\1\0"),
    (Connack(False, 5), b"\x20\2\0\5"),
    (Publish("t", b""), b"\x30\3\0\1t"),
    (Publish("a/b", b"hi", retain=True), b"\x31\7\0\3a/bhi"),
    (Publish("t", b"x", 1, packet_id=1), b"\x32\6\0\1t\0\1x"),
    (Publish("t", b"x", 2, packet_id=65_535), b"\x34\6\0\1t\xff\xffx"),
    (Publish("t", b"x", 2, True, True, 256), b"\x3d\6\0\1t\1\0x"),
    (Publish("\ufeff\U0001f600", b""), b"\x30\x09\0\7\xef\xbb\xbf\xf0\x9f\x98\x80"),
    (Publish("t", bytes(124)), b"\x30\x7f\0\1t" + bytes(124)),
    (Publish("t", bytes(125)), b"\x30\x80\1\0\1t" + bytes(125)),
    (Publish("t", bytes(16_380)), b"\x30\xff\x7f\0\1t" + bytes(16_380)),
    (Publish("t", bytes(16_381)), b"\x30\x80\x80\1\0\1t" + bytes(16_381)),
    (Puback(1), b"\x40\2\0\1"),
    (Pubrec(258), b"\x50\2\1\2"),
    (Pubrel(65_535), b"\x62\2\xff\xff"),
    (Pubcomp(256), b"\x70\2\1\0"),
    (Subscribe(1, (("a/+", 2),)), b"\x82\x08\0\1\0\3a/+\2"),
    (Subscribe(9, (("#", 0), ("b", 1))), b"\x82\x0a\0\x09\0\1#\0\0\1b\1"),
    (Suback(1, (0, 1, 2, 0x80)), b"\x90\6\0\1\0\1\2\x80"),
    (Unsubscribe(2, ("a", "+/#")), b"\xa2\x0a\0\2\0\1a\0\3+/#"),
    (Unsuback(2), b"\xb0\2\0\2"),
    (Pingreq(), b"\xc0\0"),
    (Pingresp(), b"\xd0\0"),
    (Disconnect(), b"\xe0\0"),
]


@pytest.fixture(params=SPECIMENS, ids=lambda specimen: repr(specimen[0])[:60])
def specimen(request) -> tuple[Packet, bytes]:
    return request.param


@pytest.fixture
def specimens() -> list[Packet]:
    """All of them that are short."""
    return [packet for packet, encoded in SPECIMENS if len(encoded) < 200]
