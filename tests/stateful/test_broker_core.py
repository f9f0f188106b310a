"""The broker's core against a model of a few dozen lines: clients connect, subscribe, publish, lose packets and connections, come back.

The model knows what each client is owed: per message, the QoS at which it must arrive. The network may lose a connection with everything
that was on its way in either direction, at any moment; packets of one direction keep their order. The clients are honest ones, on the
client core of `harness.mqtt`.
"""

from collections import Counter, deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from harness.mqtt.client_session import ClientSession, Phase
from harness.mqtt.packets import Connack, Packet, Publish
from harness.mqtt.topic_filters import matches
from simulators.broker.core import BrokerCore
from simulators.broker.links import Close, Link
from simulators.broker.port import AnyoneMayDoAnything, BrokerLimits

TOPICS = ("a", "a/b", "a/c")
FILTERS = ("a", "a/b", "a/+", "#", "a/#")
WINDOW = 3


class Client:
    """One honest client, its connection, and what the model says of it."""

    def __init__(self, name: str, is_persistent: bool) -> None:
        self.name = name
        self.session = ClientSession(name, clean_session=not is_persistent, keep_alive_s=0)
        self.is_persistent = is_persistent
        self.link: Link | None = None
        self.to_broker: deque[Packet] = deque()
        self.to_client: deque[Packet] = deque()
        self.received: list[Publish] = []
        self.filters: dict[str, int] = {}  # the model: what the broker has granted
        self.owed: list[tuple[bytes, str, int]] = []  # the model: (payload, topic, QoS), in the order of acceptance
        self.maybe: set[bytes] = set()  # of QoS 0, or lost with a clean session: may arrive or not
        self.written: dict[bytes, int] = {}


