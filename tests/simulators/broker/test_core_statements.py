"""Statements of the standard that no other test is about, and the table of all of them."""

import ast
import asyncio
import importlib
from pathlib import Path

import aiohttp
import pytest

from harness.errors import RemoteWireError
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Connect, Pingreq, Pingresp, Publish, Pubrel, Subscribe, Unsubscribe, Will
from simulators.broker.port import Login, LoginTable
from simulators.broker.statements import STATEMENTS

ROOT = Path(__file__).parents[3]


def payloads(packets) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def retained(bench, topic: str) -> list[bytes]:
    return payloads(bench.say(bench.connect("late"), Subscribe(1, ((topic, 0),))))


def test_every_statement_names_code_that_exists():
    for statement in STATEMENTS:
        module, _, name = statement.held.partition(":")
        place = importlib.import_module(module)
        for part in name.split("."):
            place = getattr(place, part)


def test_every_statement_names_a_test_that_exists():
    tests: dict[str, set[str]] = {}
    for statement in STATEMENTS:
        path, _, name = statement.test.partition("::")
        if path not in tests:
            tree = ast.parse((ROOT / path).read_text())
            tests[path] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in tests[path], statement


def test_no_statement_stands_twice():
    ids = [statement.id for statement in STATEMENTS]
    assert len(ids) == len(set(ids)) > 115


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (Connect("dev-\u00e9"), "\u00e9"),
        (Connect("dev-1", will=Will("\u00e9", b"")), "\u00e9"),
        (Connect("dev-1", username="\u00e9"), "\u00e9"),
        (Subscribe(1, (("\u00e9", 0),)), "\u00e9"),
        (Unsubscribe(1, ("\u00e9",)), "\u00e9"),
    ],
)
def test_text_that_is_no_utf_8_ends_the_connection(packet, text):
    with pytest.raises(RemoteWireError, match=r"MQTT-1\.5\.3-1"):
        Decoder().feed(encode(packet).replace(text.encode(), b"\xff\xfe"))


@pytest.mark.parametrize("flags", [0x02, 0x06])
def test_will_flag_and_will_fields_must_agree(flags):
    with_will, without_will = encode(Connect("d", will=Will("w", b"m"))), encode(Connect("d"))
    raw = bytearray(with_will if flags == 0x02 else without_will)
    raw[9] = flags
    with pytest.raises(RemoteWireError):
        Decoder().feed(bytes(raw))


def test_a_topic_keeps_every_character(bench):
    topic = "dev-1/\ufeff/ß/日本/e\u0301"
    device = bench.connect("dev-1", ("dev-1/#", 0))
    bench.publish(topic)
    assert [packet.topic for packet in bench.heard(device)] == [topic]


def test_names_are_not_normalised(bench):
    device = bench.connect("dev-1", ("é", 0), ("A", 0), ("a/", 0))
    for topic in ("e\u0301", "a", "a", "/a"):
        bench.publish(topic)
    assert bench.heard(device) == []


def test_retained_messages_outlive_the_session_of_their_publisher(bench):
    publisher = bench.connect("publisher")
    bench.say(publisher, Publish("a", b"kept", 1, True, packet_id=1))
    bench.lose(publisher)
    assert retained(bench, "a") == [b"kept"]


def test_a_retained_message_of_qos_0_replaces_one_of_qos_2(bench):
    bench.publish("a", b"old", 2, retain=True)
    bench.publish("a", b"new", 0, retain=True)
    assert retained(bench, "a") == [b"new"]


def test_a_client_without_a_will_leaves_in_silence(bench):
    watcher = bench.connect("watcher", ("#", 0))
    bench.lose(bench.connect("dev-1"))
    assert bench.heard(watcher) == []


def test_a_will_without_retain_is_not_stored(bench):
    bench.lose(bench.connect("dev-1", will=Will("dev-1/gone", b"farewell", 1)))
    assert retained(bench, "dev-1/gone") == []


@pytest.mark.parametrize("length", [1, 8, 22, 23])
def test_client_ids_of_all_promised_lengths_are_accepted(bench, length):
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for start in range(0, len(alphabet), length):
        client_id = (alphabet + alphabet)[start : start + length]
        assert bench.connack(client_id)[1] == Connack(False, 0)


def test_nothing_after_a_refused_connect_is_processed(make_bench):
    bench = make_bench(directory=LoginTable([Login("op", "op", "p", is_trusted=True)]))
    watcher = bench.connect("op", ("#", 0), username="op", password=b"p")
    link = bench.link()
    assert bench.say(link, Connect("dev-1"), Publish("a", b"x"), Pingreq()) == [Connack(False, 5)]
    assert bench.heard(watcher) == []


def test_dup_of_the_publisher_is_not_handed_on(bench):
    device = bench.connect("dev-1", ("a", 2))
    bench.say(bench.connect("publisher"), Publish("a", b"x", 2, dup=True, packet_id=3), Pubrel(3))
    assert [packet.dup for packet in bench.heard(device)] == [False]


def test_unsubscribe_deletes_the_equal_filter_only(bench):
    device = bench.connect("dev-1", ("a/+", 0), ("a/b", 0), ("A/+", 0))
    bench.say(device, Unsubscribe(1, ("a/#", "a/+/", "+/b", "a/+")))
    assert device.session is not None
    assert set(device.session.subscriptions) == {"a/b", "A/+"}


def run_over_websocket(embedded, converse) -> None:
    async def run():
        async with (
            embedded(websocket_port=0) as broker,
            aiohttp.ClientSession() as session,
            session.ws_connect(broker.ws_url, protocols=("mqtt",)) as socket,
        ):
            assert socket.protocol == "mqtt"
            await converse(socket)

    asyncio.run(run())


def test_a_text_frame_ends_the_connection(embedded):
    async def converse(socket):
        await socket.send_bytes(encode(Connect("dev-1")))
        assert (await socket.receive()).data == encode(Connack(False, 0))
        await socket.send_str("MQTT")
        async with asyncio.timeout(5):
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)

    run_over_websocket(embedded, converse)


def test_frames_may_cut_packets_anywhere(embedded):
    async def converse(socket):
        stream = encode(Connect("dev-1")) + encode(Pingreq()) * 2
        for frame in (stream[:3], stream[3:-3], stream[-3:]):
            await socket.send_bytes(frame)
        received = b""
        async with asyncio.timeout(5):
            while len(received) < 8:
                received += (await socket.receive()).data
        assert received == encode(Connack(False, 0)) + encode(Pingresp()) * 2

    run_over_websocket(embedded, converse)


def test_the_websocket_port_tells_plain_http_what_it_is(embedded):
    async def run():
        async with embedded(websocket_port=0) as broker, aiohttp.ClientSession() as session:
            response = await session.get(broker.ws_url.replace("ws://", "http://"))
            assert response.status == 426

    asyncio.run(run())
