"""A fault plan between the embedded broker's core and its connections.

Incoming packets pass the plan before the core sees them, outgoing ones before the transport does. What comes out of the incoming side are
bytes again, because a fault may have spoilt them: they are decoded a second time. All this exists only while a plan is at work.
"""

import asyncio
from typing import Generic, Protocol, TypeVar

from harness.errors import RemoteWireError
from harness.fault_interpreter import Fired
from harness.faults import FaultPlan
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet
from simulators.broker.links import Link
from simulators.network.faulty_traffic import FaultyLine, FaultyTraffic

L = TypeVar("L", bound=Link)
L_contra = TypeVar("L_contra", contravariant=True)


class FaultSubject(Protocol[L_contra]):
    """The broker, as the plan sees it."""

    def passed(self, link: L_contra, packets: list[Packet], error: RemoteWireError | None) -> None: ...

    def fault_fired(self, link: L_contra, fired: Fired) -> None: ...

    def fault_cut(self, link: L_contra) -> None: ...

    def fault_write(self, link: L_contra, data: bytes) -> None: ...

    def fault_sent(self, link: L_contra, packet: Packet) -> None: ...

    def fault_end(self, link: L_contra) -> None: ...


class _Incoming(Generic[L]):
    """Decodes what the plan lets through to the core."""

    def __init__(self, link: L, subject: FaultSubject[L]) -> None:
        self._link = link
        self._subject = subject
        self._decoder = Decoder()

    def write(self, data: bytes) -> None:
        if self._decoder.error is not None:
            return
        try:
            packets = self._decoder.feed(data)
        except RemoteWireError:
            packets = []
        self._subject.passed(self._link, packets, self._decoder.error)


class _Outgoing(Generic[L]):
    """Passes bytes on, and tells of each whole packet in them; what the plan has spoilt is no packet any more."""

    def __init__(self, link: L, subject: FaultSubject[L]) -> None:
        self._link = link
        self._subject = subject
        self._decoder = Decoder()

    def write(self, data: bytes) -> None:
        self._subject.fault_write(self._link, data)
        if self._decoder.error is not None:
            return
        try:
            packets = self._decoder.feed(data)
        except RemoteWireError:
            return
        for packet in packets:
            self._subject.fault_sent(self._link, packet)


class LinkFaults(Generic[L]):
    """One plan at work on all links of a broker."""

    def __init__(self, plan: FaultPlan, loop: asyncio.AbstractEventLoop, subject: FaultSubject[L]) -> None:
        self._traffic = FaultyTraffic(plan, loop, self._fired)
        self._subject = subject
        self._pairs: dict[L, tuple[FaultyLine, FaultyLine]] = {}
        self._links: dict[FaultyLine, L] = {}

    def incoming(self, link: L, packet: Packet) -> None:
        """The client has sent a packet."""
        pair = self._pair(link)
        self._traffic.packet(pair[0], pair, packet, encode(packet))

    def outgoing(self, link: L, packet: Packet, data: bytes) -> None:
        """The broker sends a packet, which is spelled `data`."""
        pair = self._pair(link)
        self._traffic.packet(pair[1], pair, packet, data)

    def ending(self, link: L) -> None:
        """The broker ends the connection: after all that was sent before."""
        self._pair(link)[1].then(lambda: self._subject.fault_end(link))

    def closed(self, link: L) -> None:
        """The connection is gone."""
        pair = self._pairs.pop(link, None)
        if pair:
            self._traffic.closed(pair)
            for line in pair:
                del self._links[line]

    def end(self) -> None:
        """The plan is over: what it still held back goes on its way."""
        for link, pair in list(self._pairs.items()):
            for line in pair:
                line.finish()
            self.closed(link)

    def _pair(self, link: L) -> tuple[FaultyLine, FaultyLine]:
        pair = self._pairs.get(link)
        if pair is None:
            incoming, outgoing = _Incoming(link, self._subject), _Outgoing(link, self._subject)
            pair = (
                self._traffic.line("client", incoming.write, lambda: self._subject.fault_cut(link)),
                self._traffic.line("server", outgoing.write, lambda: self._subject.fault_cut(link)),
            )
            self._pairs[link] = pair
            for line in pair:
                self._links[line] = link
            if link.client_id:
                self._traffic.connected(link.client_id, pair)
        return pair

    def _fired(self, line: FaultyLine, fired: Fired) -> None:
        self._subject.fault_fired(self._links[line], fired)
