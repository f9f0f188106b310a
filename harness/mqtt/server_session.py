"""What a server remembers of one client id: subscriptions, messages under way in both directions, messages that wait.

The session outlives connections. It decides which message goes out now, which waits for room in the in-flight window or for the
client's return, and what a returning client must be sent again. Every change that must survive a crash is told to a journal, in the order
in which it happens; a skin that holds back the packets until the journal is safe gets exactly-once across a kill.

Left to others: who may read what, routing, retained messages, wills, connections, time (`simulators.broker.core`).
Source: 4.1, 4.3, 4.4, 4.6.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from harness.mqtt.exchange import Answer, Outcome, ReceiverState, SenderState, receiver_step, sender_step
from harness.mqtt.packet_ids import PACKET_ID_MAX
from harness.mqtt.packets import Pubcomp, Publish, Pubrel, QoS


class SessionJournal(Protocol):
    """Where changes of persistent sessions are written down. `number` names a message within its session, growing with its age."""

    def session_opened(self, client_id: str) -> None: ...

    def session_removed(self, client_id: str) -> None: ...

    def subscribed(self, client_id: str, topic_filter: str, qos: int) -> None: ...

    def unsubscribed(self, client_id: str, topic_filter: str) -> None: ...

    def message_stored(self, client_id: str, number: int, message: Publish) -> None:
        """A message is owed; with a packet id it is under way, without it waits."""
        ...

    def message_sent(self, client_id: str, number: int, packet_id: int) -> None:
        """A waiting message got its packet id."""
        ...

    def message_received(self, client_id: str, number: int) -> None:
        """PUBREC has come: what is left of the message is its packet id."""
        ...

    def message_finished(self, client_id: str, number: int) -> None: ...

    def incoming_stored(self, client_id: str, packet_id: int) -> None: ...

    def incoming_released(self, client_id: str, packet_id: int) -> None: ...


class Outgoing:
    """One unfinished message to the client. `message` is as it was first sent (DUP 0)."""

    __slots__ = ("message", "number", "state")

    def __init__(self, number: int, message: Publish, state: SenderState) -> None:
        self.number = number
        self.message = message
        self.state = state


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a journal gives it back. `is_received`: PUBREC has come. Without a packet id it waits."""

    number: int
    message: Publish
    is_received: bool = False


