"""`capture.pcapng` is what Wireshark's own reader takes for MQTT and HTTP."""

import json
import struct
import subprocess
from ipaddress import IPv4Address

import pytest

from harness.history import events as ev
from harness.history.timeline import History
from harness.report.capture import as_capture
from harness.report.pcapng import Conversation, Endpoint, file_header

CLIENT, SERVER = Endpoint(IPv4Address("192.0.2.9"), 4000), Endpoint(IPv4Address("192.0.2.1"), 1883)


def blocks(file):
    """(type, body) of each block; both lengths of a block must agree."""
    position = 0
    while position < len(file):
        kind, length = struct.unpack_from("<II", file, position)
        assert length % 4 == 0
        assert struct.unpack_from("<I", file, position + length - 4) == (length,)
        yield kind, file[position + 8 : position + length - 4]
        position += length


def packets(file):
    """The IPv4 packets in a run of enhanced packet blocks."""
    for kind, body in blocks(file):
        if kind == 6:
            size = struct.unpack_from("<I", body, 12)[0]
            yield body[20 : 20 + size]


def sequence_of(packet):
    return struct.unpack_from("!I", packet, 24)[0]


def tshark(find_program, path, *arguments):
    done = subprocess.run([find_program("tshark"), "-r", str(path), *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def history_of(start, *facts):
    return History((start, *(ev.Event(line, float(line), 1.7e9 + line, "s", fact) for line, fact in enumerate(facts, 2))))


def test_a_file_starts_with_its_section_and_one_interface():
    assert [kind for kind, _ in blocks(file_header("hil", "about"))] == [0x0A0D0D0A, 1]


def test_sequence_numbers_go_on_over_segments_and_over_what_was_not_kept():
    talk = Conversation(CLIENT, SERVER)
    opened = list(packets(talk.open(0, "open")))
    first = list(packets(talk.send(1, b"x" * 20_000, from_client=True, comment="")))
    talk.skip(500, from_client=True)
    (last,) = packets(talk.send(2, b"y", from_client=True, comment=""))
    assert len(opened) == 3
    assert len(first) == 3
    assert sequence_of(last) - sequence_of(first[0]) == 20_500


def test_header_checksums_are_right():
    (packet,) = packets(Conversation(CLIENT, SERVER).send(1, b"odd", from_client=True, comment="note"))
    header = struct.unpack("!10H", packet[:20])
    total = sum(header)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


def test_a_packet_without_bytes_in_3_1_1_is_commented_not_invented(history):
    illegal = ev.MqttPacket(1, "d", "server", "PUBLISH", 9, topic="a/#", payload="", qos=0)
    unknown = ev.MqttPacket(1, "d", "server", "AUTH", 2)
    no_id = ev.MqttPacket(1, "d", "server", "PUBREC", 4)
    file = as_capture(history_of(history.events[0], illegal, unknown, no_id))
    assert file.count(b"not shown") == 3


def test_an_end_without_a_request_is_left_out(history):
    start = history.events[0]
    assert as_capture(history_of(start, ev.HttpEnded(9, 5, True))) == as_capture(history_of(start))


@pytest.mark.peer("tshark")
class TestTshark:
    @pytest.fixture
    def file(self, tmp_path, history):
        path = tmp_path / "capture.pcapng"
        path.write_bytes(as_capture(history))
        return path

    def test_mqtt_is_read_with_topic_and_packet_id(self, find_program, file):
        fields = tshark(find_program, file, "-Y", "mqtt", "-T", "fields", "-e", "mqtt.msgtype", "-e", "mqtt.msgid", "-e", "mqtt.topic")
        assert fields.splitlines() == ["3\t7\t0b6c1d5e-0000-4000-8000-000000000001/control/reboot", "5\t7\t"]

    def test_http_is_read_with_method_status_and_body(self, find_program, file):
        rows = json.loads(tshark(find_program, file, "-Y", "http.response.code == 200 && json", "-T", "json"))
        assert len(rows) == 1
        requests = tshark(find_program, file, "-Y", "http.request", "-T", "fields", "-e", "http.request.method")
        assert requests.split() == ["POST", "GET"]

    def test_comments_lead_back_to_the_history(self, find_program, file):
        comments = tshark(find_program, file, "-Y", "mqtt", "-T", "fields", "-e", "frame.comment")
        assert comments.splitlines()[0] == "history line 7 (reboot): PUBLISH"

    def test_nothing_is_malformed_and_checksums_are_right(self, find_program, file):
        options = ("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE")
        bad = tshark(find_program, file, *options, "-Y", "_ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0")
        assert bad == ""

    def test_every_packet_type_is_read(self, find_program, tmp_path, history):
        def packet(kind, side, **members):
            return ev.MqttPacket(1, "d", side, kind, 9, **members)

        facts = [
            ev.MqttOpened(1, "d"),
            packet(
                "CONNECT", "client", client_id="d", username="d", password="<token:d>", clean_session=True, keep_alive_s=30, will_topic="w"
            ),
            packet("CONNACK", "server", session_present=False, return_codes=(0,)),
            packet("SUBSCRIBE", "client", packet_id=1, filters=(("d/control/+", 2),)),
            packet("SUBACK", "server", packet_id=1, return_codes=(2,)),
            packet("PUBLISH", "server", topic="d/control/x", payload="{}", qos=2, dup=True, retain=False, packet_id=9),
            packet("PUBREC", "client", packet_id=9),
            packet("PUBREL", "server", packet_id=9),
            packet("PUBCOMP", "client", packet_id=9),
            packet("PUBACK", "client", packet_id=3),
            packet("UNSUBSCRIBE", "client", packet_id=4, filters=(("d/control/+", 0),)),
            packet("UNSUBACK", "server", packet_id=4),
            packet("PINGREQ", "client"),
            packet("PINGRESP", "server"),
            packet("DISCONNECT", "client"),
            ev.MqttClosed(1, "d", "us"),
        ]
        path = tmp_path / "all.pcapng"
        path.write_bytes(as_capture(history_of(history.events[0], *facts)))
        types = tshark(find_program, path, "-Y", "mqtt", "-T", "fields", "-e", "mqtt.msgtype").split()
        assert [int(kind) for kind in types] == [1, 2, 8, 9, 3, 5, 6, 7, 4, 10, 11, 12, 13, 14]
