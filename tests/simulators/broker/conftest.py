"""What the broker's tests share: the core driven by hand, and an embedded broker on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from harness.mqtt.packets import Connack, Connect, Packet, Subscribe
from simulators.broker.core import BrokerCore
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.links import Close, Link
from simulators.broker.port import AnyoneMayDoAnything, BrokerLimits, BrokerSettings, ClosedBy
from simulators.broker.probe import Probe


class Bench:
    """A core, a clock that is a number, and what each link was sent."""

    def __init__(self, limits: BrokerLimits | None = None, directory=None, journal=None) -> None:
        self.now_s = 100.0
        self.core = BrokerCore(directory or AnyoneMayDoAnything(), limits or BrokerLimits(), journal=journal)
        self.sent: dict[Link, list[Packet]] = {}
        self.closed: dict[Link, Close] = {}

    def link(self) -> Link:
        link = Link()
        self.core.opened(link, self.now_s)
        self.sent[link] = []
        return link

    def collect(self) -> None:
        for link, order in self.core.take_outputs():
            if isinstance(order, Close):
                self.closed[link] = order
            else:
                self.sent[link].append(order)

    def say(self, link: Link, *packets: Packet) -> list[Packet]:
        """Sends packets from the client; what it hears from then on."""
        self.collect()
        already = len(self.sent[link])
        for packet in packets:
            self.core.received(link, packet, self.now_s)
        self.collect()
        return self.sent[link][already:]

    def connect(self, client_id: str = "dev-1", *filters: tuple[str, int], clean_session: bool = True, **fields) -> Link:
        """A client that is connected and has subscribed; what it heard so far is forgotten."""
        link = self.link()
        assert self.say(link, Connect(client_id, clean_session, **fields))[0].return_code == 0
        if filters:
            self.say(link, Subscribe(1, filters))
        self.sent[link].clear()
        return link

    def connack(self, client_id: str = "dev-1", *, clean_session: bool = True, **fields) -> tuple[Link, Connack]:
        link = self.link()
        return link, self.say(link, Connect(client_id, clean_session, **fields))[0]

    def publish(self, topic: str, payload: bytes = b"{}", qos: int = 2, retain: bool = False) -> None:
        """A message from the platform."""
        self.core.publish(topic, payload, qos, retain)
        self.collect()

    def lose(self, link: Link) -> None:
        """The network fails."""
        self.core.lost(link, self.now_s)
        self.collect()

    def wait(self, seconds: float) -> None:
        """Time passes, with the core called at each of its deadlines."""
        ends_at_s = self.now_s + seconds
        while (at_s := self.core.next_deadline_s()) is not None and at_s <= ends_at_s:
            self.now_s = at_s
            self.core.expire(at_s)
        self.now_s = ends_at_s
        self.collect()

    def heard(self, link: Link) -> list[Packet]:
        """What a link was sent since it was asked last."""
        self.collect()
        packets = list(self.sent[link])
        self.sent[link].clear()
        return packets


@dataclass
class Notes:
    """An observer that writes everything down."""

    packets: list[tuple[str, str, str, int]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    malformations: list[str] = field(default_factory=list)
    closings: list[tuple[str, ClosedBy, str]] = field(default_factory=list)
    openings: list[int] = field(default_factory=list)

    def opened(self, connection, peer):
        self.openings.append(connection)

    def packet(self, connection, client_id, direction, packet, size_bytes):
        self.packets.append((client_id, direction.value, packet.packet_type.name, size_bytes))

    def malformed(self, connection, client_id, error):
        self.malformations.append(error.statement)

    def fault(self, connection, client_id, name, detail):
        self.faults.append((client_id, name))

    def closed(self, connection, client_id, closed_by, reason):
        self.closings.append((client_id, closed_by, reason))


@pytest.fixture
def bench():
    return Bench()


@pytest.fixture
def make_bench():
    return Bench


@pytest.fixture
def embedded():
    """A context manager around a running embedded broker: `async with embedded(...) as broker`."""

    @asynccontextmanager
    async def running(directory=None, *, observer=None, **settings) -> AsyncIterator[EmbeddedBroker]:
        broker = EmbeddedBroker(BrokerSettings(**settings), directory or AnyoneMayDoAnything(), observer=observer)
        await broker.start()
        try:
            yield broker
        finally:
            await broker.stop()

    return running


@pytest.fixture
def until():
    """Lets the event loop run until something is true; fails after ten seconds."""

    async def wait(is_true) -> None:
        async with asyncio.timeout(10):
            while not is_true():  # what is awaited is the state of others
                await asyncio.sleep(0)

    return wait


@pytest.fixture
def device():
    """Connects a device to a broker and subscribes to its commands: `probe = await device(broker, "dev-1")`."""

    async def connected(broker, client_id: str = "dev-1", *, clean_session: bool = True, **fields) -> Probe:
        probe = await Probe.open(broker.mqtt_url)
        assert (await probe.connect(Connect(client_id, clean_session, **fields))).return_code == 0
        assert await probe.subscribe((f"{client_id}/control/+", 2)) == (2,)
        return probe

    return connected


@pytest.fixture
def notes():
    return Notes()