class BrokerMachine(RuleBasedStateMachine):
    clients = Bundle("clients")

    @initialize()
    def start(self) -> None:
        self.core = BrokerCore(AnyoneMayDoAnything(), BrokerLimits(inflight_max=WINDOW))
        self.by_link: dict[Link, Client] = {}
        self.all: list[Client] = []
        self.accepted: list[tuple[str, bytes, str, int]] = []  # (publisher, payload, topic, QoS), by the broker's word
        self.number = 0

    # --- the network -----------------------------------------------------------------------------------------------------------------

    def take_outputs(self) -> None:
        for link, order in self.core.take_outputs():
            client = self.by_link.get(link)
            assert client is not None
            assert not isinstance(order, Close), f"an honest client was thrown out: {order}"
            self.check_packet(client, order)
            client.to_client.append(order)

    def check_packet(self, client: Client, packet: Packet) -> None:
        if isinstance(packet, Publish):
            assert not packet.retain
            assert packet.qos == 0 or packet.packet_id
            assert not (packet.dup and packet.qos == 0)

    def to_the_broker(self, client: Client) -> None:
        packet = client.to_broker.popleft()
        if isinstance(packet, Publish):
            self.note_publish(client, packet)
        assert client.link is not None
        self.core.received(client.link, packet, 0.0)
        self.take_outputs()

    def note_publish(self, publisher: Client, message: Publish) -> None:
        """The model: a message that the broker sees for the first time is owed to all that subscribe now."""
        is_repeated = message.qos == 2 and any(message.payload == payload for _, payload, _, _ in self.accepted)
        if not is_repeated:
            self.accepted.append((publisher.name, message.payload, message.topic, message.qos))
            self.owe(message.topic, message.payload, message.qos)

    def owe(self, topic: str, payload: bytes, qos: int) -> None:
        for client in self.all:
            granted = [level for topic_filter, level in client.filters.items() if matches(topic_filter, topic)]
            if granted:
                effective = min(qos, max(granted))
                if effective == 0:
                    client.maybe.add(payload)
                else:
                    client.owed.append((payload, topic, effective))

    def to_the_client(self, client: Client) -> None:
        packet = client.to_client.popleft()
        duties = client.session.receive(packet)
        client.received += duties.deliver
        client.to_broker.extend(duties.send)
        assert not isinstance(packet, Connack) or packet.return_code == 0

    def cut(self, client: Client) -> None:
        assert client.link is not None
        self.core.lost(client.link, 0.0)
        self.take_outputs()
        self.gone(client)

    def gone(self, client: Client) -> None:
        if client.link is not None:
            del self.by_link[client.link]
        client.link = None
        client.to_broker.clear()
        client.to_client.clear()
        client.session.connection_lost()
        if not client.is_persistent:
            client.maybe |= {payload for payload, _, _ in client.owed}
            client.owed.clear()
            client.filters.clear()

    # --- rules -----------------------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.all) < 4)
    @rule(
        target=clients,
        is_persistent=st.sampled_from((True, True, False)),
        topic_filter=st.sampled_from(FILTERS),
        qos=st.sampled_from((2, 1, 0)),
    )
    def arrive(self, is_persistent: bool, topic_filter: str, qos: int) -> Client:
        client = Client(f"dev-{len(self.all)}", is_persistent)
        self.all.append(client)
        self.connect(client)
        self.subscribe(client, topic_filter, qos)
        return client

    def connect(self, client: Client) -> None:
        link = Link()
        self.core.opened(link, 0.0)
        client.link = link
        self.by_link[link] = client
        client.to_broker.append(client.session.connect_packet())
        self.to_the_broker(client)
        self.to_the_client(client)

    @rule(client=clients, topic_filter=st.sampled_from(FILTERS), qos=st.sampled_from((2, 1, 0)))
    def subscribe(self, client: Client, topic_filter: str, qos: int) -> None:
        if client.session.phase is Phase.CONNECTED:
            self.drain(client)
            client.to_broker.append(client.session.subscribe([(topic_filter, qos)]))
            self.drain(client)
            client.filters[topic_filter] = qos

    @rule(client=clients, topic_filter=st.sampled_from(FILTERS))
    def unsubscribe(self, client: Client, topic_filter: str) -> None:
        if client.session.phase is Phase.CONNECTED:
            self.drain(client)
            client.to_broker.append(client.session.unsubscribe([topic_filter]))
            self.drain(client)
            client.filters.pop(topic_filter, None)

    def drain(self, client: Client) -> None:
        """Everything of this client's connection arrives; what that makes for others stays on its way."""
        while client.to_broker or client.to_client:
            if client.to_broker:
                self.to_the_broker(client)
            else:
                self.to_the_client(client)

    @rule(client=clients, topic=st.sampled_from(TOPICS), qos=st.sampled_from((2, 1, 0)))
    def publish(self, client: Client, topic: str, qos: int) -> None:
        if client.session.phase is Phase.CONNECTED:
            self.number += 1
            payload = b"%d" % self.number
            client.written[payload] = qos
            client.to_broker.extend(client.session.publish(topic, payload, qos)[1])

    @rule(topic=st.sampled_from(TOPICS), qos=st.sampled_from((2, 1, 0)), count=st.integers(1, 3))
    def publish_from_the_platform(self, topic: str, qos: int, count: int) -> None:
        for _ in range(count):
            self.publish_one_from_the_platform(topic, qos)

    def publish_one_from_the_platform(self, topic: str, qos: int) -> None:
        self.number += 1
        payload = b"%d" % self.number
        self.accepted.append(("platform", payload, topic, qos))
        self.owe(topic, payload, qos)
        self.core.publish(topic, payload, qos)
        self.take_outputs()

    @rule(client=clients, packets=st.integers(1, 4))
    def packets_reach_the_broker(self, client: Client, packets: int) -> None:
        for _ in range(min(packets, len(client.to_broker))):
            self.to_the_broker(client)

    @rule(client=clients, packets=st.integers(1, 4))
    def packets_reach_the_client(self, client: Client, packets: int) -> None:
        for _ in range(min(packets, len(client.to_client))):
            self.to_the_client(client)

    @rule(client=clients)
    def lose_the_connection(self, client: Client) -> None:
        if client.link is not None:
            self.cut(client)

    @rule(client=clients)
    def come_back(self, client: Client) -> None:
        if client.link is None:
            self.connect(client)

    @rule(client=clients)
    def duplicate_what_is_on_its_way(self, client: Client) -> None:
        # As a retransmission with the same id would: legal for QoS 2 until PUBREL, and the broker must see through it.
        if client.to_broker and isinstance(client.to_broker[-1], Publish) and client.to_broker[-1].qos == 2:
            first = client.to_broker[-1]
            client.to_broker.append(Publish(first.topic, first.payload, 2, first.retain, True, first.packet_id))

    # --- what must hold --------------------------------------------------------------------------------------------------------------

    @invariant()
    def qos_2_is_never_delivered_twice(self) -> None:
        published = {payload: qos for _, payload, _, qos in self.accepted}
        for client in self.all:
            counts = Counter(message.payload for message in client.received if message.qos == 2)
            assert all(count == 1 for count in counts.values()), counts
            assert all(published[message.payload] >= message.qos for message in client.received)

    @invariant()
    def packet_ids_are_unique_and_the_window_is_kept(self) -> None:
        for client in self.all:
            session = self.core.session_of(client.name)
            if session is not None:
                assert session.inflight <= WINDOW
        for client in self.all:
            new = [packet.packet_id for packet in client.to_client if isinstance(packet, Publish) and packet.qos and not packet.dup]
            assert len(new) == len(set(new))

    @rule(client=clients)
    def everything_owed_arrives_in_order(self, client: Client) -> None:
        """Liveness: with the network healed, a client that stays gets all that it is owed, QoS 2 exactly once, in order per topic."""
        if client.link is None:
            self.connect(client)
        self.drain(client)
        if not client.is_persistent:
            return
        counts = Counter(message.payload for message in client.received)
        for payload, _, qos in client.owed:
            assert counts[payload] == 1 if qos == 2 else counts[payload] >= 1, (payload, qos)
        self.check_order(client)
        assert set(counts) <= {payload for payload, _, _ in client.owed} | client.maybe

    def check_order(self, client: Client) -> None:
        for topic in TOPICS:
            for qos in (1, 2):
                # First copies: a publisher may repeat QoS 1, and so may the broker.
                expected = list(dict.fromkeys(payload for payload, owed_topic, level in client.owed if (owed_topic, level) == (topic, qos)))
                arrived = dict.fromkeys(message.payload for message in client.received if (message.topic, message.qos) == (topic, qos))
                assert [payload for payload in arrived if payload in set(expected)] == expected


BrokerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestBrokerCore = BrokerMachine.TestCase
