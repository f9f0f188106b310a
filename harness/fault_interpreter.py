"""What a fault plan makes of packets: operations on a byte stream (write, wait, hold, cut), without a socket or a clock.

One `FaultInterpreter` per server counts the events; one `FaultStream` per direction of a connection carries what earlier packets
left behind. Left to others: the plan's words (`harness.faults`), and carrying the operations out (`simulators.network.faulty_traffic`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TypeAlias

from harness.errors import ScenarioError
from harness.faults import (
    Coalesce,
    Corrupt,
    Cut,
    Delay,
    Drop,
    Duplicate,
    FaultPlan,
    Hold,
    Inject,
    PacketEvent,
    PacketFault,
    Reorder,
    Rewrite,
    Split,
)
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Packet, PacketType, Puback, Pubcomp, Publish, Pubrec, Pubrel, Side, Suback
from harness.mqtt.topic_filters import matches


@dataclass(frozen=True, slots=True)
class Write:
    """These bytes go out. `packet` is what they say, where they are exactly one packet that the codec can say."""

    data: bytes
    packet: Packet | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing goes out for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Nothing goes out until `ticket` is among the interpreter's `released`, or for `seconds_max`."""

    ticket: int
    seconds_max: float


@dataclass(frozen=True, slots=True)
class CutNow:
    """The connection ends, after what was written has left."""


Operation: TypeAlias = Write | Wait | WaitFor | CutNow


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault acted: for the record."""

    name: str
    client_id: str
    detail: str


@dataclass(slots=True)
class _Postponed:
    operations: list[Operation]
    packets_left: int


@dataclass(slots=True)
class _Collected:
    packets_left: int
    ticket: int


@dataclass(slots=True)
class FaultStream:
    """One direction of one connection. Fed by `FaultInterpreter.packet`; carries what earlier packets left behind."""

    sent_by: Side
    client_id: str = ""
    connection: int = 0
    postponed: list[_Postponed] = field(default_factory=list)
    collected: _Collected | None = None


class FaultInterpreter:
    """Applies a plan to the packets of all connections of one server. Not thread-safe; no I/O.

    The caller makes a `stream` per direction of a connection, names the client with `connected`, and passes each packet through `packet`.
    `fired` and `released` are for the caller to read and clear: what to record, and which `WaitFor` are over.
    """

    def __init__(self, plan: FaultPlan) -> None:
        self.fired: list[Fired] = []
        self.released: list[int] = []
        self._faults = plan.packets
        self._seen: dict[tuple[int, str], int] = {}  # (place in the plan, client id) -> matching packets so far
        self._connections: dict[str, int] = {}
        self._held: dict[int, tuple[PacketEvent, str]] = {}
        self._topics: dict[tuple[str, Side, int], str] = {}  # (client id, who published, packet id) -> topic of the last PUBLISH
        self._last_ticket = 0

    def connected(self, client_id: str, streams: Iterable[FaultStream]) -> None:
        """A CONNECT with this client id is about to pass: the streams of its connection are the client's from here on."""
        self._connections[client_id] = self._connections.get(client_id, 0) + 1
        for stream in streams:
            stream.client_id = client_id
            stream.connection = self._connections[client_id]

    def packet(self, stream: FaultStream, packet: Packet, raw: bytes) -> list[Operation]:
        """What to do in the packet's stead. `raw` is how it was, or would be, spelled."""
        topic = self._topic_of(stream, packet)
        self._release(stream, packet, topic)
        operations: list[Operation] = [Write(raw, packet)]
        for place, fault in enumerate(self._faults):
            if _is_at(fault.at, stream, packet, topic) and self._is_its_turn(place, fault.at, stream.client_id):
                operations = self._apply(fault, stream, packet, operations)
        return self._with_leftovers(stream, operations)

    def _is_its_turn(self, place: int, event: PacketEvent, client_id: str) -> bool:
        before = self._seen.get((place, client_id), 0)
        self._seen[place, client_id] = before + 1
        return event.skip <= before and (event.times is None or before < event.skip + event.times)

    def _topic_of(self, stream: FaultStream, packet: Packet) -> str | None:
        """The topic of a PUBLISH, or of the PUBLISH that a packet acknowledges; None where there is none, or it was not seen."""
        if isinstance(packet, Publish):
            if packet.packet_id is not None:
                self._topics[stream.client_id, stream.sent_by, packet.packet_id] = packet.topic
            return packet.topic
        if isinstance(packet, Pubrel):
            return self._topics.get((stream.client_id, stream.sent_by, packet.packet_id))
        if isinstance(packet, Puback | Pubrec | Pubcomp):
            publisher: Side = "client" if stream.sent_by == "server" else "server"
            return self._topics.get((stream.client_id, publisher, packet.packet_id))
        return None

    def _release(self, stream: FaultStream, packet: Packet, topic: str | None) -> None:
        for ticket, (until, client_id) in list(self._held.items()):
            if client_id == stream.client_id and _is_at(until, stream, packet, topic):
                del self._held[ticket]
                self.released.append(ticket)

    def _apply(self, fault: PacketFault, stream: FaultStream, packet: Packet, operations: list[Operation]) -> list[Operation]:
        name = packet.packet_type.name
        packet_id = getattr(packet, "packet_id", None)
        where = f"{name} {packet_id}" if packet_id else name
        self.fired.append(Fired(fault.name, stream.client_id, f"{fault.action.do} at {where} of the {stream.sent_by}"))
        match fault.action:
            case Delay(seconds=seconds):
                return [Wait(seconds), *operations]
            case Hold(until=until, seconds_max=seconds_max):
                ticket = self._ticket()
                self._held[ticket] = (until, stream.client_id)
                return [WaitFor(ticket, seconds_max), *operations]
            case Drop():
                return []
            case Reorder(behind=behind):
                # One more than asked for: it is counted down for this packet too.
                stream.postponed.append(_Postponed(operations, behind + 1))
                return []
            case Coalesce(packets=packets, seconds_max=seconds_max):
                return self._collect(stream, packets, seconds_max, operations)
            case Cut(at_byte=None, when="before"):
                return [CutNow()]
            case Cut(at_byte=None):
                return [*operations, CutNow()]
            case Cut(at_byte=at_byte):
                return [Write(_joined(operations)[:at_byte]), CutNow()]
            case Inject(raw_hex=raw_hex, when=when):
                injected = Write(bytes.fromhex(raw_hex))
                return [injected, *operations] if when == "before" else [*operations, injected]
            case Duplicate() | Split() | Corrupt() | Rewrite() as action:
                return [changed for operation in operations for changed in _changed(action, operation)]

    def _collect(self, stream: FaultStream, packets: int, seconds_max: float, operations: list[Operation]) -> list[Operation]:
        ticket = self._ticket()
        stream.collected = _Collected(packets, ticket)
        # The wait stands before the segment: it ends when the last packet has come.
        return [WaitFor(ticket, seconds_max), *operations]

    def _with_leftovers(self, stream: FaultStream, operations: list[Operation]) -> list[Operation]:
        if stream.collected is not None:
            stream.collected.packets_left -= 1
            if stream.collected.packets_left == 0:
                self.released.append(stream.collected.ticket)
                stream.collected = None
        for postponed in stream.postponed:
            postponed.packets_left -= 1
            if postponed.packets_left == 0:
                operations = [*operations, *postponed.operations]
        stream.postponed = [postponed for postponed in stream.postponed if postponed.packets_left > 0]
        return operations

    def _ticket(self) -> int:
        self._last_ticket += 1
        return self._last_ticket


