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
from enum import Enum
from typing import Protocol

from harness.errors import RemoteWireError
from harness.mqtt.packets import Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS

PACKET_IDS = 65_535
"""How many messages can be under way in one direction: packet ids are 1 to 65,535.   Source: 2.3.1."""


class Stage(Enum):
    """What an unfinished outgoing message waits for."""

    AWAITS_PUBACK = "awaits PUBACK"
    AWAITS_PUBREC = "awaits PUBREC"
    AWAITS_PUBCOMP = "awaits PUBCOMP"


class Step(Enum):
    """What the session does with an acknowledgement."""

    FINISH = "finish"  # the packet id is free again
    RELEASE = "release"  # answer PUBREL; the message itself is not needed any more
    RELEASE_AGAIN = "release again"
    IGNORE = "ignore"  # a late repetition: harmless
    REFUSE = "refuse"  # of the wrong kind for this message: a protocol violation


# Every (stage or None for an unknown packet id, acknowledgement) pair. A PUBREC whose message is unknown here gets its PUBREL all the same,
# or the client would wait for ever with that id (4.3.3: the receiver's state ends by PUBREL).
STEPS: dict[tuple[Stage | None, type[Puback | Pubrec | Pubcomp]], Step] = {
    (Stage.AWAITS_PUBACK, Puback): Step.FINISH,
    (Stage.AWAITS_PUBACK, Pubrec): Step.REFUSE,
    (Stage.AWAITS_PUBACK, Pubcomp): Step.REFUSE,
    (Stage.AWAITS_PUBREC, Puback): Step.REFUSE,
    (Stage.AWAITS_PUBREC, Pubrec): Step.RELEASE,
    (Stage.AWAITS_PUBREC, Pubcomp): Step.REFUSE,
    (Stage.AWAITS_PUBCOMP, Puback): Step.REFUSE,
    (Stage.AWAITS_PUBCOMP, Pubrec): Step.RELEASE_AGAIN,
    (Stage.AWAITS_PUBCOMP, Pubcomp): Step.FINISH,
    (None, Puback): Step.IGNORE,
    (None, Pubrec): Step.RELEASE_AGAIN,
    (None, Pubcomp): Step.IGNORE,
}


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

    __slots__ = ("message", "number", "stage")

    def __init__(self, number: int, message: Publish, stage: Stage) -> None:
        self.number = number
        self.message = message
        self.stage = stage


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a journal gives it back. `is_received`: PUBREC has come. Without a packet id it waits."""

    number: int
    message: Publish
    is_received: bool = False


class ServerSession:
    """The server's state of one client id. Made for a client that is away; `resume` makes it present."""

    __slots__ = (
        "_inflight",
        "_inflight_max",
        "_is_present",
        "_journal",
        "_last_packet_id",
        "_next_number",
        "_queue",
        "_received_ids",
        "client_id",
        "is_clean",
        "subscriptions",
    )

    def __init__(self, client_id: str, *, is_clean: bool, inflight_max: int = 20, journal: SessionJournal | None = None) -> None:
        self.client_id = client_id
        self.is_clean = is_clean
        self.subscriptions: dict[str, int] = {}
        self._inflight: dict[int, Outgoing] = {}  # in the order in which it must be sent again
        self._inflight_max = min(inflight_max, PACKET_IDS)
        self._is_present = False
        self._journal = None if is_clean else journal
        self._last_packet_id = 0
        self._next_number = 1
        # Made when needed: empty, a deque and a set take a kilobyte, and a fleet has thousands of idle sessions.
        self._queue: deque[Outgoing] | None = None
        self._received_ids: set[int] | None = None

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
            self._enqueue(Outgoing(number, Publish(topic, payload, qos, retain), _first_stage(qos)))
            return None
        packet_id = self._free_packet_id()
        message = Publish(topic, payload, qos, retain, False, packet_id)
        self._inflight[packet_id] = Outgoing(number, message, _first_stage(qos))
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

    def acknowledge(self, packet: Puback | Pubrec | Pubcomp) -> list[Publish | Pubrel]:
        """Takes the client's acknowledgement; what to send now: PUBREL, or messages for which there is room again.

        Raises RemoteWireError when it is of the wrong kind for the message that has this packet id.
        """
        outgoing = self._inflight.get(packet.packet_id)
        step = STEPS[outgoing.stage if outgoing else None, type(packet)]
        if step is Step.RELEASE and outgoing:
            return [self._release(outgoing)]
        if step is Step.FINISH and outgoing:
            return self._finish(packet.packet_id, outgoing)
        if step is Step.RELEASE_AGAIN:
            return [Pubrel(packet.packet_id)]
        if step is Step.IGNORE:
            return []
        stage = outgoing.stage.value if outgoing else "unknown"
        raise RemoteWireError(f"{packet.packet_type.name} for packet id {packet.packet_id}, which {stage}", statement="MQTT-4.8.0-1")

    def _release(self, outgoing: Outgoing) -> Pubrel:
        packet_id = outgoing.message.packet_id
        assert packet_id is not None
        # Behind all others: PUBRELs are sent again in the order in which their PUBRECs came (MQTT-4.6.0-4).
        del self._inflight[packet_id]
        self._inflight[packet_id] = outgoing
        outgoing.stage = Stage.AWAITS_PUBCOMP
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
        packet_id = self._last_packet_id % PACKET_IDS + 1
        while packet_id in self._inflight:
            packet_id = packet_id % PACKET_IDS + 1
        self._last_packet_id = packet_id
        return packet_id

    # --- messages from the client ----------------------------------------------------------------------------------------------------

    def accept(self, packet_id: int) -> bool:
        """Whether a QoS 2 PUBLISH with this id is new; until its PUBREL it is new once.   Source: MQTT-4.3.3-2."""
        if self._received_ids is None:
            self._received_ids = set()
        elif packet_id in self._received_ids:
            return False
        self._received_ids.add(packet_id)
        if self._journal:
            self._journal.incoming_stored(self.client_id, packet_id)
        return True

    def release(self, packet_id: int) -> Pubcomp:
        """Takes PUBREL: from now on the id stands for a new message. Answered alike when the id is unknown: it may be a repetition."""
        if self._received_ids and packet_id in self._received_ids:
            self._received_ids.remove(packet_id)
            self._received_ids = self._received_ids or None
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

    def restore(self, subscriptions: dict[str, int], messages: list[StoredMessage], received_ids: set[int]) -> None:
        """Fills a fresh session with what a journal kept; `messages` in the order of their numbers."""
        self.subscriptions = dict(subscriptions)
        self._received_ids = set(received_ids) or None
        for stored in messages:
            stage = Stage.AWAITS_PUBCOMP if stored.is_received else _first_stage(stored.message.qos)
            outgoing = Outgoing(stored.number, stored.message, stage)
            if stored.message.packet_id is None:
                self._queue = self._queue or deque()
                self._queue.append(outgoing)
            else:
                self._inflight[stored.message.packet_id] = outgoing
                self._last_packet_id = stored.message.packet_id
            self._next_number = stored.number + 1


def _first_stage(qos: int) -> Stage:
    return Stage.AWAITS_PUBREC if qos == QoS.EXACTLY_ONCE else Stage.AWAITS_PUBACK


def _again(outgoing: Outgoing) -> Publish | Pubrel:
    packet_id = outgoing.message.packet_id
    assert packet_id is not None
    if outgoing.stage is Stage.AWAITS_PUBCOMP:
        return Pubrel(packet_id)
    return replace(outgoing.message, dup=True)
