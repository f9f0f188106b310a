"""The client's end of a session: what a device remembers of its broker, across connections.

The session decides, the skin moves bytes: it encodes and writes each packet that a `Duties` asks for, one by one, so that a
bench can record, delay, hold back or cut at any packet. A duty that was not carried out needs no undoing: the session then
behaves as if the packet had been lost with the connection, and the redelivery after the next CONNACK repairs it.

One connection::

    write(session.connect_packet())
    for each packet read:  duties = session.receive(packet); write all of duties.send; hand duties.deliver to the application
    at its end, however it came:  session.connection_lost()

Redelivery follows CONNACK: PUBREL for what the server has received, PUBLISH with DUP for what it perhaps has, and then what
was published while there was no connection. If the server says that it has no session (session present 0), what was in
flight is forgotten, as both ends must begin anew; its ids are in `Duties.dropped`.   Source: 3.1.2.4, 3.2.2.2, 4.4, 4.6.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from harness.errors import LocalWireError, RemoteWireError
from harness.mqtt.decoding import VIOLATION
from harness.mqtt.encoding import encode
from harness.mqtt.exchange import Answer, Outcome, ReceiverState, SenderState, receiver_step, sender_step
from harness.mqtt.packet_ids import PacketIds
from harness.mqtt.packets import (
    Connack,
    Connect,
    ConnectReturnCode,
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

R = TypeVar("R", Subscribe, Unsubscribe)

Reply: TypeAlias = Connack | Suback | Unsuback | Pingresp
"""The packets that answer a request of the client: CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ."""


@dataclass(frozen=True, slots=True)
class Duties:
    """What a received packet obliges the skin to do; all in order.

    `send`: packets to write. `deliver`: messages for the application. `completed`: packet ids of own messages for which the
    server has taken responsibility. `reply`: the packet itself, if it answers a request. `dropped`: packet ids of own
    messages that the server's loss of the session took along. `stray`: an answer to a packet id that was not in use.
    """

    send: tuple[Packet, ...] = ()
    deliver: tuple[Publish, ...] = ()
    completed: tuple[int, ...] = ()
    reply: Reply | None = None
    dropped: tuple[int, ...] = ()
    stray: tuple[Packet, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientMemory:
    """The session state that outlives a connection, as a value: for a device that keeps it over a reboot.   Source: 3.1.2.4.

    `outgoing`: own messages of QoS 1 and 2 that await their first answer, in order, DUP set on those that were sent before.
    `released`: packet ids that await PUBCOMP, in the order of their PUBREC. `received`: packet ids that await PUBREL.
    """

    outgoing: tuple[Publish, ...] = ()
    released: tuple[int, ...] = ()
    received: frozenset[int] = frozenset()


class Phase(Enum):
    """Where the current connection is."""

    OFFLINE = "no connection"
    CONNECTING = "CONNECT sent"
    CONNECTED = "CONNACK received"


class ClientSession:
    """One client id's session, seen from the client."""

    __slots__ = ("_connect", "_outgoing", "_packet_ids", "_phase", "_pings", "_received", "_released", "_requests")

    def __init__(
        self,
        client_id: str,
        *,
        clean_session: bool = True,
        keep_alive_s: int = 60,
        username: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
        memory: ClientMemory | None = None,
    ) -> None:
        memory = memory or ClientMemory()
        self._connect = Connect(client_id, clean_session, keep_alive_s, username, password, will)
        self._phase = Phase.OFFLINE
        # The next PUBLISH to send for each id; DUP is set on it when it has been sent.
        self._outgoing = {_identified(message): message for message in memory.outgoing}
        self._released = dict.fromkeys(memory.released)
        self._received = set(memory.received)
        self._packet_ids = PacketIds((*self._outgoing, *self._released))
        self._requests: dict[int, Subscribe | Unsubscribe] = {}
        self._pings = 0

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def client_id(self) -> str:
        return self._connect.client_id

    @property
    def in_flight(self) -> int:
        """How many own messages of QoS 1 and 2 are not completely acknowledged."""
        return len(self._outgoing) + len(self._released)

    @property
    def memory(self) -> ClientMemory:
        return ClientMemory(tuple(self._outgoing.values()), tuple(self._released), frozenset(self._received))

    def connect_packet(self) -> Connect:
        """The CONNECT that opens a new connection; whatever connection there was is over."""
        self.connection_lost()
        self._phase = Phase.CONNECTING
        return self._connect

    def connection_lost(self) -> None:
        """The connection is over, for whatever reason. Requests without an answer are forgotten, messages are not."""
        self._phase = Phase.OFFLINE
        self._pings = 0
        for packet_id in self._requests:
            self._packet_ids.release(packet_id)
        self._requests.clear()

    def disconnect(self) -> Disconnect:
        """The DISCONNECT that ends the connection on purpose."""
        self._require_connected("DISCONNECT")
        self.connection_lost()
        return Disconnect()

    def publish(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> tuple[int | None, tuple[Packet, ...]]:
        """The packet id of a new message (None with QoS 0) and the packets to send for it now.

        Without a connection nothing is sent now; the message follows the next CONNACK. Raises LocalWireError for what 3.1.1
        forbids and for QoS 0 without a connection, which nobody could ever deliver; PacketIdsExhausted.
        """
        if qos == 0:
            message = Publish(topic, payload, 0, retain)
            encode(message)
            self._require_connected("PUBLISH of QoS 0")
            return None, (message,)
        encode(Publish(topic, payload, qos, retain, packet_id=1))
        packet_id = self._packet_ids.take()
        message = Publish(topic, payload, qos, retain, packet_id=packet_id)
        if self._phase is not Phase.CONNECTED:
            self._outgoing[packet_id] = message
            return packet_id, ()
        self._outgoing[packet_id] = replace(message, dup=True)
        return packet_id, (message,)

    def subscribe(self, filters: Iterable[tuple[str, int]]) -> Subscribe:
        """The SUBSCRIBE for (topic filter, requested QoS) pairs. Raises LocalWireError, PacketIdsExhausted."""
        wanted = tuple(filters)
        return self._request(lambda packet_id: Subscribe(packet_id, wanted))

    def unsubscribe(self, filters: Iterable[str]) -> Unsubscribe:
        """The UNSUBSCRIBE for topic filters. Raises LocalWireError, PacketIdsExhausted."""
        unwanted = tuple(filters)
        return self._request(lambda packet_id: Unsubscribe(packet_id, unwanted))

    def ping(self) -> Pingreq:
        """A PINGREQ: due when nothing else was sent for the keep-alive time.   Source: MQTT-3.1.2-23."""
        self._require_connected("PINGREQ")
        self._pings += 1
        return Pingreq()

    def receive(self, packet: Packet) -> Duties:
        """What follows from a packet of the server. Raises RemoteWireError when the server may not send it now."""
        if self._phase is Phase.OFFLINE:
            raise LocalWireError(f"{packet} was handed to a session without a connection")
        if self._phase is Phase.CONNECTING and type(packet) is not Connack:
            raise _refusal(packet, "before CONNACK", "MQTT-3.2.0-1")
        take = _RECEIVERS.get(type(packet))
        if take is None:
            raise _refusal(packet, "only a client sends this", VIOLATION)
        return take(self, packet)

    def _request(self, make: Callable[[int], R]) -> R:
        encode(make(1))
        self._require_connected("a request")
        packet_id = self._packet_ids.take()
        self._requests[packet_id] = request = make(packet_id)
        return request

    def _require_connected(self, what: str) -> None:
        if self._phase is not Phase.CONNECTED:
            raise LocalWireError(f"{what} in phase {self._phase.name}: allowed in CONNECTED")

    def _connack(self, connack: Connack) -> Duties:
        if self._phase is Phase.CONNECTED:
            raise _refusal(connack, "a second one", VIOLATION)
        if connack.session_present and self._connect.clean_session:
            raise _refusal(connack, "a session is present, and CONNECT asked for a clean one", "MQTT-3.2.2-1")
        if connack.return_code != ConnectReturnCode.ACCEPTED:
            self.connection_lost()
            return Duties(reply=connack)
        self._phase = Phase.CONNECTED
        dropped = () if connack.session_present else self._forget()
        return Duties(send=self._redelivery(), reply=connack, dropped=dropped)

    def _forget(self) -> tuple[int, ...]:
        """Drop what belongs to a session that the server does not have; messages that were never sent belong to the new one."""
        dropped = (*self._released, *(packet_id for packet_id, message in self._outgoing.items() if message.dup))
        for packet_id in dropped:
            self._outgoing.pop(packet_id, None)
            self._packet_ids.release(packet_id)
        self._released.clear()
        self._received.clear()
        return dropped

    def _redelivery(self) -> tuple[Packet, ...]:
        """What a new connection begins with, in the order of MQTT-4.6.0-1 and MQTT-4.6.0-4."""
        messages = tuple(self._outgoing.values())
        for message in messages:
            if not message.dup:
                self._outgoing[_identified(message)] = replace(message, dup=True)
        return (*map(Pubrel, self._released), *messages)

    def _publish_received(self, message: Publish) -> Duties:
        if message.qos == 0:
            return Duties(deliver=(message,))
        return self._receiver(message, _identified(message), (message,))

    def _pubrel(self, packet: Pubrel) -> Duties:
        return self._receiver(packet, packet.packet_id, ())

    def _receiver(self, packet: Publish | Pubrel, packet_id: int, message: tuple[Publish, ...]) -> Duties:
        state = ReceiverState.AWAITS_PUBREL if packet_id in self._received else ReceiverState.FREE
        step = receiver_step(state, packet)
        if step.next_state is ReceiverState.AWAITS_PUBREL:
            self._received.add(packet_id)
        else:
            self._received.discard(packet_id)
        return Duties(send=(step.send(packet_id),), deliver=message if step.is_delivered else ())

    def _answer(self, packet: Answer) -> Duties:
        packet_id = packet.packet_id
        step = sender_step(self._sender_state(packet_id), packet)
        send = () if step.send is None else (step.send(packet_id),)
        if step.outcome is Outcome.STRAY:
            return Duties(send=send, stray=(packet,))
        self._outgoing.pop(packet_id, None)
        if step.outcome is Outcome.CONTINUES:
            self._released[packet_id] = None
            return Duties(send=send)
        self._released.pop(packet_id, None)
        self._packet_ids.release(packet_id)
        return Duties(completed=(packet_id,))

    def _sender_state(self, packet_id: int) -> SenderState:
        if packet_id in self._released:
            return SenderState.AWAITS_PUBCOMP
        message = self._outgoing.get(packet_id)
        if message is None:
            return SenderState.FREE
        return SenderState.AWAITS_PUBACK if message.qos == 1 else SenderState.AWAITS_PUBREC

    def _suback(self, suback: Suback) -> Duties:
        request = self._requests.get(suback.packet_id)
        if not isinstance(request, Subscribe):
            raise _refusal(suback, "no SUBSCRIBE with this packet id awaits it", "MQTT-3.8.4-2")
        if len(suback.return_codes) != len(request.filters):
            raise _refusal(suback, f"{len(request.filters)} topic filters were asked for", "MQTT-3.8.4-5")
        return self._replied(suback)

    def _unsuback(self, unsuback: Unsuback) -> Duties:
        if not isinstance(self._requests.get(unsuback.packet_id), Unsubscribe):
            raise _refusal(unsuback, "no UNSUBSCRIBE with this packet id awaits it", "MQTT-3.10.4-4")
        return self._replied(unsuback)

    def _replied(self, reply: Suback | Unsuback) -> Duties:
        del self._requests[reply.packet_id]
        self._packet_ids.release(reply.packet_id)
        return Duties(reply=reply)

    def _pingresp(self, pingresp: Pingresp) -> Duties:
        if self._pings == 0:
            raise _refusal(pingresp, "no PINGREQ awaits it", VIOLATION)
        self._pings -= 1
        return Duties(reply=pingresp)


def _identified(message: Publish) -> int:
    """The packet id of a message of QoS 1 or 2, which has one."""
    assert message.packet_id is not None
    return message.packet_id


def _refusal(packet: Packet, why: str, statement: str) -> RemoteWireError:
    return RemoteWireError(f"{packet} from the server: {why}", raw=encode(packet), statement=statement)


# Each method takes the type that is its key; a dict cannot say so to the type checker.
_RECEIVERS: dict[type[Packet], Callable[[ClientSession, Any], Duties]] = {
    Connack: ClientSession._connack,
    Publish: ClientSession._publish_received,
    Puback: ClientSession._answer,
    Pubrec: ClientSession._answer,
    Pubrel: ClientSession._pubrel,
    Pubcomp: ClientSession._answer,
    Suback: ClientSession._suback,
    Unsuback: ClientSession._unsuback,
    Pingresp: ClientSession._pingresp,
}
