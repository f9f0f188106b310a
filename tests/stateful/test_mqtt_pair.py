"""Our client's session and our server's session, joined by bytes, while connections break at any packet.

The model is a count: every message that was published must reach the other application, once with QoS 2, at least once with QoS 1, in
order, and in the end nothing may be left in either session.
"""

from collections import Counter, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.mqtt.client_session import ClientSession, Phase
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Connect, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel
from harness.mqtt.server_session import ServerSession

IN_FLIGHT_MAX = 3


class JoinedSessions(RuleBasedStateMachine):
    """Two sessions, and the packets on the wire between them as bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.client = ClientSession("dev-7", clean_session=False)
        self.server = ServerSession("dev-7", is_clean=False, inflight_max=IN_FLIGHT_MAX)
        self.to_client: deque[bytes] = deque()
        self.to_server: deque[bytes] = deque()
        self.client_decoder, self.server_decoder = Decoder(), Decoder()
        self.number = 0
        self.published: dict[tuple[str, int], list[bytes]] = {(way, qos): [] for way in ("up", "down") for qos in (1, 2)}
        self.delivered: dict[tuple[str, int], list[bytes]] = {way: [] for way in self.published}

    # --- what may happen

    @initialize()
    def start_connected(self) -> None:
        self.connect()
        self.server_reads(count=1)
        self.client_reads(count=1, cut_at=1)

    @precondition(lambda self: self.client.phase is Phase.OFFLINE)
    @rule()
    def connect(self) -> None:
        self.client_decoder, self.server_decoder = Decoder(), Decoder()
        self.to_server.append(encode(self.client.connect_packet()))

    @rule(is_back_at_once=st.booleans())
    def cut(self, is_back_at_once: bool) -> None:
        """All that is on the wire is lost."""
        self.to_client.clear()
        self.to_server.clear()
        self.client.connection_lost()
        self.server.suspend()
        if is_back_at_once:
            self.connect()

    @rule(qos=st.sampled_from([1, 2]))
    def client_publishes(self, qos: int) -> None:
        message = self._next_message("up", qos)
        self._put(self.to_server, self.client.publish(message.topic, message.payload, qos)[1])

    @rule(qos=st.sampled_from([1, 2]))
    def server_publishes(self, qos: int) -> None:
        message = self._next_message("down", qos)
        due = self.server.offer(message.topic, message.payload, qos)
        self._put(self.to_client, [due] if due else [])

    @precondition(lambda self: self.to_client)
    @rule(count=st.integers(1, 4), cut_at=st.integers(0, 9))
    def client_reads(self, count: int, cut_at: int) -> None:
        """Some packets arrive, each in two pieces."""
        for encoded in _taken(self.to_client, count):
            for piece in (encoded[:cut_at], encoded[cut_at:]):
                for packet in self.client_decoder.feed(piece):
                    self._client_takes(packet)

    @precondition(lambda self: self.to_server)
    @rule(count=st.integers(1, 4))
    def server_reads(self, count: int) -> None:
        for encoded in _taken(self.to_server, count):
            for packet in self.server_decoder.feed(encoded):
                self._put(self.to_client, self._server_answers(packet))

    # --- what must hold

    @invariant()
    def qos_2_is_never_delivered_twice(self) -> None:
        for way in ("up", "down"):
            assert max(Counter(self.delivered[way, 2]).values(), default=0) <= 1

    @invariant()
    def the_window_is_kept(self) -> None:
        assert self.server.inflight <= IN_FLIGHT_MAX

    def teardown(self) -> None:
        """Healed: with a connection that holds, everything that is owed arrives, and both sessions come to rest."""
        self.cut(is_back_at_once=True)
        while self.to_client or self.to_server:
            self.server_reads(count=1)
            self.client_reads(count=1, cut_at=1)
        for way in ("up", "down"):
            assert self.delivered[way, 2] == self.published[way, 2]
            assert list(dict.fromkeys(self.delivered[way, 1])) == self.published[way, 1]
        assert self.client.in_flight == 0
        assert self.client.memory.received == frozenset()
        assert self.server.inflight == 0

    # --- the skin of both ends

    def _next_message(self, way: str, qos: int) -> Publish:
        self.number += 1
        payload = str(self.number).encode()
        self.published[way, qos].append(payload)
        return Publish("t", payload, qos)

    def _put(self, wire: deque[bytes], packets: list[Packet] | tuple[Packet, ...]) -> None:
        wire.extend(encode(packet) for packet in packets)

    def _client_takes(self, packet: Packet) -> None:
        duties = self.client.receive(packet)
        for message in duties.deliver:
            self.delivered["down", message.qos].append(message.payload)
        self._put(self.to_server, duties.send)

    def _server_answers(self, packet: Packet) -> list[Packet]:
        match packet:
            case Connect():
                return [Connack(True, 0), *self.server.resume()]
            case Publish(qos=qos, packet_id=packet_id) if packet_id is not None:
                if self.server.accept(packet):
                    self.delivered["up", qos].append(packet.payload)
                return [Puback(packet_id) if qos == 1 else Pubrec(packet_id)]
            case Pubrel(packet_id):
                return [self.server.release(packet_id)]
            case Puback() | Pubrec() | Pubcomp():
                return list(self.server.acknowledge(packet))
        raise AssertionError(packet)


def _taken(wire: deque[bytes], count: int) -> list[bytes]:
    return [wire.popleft() for _ in range(min(count, len(wire)))]


TestJoinedSessions = JoinedSessions.TestCase
TestJoinedSessions.settings = settings(stateful_step_count=40)