class ServerSession:
    """The server's state of one client id. Made for a client that is away; `resume` makes it present."""

    __slots__ = (
        "_incoming_ids",
        "_inflight",
        "_inflight_max",
        "_is_present",
        "_journal",
        "_last_packet_id",
        "_next_number",
        "_queue",
        "client_id",
        "is_clean",
        "subscriptions",
    )

    def __init__(self, client_id: str, *, is_clean: bool, inflight_max: int = 20, journal: SessionJournal | None = None) -> None:
        self.client_id = client_id
        self.is_clean = is_clean
        self.subscriptions: dict[str, int] = {}
        self._inflight: dict[int, Outgoing] = {}  # in the order in which it must be sent again
        self._inflight_max = min(inflight_max, PACKET_ID_MAX)
        self._is_present = False
        self._journal = None if is_clean else journal
        self._last_packet_id = 0
        self._next_number = 1
        # Made when needed: empty, a deque and a set take a kilobyte, and a fleet has thousands of idle sessions.
        self._queue: deque[Outgoing] | None = None
        self._incoming_ids: set[int] | None = None

    # --- subscriptions ---------------------------------------------------------------------------------------------------------------

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Notes a subscription, in the place of one to the same filter.   Source: MQTT-3.8.4-3."""
        self.subscriptions[topic_filter] = qos
        if self._journal:
            self._journal.subscribed(self.client_id, topic_filter, qos)

    def unsubscribe(self, topic_filter: str) -> bool:
        """Ends a subscription; False if there was none. What is under way stays under way (MQTT-3.10.4-2, 3.10.4-3)."""
        if self.subscriptions.pop(topic_filter, None) is None:
            return False
        if self._journal:
            self._journal.unsubscribed(self.client_id, topic_filter)
        return True

    # --- messages to the client ------------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Messages that have no packet id yet."""
        return len(self._queue) if self._queue else 0

    @property
    def inflight(self) -> int:
        """Messages that were sent and are not finished."""
        return len(self._inflight)

    def offer(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> Publish | None:
        """Takes a message for the client; the packet to send now, or None if it waits (or is of QoS 0 and the client away)."""
        if qos == 0:
            return Publish(topic, payload, 0, retain) if self._is_present else None
        number = self._next_number
        self._next_number = number + 1
        if not self._is_present or self._queue or len(self._inflight) >= self._inflight_max:
            self._enqueue(Outgoing(number, Publish(topic, payload, qos, retain), _first_state(qos)))
            return None
        packet_id = self._free_packet_id()
        message = Publish(topic, payload, qos, retain, False, packet_id)
        self._inflight[packet_id] = Outgoing(number, message, _first_state(qos))
        if self._journal:
            self._journal.message_stored(self.client_id, number, message)
        return message

    def drop_oldest_waiting(self) -> Publish | None:
        """Forgets the message that waits longest, and gives it back; None if none waits."""
        if not self._queue:
            return None
        oldest = self._queue.popleft()
        if self._journal:
            self._journal.message_finished(self.client_id, oldest.number)
        return oldest.message

    def acknowledge(self, packet: Answer) -> list[Publish | Pubrel]:
        """Takes the client's acknowledgement; what to send now: PUBREL, or messages for which there is room again.

        Raises RemoteWireError when it is of the wrong kind for the message that has this packet id.
        """
        outgoing = self._inflight.get(packet.packet_id)
        step = sender_step(outgoing.state if outgoing else SenderState.FREE, packet)
        if outgoing and step.outcome is Outcome.COMPLETED:
            return self._finish(packet.packet_id, outgoing)
        if outgoing and step.next_state is not outgoing.state:
            return [self._received(outgoing)]
        return [Pubrel(packet.packet_id)] if step.send else []

    def _received(self, outgoing: Outgoing) -> Pubrel:
        """The client has the message: what is left to do is PUBREL."""
        packet_id = outgoing.message.packet_id
        assert packet_id is not None
        # Behind all others: PUBRELs are sent again in the order in which their PUBRECs came (MQTT-4.6.0-4).
        del self._inflight[packet_id]
        self._inflight[packet_id] = outgoing
        outgoing.state = SenderState.AWAITS_PUBCOMP
        if self._journal:
            self._journal.message_received(self.client_id, outgoing.number)
        return Pubrel(packet_id)

    def _finish(self, packet_id: int, outgoing: Outgoing) -> list[Publish | Pubrel]:
        del self._inflight[packet_id]
        if self._journal:
            self._journal.message_finished(self.client_id, outgoing.number)
        return list(self._send_waiting()) if self._queue else []

    def _enqueue(self, outgoing: Outgoing) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(outgoing)
        if self._journal:
            self._journal.message_stored(self.client_id, outgoing.number, outgoing.message)

    def _send_waiting(self) -> Iterator[Publish]:
        while self._queue and len(self._inflight) < self._inflight_max:
            outgoing = self._queue.popleft()
            packet_id = self._free_packet_id()
            outgoing.message = replace(outgoing.message, packet_id=packet_id)
            self._inflight[packet_id] = outgoing
            if self._journal:
                self._journal.message_sent(self.client_id, outgoing.number, packet_id)
            yield outgoing.message
        self._queue = self._queue or None

    def _free_packet_id(self) -> int:
        # Ends: the window is at most the number of ids, and there is room in it.
        packet_id = self._last_packet_id % PACKET_ID_MAX + 1
        while packet_id in self._inflight:
            packet_id = packet_id % PACKET_ID_MAX + 1
        self._last_packet_id = packet_id
        return packet_id

    # --- messages from the client ----------------------------------------------------------------------------------------------------

    def accept(self, message: Publish) -> bool:
        """Whether a QoS 1 or 2 message is new, and not the repetition of one whose PUBREL has not come.   Source: MQTT-4.3.3-2.

        Raises RemoteWireError for a QoS 1 message under the packet id of such a one.
        """
        packet_id = message.packet_id or 0
        is_known = self._incoming_ids is not None and packet_id in self._incoming_ids
        step = receiver_step(ReceiverState.AWAITS_PUBREL if is_known else ReceiverState.FREE, message)
        if step.is_delivered and step.next_state is ReceiverState.AWAITS_PUBREL:
            self._incoming_ids = self._incoming_ids or set()
            self._incoming_ids.add(packet_id)
            if self._journal:
                self._journal.incoming_stored(self.client_id, packet_id)
        return step.is_delivered

    def release(self, packet_id: int) -> Pubcomp:
        """Takes PUBREL: from now on the id stands for a new message. Answered alike when the id is unknown: it may be a repetition."""
        if self._incoming_ids and packet_id in self._incoming_ids:
            self._incoming_ids.remove(packet_id)
            self._incoming_ids = self._incoming_ids or None
            if self._journal:
                self._journal.incoming_released(self.client_id, packet_id)
        return Pubcomp(packet_id)

    # --- coming and going ------------------------------------------------------------------------------------------------------------

    def resume(self) -> list[Publish | Pubrel]:
        """The client is there (again): what it must be sent, in order; unfinished messages again, then waiting ones.

        Source: MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.6.0-1.
        """
        self._is_present = True
        again = [_again(outgoing) for outgoing in self._inflight.values()]
        return again + list(self._send_waiting()) if self._queue else again

    def suspend(self) -> None:
        """The client is away: from now on messages wait."""
        self._is_present = False

    def restore(self, subscriptions: dict[str, int], messages: list[StoredMessage], incoming_ids: set[int]) -> None:
        """Fills a fresh session with what a journal kept; `messages` in the order in which they must be sent again."""
        self.subscriptions = dict(subscriptions)
        self._incoming_ids = set(incoming_ids) or None
        for stored in messages:
            state = SenderState.AWAITS_PUBCOMP if stored.is_received else _first_state(stored.message.qos)
            outgoing = Outgoing(stored.number, stored.message, state)
            if stored.message.packet_id is None:
                self._queue = self._queue or deque()
                self._queue.append(outgoing)
            else:
                self._inflight[stored.message.packet_id] = outgoing
                self._last_packet_id = stored.message.packet_id
            self._next_number = max(self._next_number, stored.number + 1)


def _first_state(qos: int) -> SenderState:
    return SenderState.AWAITS_PUBREC if qos == QoS.EXACTLY_ONCE else SenderState.AWAITS_PUBACK


def _again(outgoing: Outgoing) -> Publish | Pubrel:
    packet_id = outgoing.message.packet_id
    assert packet_id is not None
    if outgoing.state is SenderState.AWAITS_PUBCOMP:
        return Pubrel(packet_id)
    return replace(outgoing.message, dup=True)
