"""Trials of sessions and connections: coming and going, subscriptions, and what breaks the protocol."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

from harness.errors import RemoteWireError
from harness.mqtt.encoding import encode
from harness.mqtt.packets import (
    Connack,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from simulators.broker.probe import ConnectionEnded, Probe
from simulators.broker.trial import Arena, Seen, Trial, acknowledge, saw, trial

KEEP_ALIVE_S = 1
PINGS = 8
KEEP_ALIVE_LATE_S = 4.0
"""How much later than 1.5 keep-alives a broker may notice, as brokers look at intervals."""


@trial("BRK-07", "MQTT-3.2.2-1", "MQTT-3.2.2-2", "MQTT-3.2.2-3")
async def session_present_tells_the_truth(arena: Arena) -> list[Seen]:
    """CONNACK says session present exactly when a session was kept."""
    seen = []
    for first, second, is_present in ((False, False, True), (False, True, False), (True, False, False)):
        name = arena.name()
        one = await arena.client(name, clean=first)
        one.send(Disconnect())
        await one.is_closed()
        two = await arena.client(name, clean=second)
        words = {True: "clean", False: "kept"}
        seen.append(saw(f"session present, first {words[first]}, then {words[second]}", two.session_present, is_present))
    return seen


@trial("BRK-07", "MQTT-3.1.2-6")
async def clean_connect_discards_the_session(arena: Arena) -> list[Seen]:
    """A clean CONNECT discards the former session with its subscriptions and messages."""
    name, topic = arena.name(), f"{arena.name()}/x"
    (await arena.client(name, (topic, 2), clean=False)).abort()
    await arena.publish(topic, b"queued")
    clean = await arena.client(name)
    await arena.publish(topic, b"live")
    return [saw("messages of the clean session", [m.payload for m in await clean.messages(answer=acknowledge)], [])]


@trial("BRK-07", "MQTT-3.1.4-2")
async def second_connection_takes_over(arena: Arena) -> list[Seen]:
    """A second connection with the same client id ends the first and goes on with its session."""
    name, topic = arena.name(), f"{arena.name()}/x"
    first = await arena.client(name, (topic, 1), clean=False)
    second = await arena.client(name, clean=False)
    seen = [
        saw("the first connection is ended", await first.is_closed(), True),
        saw("session present for the second", second.session_present, True),
    ]
    await arena.publish(topic, b"x", 1)
    return [*seen, saw("messages of the second", [m.payload for m in await second.messages(1, answer=acknowledge)], [b"x"])]


@trial("BRK-07", "MQTT-3.1.2-24")
async def silence_ends_the_connection(arena: Arena) -> list[Seen]:
    """A client that is silent for one and a half keep-alives is disconnected, and not before its keep-alive."""
    loop = asyncio.get_running_loop()
    silent = await arena.dial()
    began_s = loop.time()
    await silent.connect(arena.connect_packet(arena.name(), keep_alive_s=KEEP_ALIVE_S))
    is_ended = await silent.is_closed(within_s=1.5 * KEEP_ALIVE_S + KEEP_ALIVE_LATE_S)
    silent_s = loop.time() - began_s
    return [
        saw("the silent connection is ended", is_ended, True),
        saw("ended before its keep-alive", is_ended and silent_s < KEEP_ALIVE_S, False),
    ]


@trial("BRK-07", "MQTT-3.1.2-24")
async def pings_keep_the_connection(arena: Arena) -> list[Seen]:
    """A client that pings within its keep-alive is not disconnected."""
    client = await arena.dial()
    began_s = asyncio.get_running_loop().time()
    await client.connect(arena.connect_packet(arena.name(), keep_alive_s=KEEP_ALIVE_S))
    answers, gap_s = await _ping(client, began_s)
    if answers < PINGS and gap_s >= 1.5 * KEEP_ALIVE_S:
        return []  # the pings themselves were late: the broker was free to end it
    return [saw("answers to pings", answers, PINGS)]


async def _ping(probe: Probe, spoke_s: float) -> tuple[int, float]:
    """The number of answers, and the longest silence (s) that the broker may have seen since `spoke_s`."""
    loop = asyncio.get_running_loop()
    gap_s = 0.0
    for answers in range(PINGS):
        await asyncio.sleep(KEEP_ALIVE_S / 2)
        sent_s = loop.time()
        probe.send(Pingreq())
        gap_s = max(gap_s, loop.time() - spoke_s)
        spoke_s = sent_s
        try:
            await probe.await_type(Pingresp)
        except ConnectionEnded:
            return answers, max(gap_s, loop.time() - spoke_s)
        except TimeoutError:
            return answers, gap_s
    return PINGS, gap_s


@trial("BRK-07", "MQTT-3.1.2-8")
async def lost_connection_publishes_the_will(arena: Arena) -> list[Seen]:
    """A connection that is lost publishes its will, with its QoS and RETAIN."""
    name = arena.name()
    watcher = await arena.client(arena.name(), (f"{name}/gone", 2))
    device = await arena.client(name, will=Will(f"{name}/gone", b"farewell", 1))
    device.abort()
    messages = await watcher.messages(1, answer=acknowledge)
    return [saw("(payload, QoS, RETAIN) of the will", [(m.payload, m.qos, m.retain) for m in messages], [(b"farewell", 1, False)])]


@trial("BRK-07", "MQTT-3.1.2-10", "MQTT-3.14.4-3")
async def disconnect_drops_the_will(arena: Arena) -> list[Seen]:
    """DISCONNECT drops the will."""
    name = arena.name()
    watcher = await arena.client(arena.name(), (f"{name}/gone", 2))
    device = await arena.client(name, will=Will(f"{name}/gone", b"farewell", 1))
    device.send(Disconnect())
    await device.is_closed()
    return [saw("wills", [m.payload for m in await watcher.messages()], [])]


@trial("MQTT-3.1.2-16", "MQTT-3.1.2-17")
async def will_retain_is_respected(arena: Arena) -> list[Seen]:
    """A will with RETAIN=1 is stored."""
    name = arena.name()
    topic = f"{name}/gone"
    witness = await arena.client(arena.name(), (topic, 0))
    (await arena.client(name, will=Will(topic, b"farewell", 0, True))).abort()
    await witness.await_type(Publish)
    late = await arena.client(arena.name(), (topic, 0))
    got = [(m.payload, m.retain) for m in await late.messages(1)]
    await arena.publish(topic, b"", 1, retain=True)
    return [saw("stored will", got, [(b"farewell", True)])]


@trial("CMD-26a", "CMD-26b", "MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-3.8.4-5", "MQTT-3.9.3-1")
async def suback_answers_each_filter(arena: Arena) -> list[Seen]:
    """SUBACK has the packet id of SUBSCRIBE and one code per filter in its order; QoS 2 is granted."""
    name = arena.name()
    device = await arena.client(arena.name())
    device.send(Subscribe(4_711, ((f"{name}/control/reboot", 2), (f"{name}/x", 0), (f"{name}/control/+", 2), (f"{name}/#", 1))))
    return [saw("SUBACK", await device.await_type(Suback), Suback(4_711, (2, 0, 2, 1)))]


@trial("CMD-27")
async def result_topic_may_be_written(arena: Arena) -> list[Seen]:
    """A device may publish to its result topics without being disconnected."""
    name = arena.name()
    device = await arena.client(name)
    for number, command in enumerate(("reboot", "my_own_command"), 1):
        device.send(Publish(f"{name}/control/{command}/result", b"{}", 2, packet_id=number))
    device.send(Pingreq())
    return [saw("answer to a later PINGREQ", await device.await_type(Pingresp), Pingresp())]


@trial("MQTT-3.10.4-1", "MQTT-3.10.4-2", "MQTT-3.10.4-4", "MQTT-3.10.4-5")
async def unsubscribe_ends_and_is_answered(arena: Arena) -> list[Seen]:
    """UNSUBSCRIBE ends exactly the filters that it names, and is answered also where there was none."""
    name = arena.name()
    device = await arena.client(arena.name(), (f"{name}/x", 1), (f"{name}/+", 0))
    device.send(Unsubscribe(9, (f"{name}/x", f"{name}/never")))
    unsuback = await device.await_type(Unsuback)
    await arena.publish(f"{name}/x", b"x", 1)
    return [saw("UNSUBACK", unsuback, Unsuback(9)), saw("QoS of what is left", [m.qos for m in await device.messages(1)], [0])]


@trial("MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-4")
async def wildcards_match_as_the_standard_says(arena: Arena) -> list[Seen]:
    """`+` matches one level, `#` its parent and all below, names are case-sensitive and blank levels count."""
    root = arena.name()
    filters = {"+": f"{root}/+", "#": f"{root}/a/#", "+/": f"{root}/+/b", "exact": f"{root}/a", "blank": f"{root}//b", "case": f"{root}/A"}
    topics = (f"{root}/a", f"{root}/a/b", f"{root}/a/b/c", f"{root}//b", f"{root}/A", root)
    clients = {label: await arena.client(arena.name(), (topic_filter, 0)) for label, topic_filter in filters.items()}
    for topic in topics:
        await arena.publish(topic, b"", 1)
    expected = {
        "+": [topics[0], topics[4]],
        "#": [topics[0], topics[1], topics[2]],
        "+/": [topics[1], topics[3]],
        "exact": [topics[0]],
        "blank": [topics[3]],
        "case": [topics[4]],
    }
    heard = await asyncio.gather(*(client.messages(len(expected[label])) for label, client in clients.items()))
    return [
        saw(f"topics that reach {filters[label]}", [m.topic for m in messages], expected[label])
        for label, messages in zip(clients, heard, strict=True)
    ]


DOLLAR_S = 1.0
"""How long a trial listens for the topics that a broker may publish about itself."""


@trial("MQTT-4.7.2-1")
async def dollar_topics_are_hidden_from_leading_wildcards(arena: Arena) -> list[Seen]:
    """Filters that begin with a wildcard do not reach topics that begin with `$`."""
    device = await arena.client(arena.name(), ("#", 0), ("+/#", 0))
    messages = await device.messages(for_s=DOLLAR_S)
    return [saw("topics beginning with $", sorted({m.topic for m in messages if m.topic.startswith("$")}), [])]


@trial("MQTT-3.12.4-1")
async def pingreq_is_answered(arena: Arena) -> list[Seen]:
    """PINGREQ is answered by PINGRESP."""
    client = await arena.client(arena.name())
    client.send(Pingreq())
    return [saw("answer", await client.receive(), Pingresp())]


@trial("MQTT-3.1.2-2")
async def unknown_protocol_level_is_told(arena: Arena) -> list[Seen]:
    """CONNECT of a protocol level that the broker does not know: CONNACK 1, or the end."""
    probe = await arena.dial()
    raw = bytearray(encode(arena.connect_packet(arena.name())))
    raw[8] = 99
    probe.send_raw(bytes(raw))
    return await _refused(probe, 1)


@trial("MQTT-3.1.3-8", "MQTT-3.1.3-9")
async def empty_client_id_cannot_keep_a_session(arena: Arena) -> list[Seen]:
    """An empty client id that wants to keep its session: CONNACK 2 and the end."""
    probe = await arena.dial()
    raw = bytearray(encode(arena.connect_packet("")))
    raw[9] &= ~0x02
    probe.send_raw(bytes(raw))
    return await _refused(probe, 2)


async def _refused(probe: Probe, return_code: int) -> list[Seen]:
    answers: list[Packet] = []
    try:
        while True:
            answers.append(await probe.receive())
    except ConnectionEnded:
        ended = True
    except (TimeoutError, RemoteWireError):
        ended = False
    return [
        saw("answers before the end", answers, [Connack(False, return_code)], []),
        saw("the connection is ended", ended, True),
    ]


@dataclass(frozen=True, slots=True)
class Violation:
    """Bytes that a connected client must not send, and the statement that forbids them."""

    statement: str
    what: str
    raw: bytes


VIOLATIONS = (
    Violation("MQTT-3.1.0-2", "a second CONNECT", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"),
    Violation("MQTT-3.3.1-4", "PUBLISH of QoS 3", b"\x36\x05\x00\x01a\x00\x01"),
    Violation("MQTT-3.3.2-2", "PUBLISH to a topic with a wildcard", b"\x30\x05\x00\x03a/#"),
    Violation("MQTT-2.3.1-1", "PUBLISH of QoS 1 with packet id 0", b"\x32\x05\x00\x01a\x00\x00"),
    Violation("MQTT-3.6.1-1", "PUBREL with flags 0000", b"\x60\x02\x00\x01"),
    Violation("MQTT-3.8.1-1", "SUBSCRIBE with flags 0000", b"\x80\x06\x00\x01\x00\x01a\x00"),
    Violation("MQTT-3.8.3-3", "SUBSCRIBE without a filter", b"\x82\x02\x00\x01"),
    Violation("MQTT-3-8.3-4", "SUBSCRIBE with QoS 3", b"\x82\x06\x00\x01\x00\x01a\x03"),
    Violation("MQTT-4.7.1-2", "SUBSCRIBE to a/#/b", b"\x82\x0a\x00\x01\x00\x05a/#/b\x00"),
    Violation("MQTT-4.7.1-3", "SUBSCRIBE to a+/b", b"\x82\x09\x00\x01\x00\x04a+/b\x00"),
    Violation("MQTT-3.10.1-1", "UNSUBSCRIBE with flags 0000", b"\xa0\x05\x00\x01\x00\x01a"),
    Violation("MQTT-3.10.3-2", "UNSUBSCRIBE without a filter", b"\xa2\x02\x00\x01"),
    Violation("MQTT-4.8.0-1", "packet type 15", b"\xf0\x00"),
    Violation("MQTT-4.8.0-1", "a remaining length of five bytes", b"\x30\xff\xff\xff\xff\x01"),
)


@trial(*dict.fromkeys(violation.statement for violation in VIOLATIONS))
async def violations_end_the_connection(arena: Arena) -> list[Seen]:
    """What the protocol forbids ends the connection, and the broker serves others on."""
    healthy = await arena.client(arena.name())
    seen = await asyncio.gather(*(_committed(violation, arena.client(arena.name())) for violation in VIOLATIONS))
    healthy.send(Pingreq())
    return [*seen, saw("a healthy client is served on", await healthy.await_type(Pingresp), Pingresp())]


FIRST_PACKETS = (
    Violation("MQTT-3.1.0-1", "PINGREQ before CONNECT", b"\xc0\x00"),
    Violation("MQTT-3.1.0-1", "PUBLISH before CONNECT", b"\x30\x03\x00\x01a"),
    Violation("MQTT-3.1.2-1", "CONNECT of another protocol", b"\x10\x0f\x00\x06HTTP/1\x04\x02\x00\x3c\x00\x01a"),
    Violation("MQTT-3.1.2-3", "CONNECT with the reserved flag", b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a"),
    Violation("MQTT-3.1.2-22", "CONNECT with a password and no user name", b"\x10\x10\x00\x04MQTT\x04\x42\x00\x3c\x00\x01a\x00\x01p"),
)


@trial(*dict.fromkeys(violation.statement for violation in FIRST_PACKETS))
async def wrong_first_packets_end_the_connection(arena: Arena) -> list[Seen]:
    """A connection that does not begin with a proper CONNECT is ended."""
    return list(await asyncio.gather(*(_committed(violation, arena.dial()) for violation in FIRST_PACKETS)))


async def _committed(violation: Violation, connecting: Awaitable[Probe]) -> Seen:
    probe = await connecting
    probe.send_raw(violation.raw)
    return saw(f"{violation.what} ends the connection ({violation.statement})", await probe.is_closed(), True)


SESSIONS: tuple[Trial, ...] = (
    session_present_tells_the_truth,
    clean_connect_discards_the_session,
    second_connection_takes_over,
    silence_ends_the_connection,
    pings_keep_the_connection,
    lost_connection_publishes_the_will,
    disconnect_drops_the_will,
    will_retain_is_respected,
    suback_answers_each_filter,
    result_topic_may_be_written,
    unsubscribe_ends_and_is_answered,
    wildcards_match_as_the_standard_says,
    dollar_topics_are_hidden_from_leading_wildcards,
    pingreq_is_answered,
    unknown_protocol_level_is_told,
    empty_client_id_cannot_keep_a_session,
    violations_end_the_connection,
    wrong_first_packets_end_the_connection,
)