def _is_at(event: PacketEvent, stream: FaultStream, packet: Packet, topic: str | None) -> bool:
    if event.packet is not None and PacketType[event.packet] is not packet.packet_type:
        return False
    if event.sent_by not in (None, stream.sent_by) or event.connection not in (None, stream.connection):
        return False
    if not fnmatchcase(stream.client_id, event.client_id):
        return False
    if event.topic is not None and (topic is None or not matches(event.topic, topic)):
        return False
    if event.qos is None and event.dup is None:
        return True
    return isinstance(packet, Publish) and event.qos in (None, packet.qos) and event.dup in (None, packet.dup)


def _joined(operations: list[Operation]) -> bytes:
    return b"".join(operation.data for operation in operations if isinstance(operation, Write))


def _changed(action: Duplicate | Split | Corrupt | Rewrite, operation: Operation) -> list[Operation]:
    """What an action makes of one write; waits and cuts stay as they are."""
    if not isinstance(operation, Write):
        return [operation]
    match action:
        case Duplicate(copies=copies, dup=dup, pause_s=pause_s):
            pause: list[Operation] = [Wait(pause_s)] if pause_s else []
            return [operation, *((*pause, _with_dup(operation, dup)) * copies)]
        case Split(at=at, pause_s=pause_s):
            return _pieces(operation.data, at or tuple(range(1, len(operation.data))), pause_s)
        case Corrupt(at=at, xor=xor):
            if not -len(operation.data) <= at < len(operation.data):
                return [operation]
            data = bytearray(operation.data)
            data[at] ^= xor
            return [Write(bytes(data))]
        case Rewrite():
            return [_rewritten(action, operation)]


def _with_dup(write: Write, dup: bool | None) -> Write:
    if dup is None or not isinstance(write.packet, Publish) or write.packet.qos == 0:
        return write
    packet = replace(write.packet, dup=dup)
    return Write(encode(packet), packet)


def _pieces(data: bytes, at: tuple[int, ...], pause_s: float) -> list[Operation]:
    ends = [*sorted({end for end in at if 0 < end < len(data)}), len(data)]
    pieces: list[Operation] = []
    start = 0
    for end in ends:
        if start:
            # Also of no length: it lets the former piece leave as a segment of its own.
            pieces.append(Wait(pause_s))
        pieces.append(Write(data[start:end]))
        start = end
    return pieces


def _rewritten(rewrite: Rewrite, write: Write) -> Write:
    packet = write.packet
    match packet:
        case Connack():
            present = packet.session_present if rewrite.session_present is None else rewrite.session_present
            code = packet.return_code if rewrite.return_code is None else rewrite.return_code
            packet = Connack(present and code == 0, code)
        case Suback() if rewrite.return_codes is not None:
            packet = replace(packet, return_codes=rewrite.return_codes)
        case Publish():
            packet = _rewritten_publish(rewrite, packet)
        case _:
            raise ScenarioError("a rewrite needs a CONNACK, a SUBACK with `return_codes`, or a PUBLISH")
    return Write(encode(packet), packet)


def _rewritten_publish(rewrite: Rewrite, packet: Publish) -> Publish:
    qos = packet.qos if rewrite.qos is None else rewrite.qos
    return Publish(
        packet.topic,
        packet.payload if rewrite.payload is None else rewrite.payload.encode(),
        qos,
        packet.retain if rewrite.retain is None else rewrite.retain,
        qos > 0 and (packet.dup if rewrite.dup is None else rewrite.dup),
        None if qos == 0 else packet.packet_id or 1,
    )
