"""The embedded broker without input and output: connection events and packets in, packets to send and connections to close out.

A `Link` is one network connection as the broker sees it; a skin makes one per connection (or is one), feeds what happens on it, and
takes what is to be done from `take_outputs`, in order. Time comes in as `now_s` (monotonic seconds); `next_deadline_s` says when to call
`expire`.

Left to others: bytes (`harness.mqtt`), what a session remembers (`harness.mqtt.server_session`), whom a message reaches (`messages`), who
may log in (the directory), sockets and timers (`embedded`), keeping things across a kill (`sqlite_store`).
Source: MQTT 3.1.1; the statements stand where they are held, and all of them in `statements`.
"""

from collections.abc import Callable
from typing import Any

from harness.errors import RemoteWireError
from harness.mqtt.decoding import ConnectRefused
from harness.mqtt.packets import (
    SUBSCRIPTION_REFUSED,
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
)
from simulators.broker.deadlines import Deadlines
from simulators.broker.links import BrokerJournal, BrokerSession, Close, Link, Output
from simulators.broker.messages import Drops, Messages
from simulators.broker.port import BrokerLimits, ClosedBy, DeviceDirectory, QueueFull, QueuePolicy

KEEP_ALIVE_FACTOR = 1.5
"""A client that is silent for so many keep-alive intervals is gone.   Source: MQTT-3.1.2-24."""


class BrokerCore:
    """All sessions, links, subscriptions and retained messages of one broker."""

    def __init__(self, directory: DeviceDirectory, limits: BrokerLimits, *, journal: BrokerJournal | None = None) -> None:
        self._directory = directory
        self._limits = limits
        self._journal = journal
        self._sessions: dict[str, BrokerSession] = {}
        self._away: dict[str, BrokerSession] = {}  # in the order in which their clients left
        self._deadlines: Deadlines[Link] = Deadlines()
        self._outputs: list[Output] = []
        self._messages = Messages(limits, self._outputs, journal=journal)
        self._last_link_number = 0
        self._handlers: dict[type[Packet], Callable[[Link, Any, float], None]] = {
            Publish: self._on_publish,
            Puback: self._on_acknowledgement,
            Pubrec: self._on_acknowledgement,
            Pubrel: self._on_pubrel,
            Pubcomp: self._on_acknowledgement,
            Subscribe: self._on_subscribe,
            Unsubscribe: self._on_unsubscribe,
            Pingreq: self._on_pingreq,
            Disconnect: self._on_disconnect,
        }

    # --- what a skin calls -----------------------------------------------------------------------------------------------------------

    def opened(self, link: Link, now_s: float) -> None:
        """A connection stands. It has `connect_timeout_s` to send its CONNECT."""
        self._last_link_number += 1
        link.number = self._last_link_number
        link.last_heard_s = now_s
        link.patience_s = self._limits.connect_timeout_s
        self._deadlines.add(now_s + link.patience_s, link)

    def received(self, link: Link, packet: Packet, now_s: float) -> None:
        """A packet has come in. What comes after the end of a connection is ignored."""
        if link.is_closed:
            return
        link.last_heard_s = now_s
        if link.session is None:
            self._on_first_packet(link, packet, now_s)
            return
        handler = self._handlers.get(type(packet))
        if handler is None:
            statement = "MQTT-3.1.0-2" if type(packet) is Connect else "MQTT-4.8.0-1"
            self._end(link, now_s, ClosedBy.BROKER, f"{packet.packet_type.name} is not for a client to send now [{statement}]")
            return
        handler(link, packet, now_s)

    def malformed(self, link: Link, error: RemoteWireError, now_s: float) -> None:
        """Bytes have come in that are no MQTT: ends the connection, with an answer where 3.1.1 has one.   Source: MQTT-4.8.0-1."""
        if isinstance(error, ConnectRefused) and link.session is None and not link.is_closed:
            self._send(link, Connack(False, error.return_code))
        self._end(link, now_s, ClosedBy.BROKER, str(error))

    def lost(self, link: Link, now_s: float) -> None:
        """The network connection is gone without our doing. Harmless for one that has ended before."""
        if not link.is_closed:
            link.is_closed = True
            self._leave(link, now_s)

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """Takes a message from the process that the broker lives in. Raises QueueFull under the policy `REFUSE`."""
        if self._limits.queue_policy is QueuePolicy.REFUSE and (full := self._messages.full_queue(topic, qos)):
            raise QueueFull(f"the queue of {full} is full: {self._limits.queued_messages_max} messages wait")
        self._messages.route(topic, payload, qos, retain)

    def disconnect(self, client_id: str, now_s: float) -> bool:
        """Ends the connection of a client; False if it is not connected."""
        session = self._sessions.get(client_id)
        if session is None or session.link is None:
            return False
        self._end(session.link, now_s, ClosedBy.BROKER, "disconnected on request")
        return True

    def take_outputs(self) -> list[Output]:
        """What is to be sent and closed, in order; to be called after each call that may cause some."""
        outputs = self._outputs.copy()
        self._outputs.clear()
        return outputs

    def next_deadline_s(self) -> float | None:
        """When `expire` has something to do at the earliest; None if never."""
        moments = [self._deadlines.earliest_s()]
        if self._away:
            moments.append(next(iter(self._away.values())).away_since_s + self._limits.session_expiry_s)
        return min((moment for moment in moments if moment is not None), default=None)

    def expire(self, now_s: float) -> None:
        """Ends connections that were silent for too long (MQTT-3.1.2-24) and sessions whose client is away for too long."""
        for link in self._deadlines.due(now_s):
            if link.is_closed or not link.patience_s:
                continue
            ends_at_s = link.last_heard_s + link.patience_s
            if ends_at_s > now_s:
                self._deadlines.add(ends_at_s, link)
            else:
                what = "packet within 1.5 keep-alives [MQTT-3.1.2-24]" if link.session else "CONNECT"
                self._end(link, now_s, ClosedBy.BROKER, f"no {what}: silent for {link.patience_s:g} s")
        while self._away and self._oldest_away().away_since_s + self._limits.session_expiry_s <= now_s:
            self._forget(self._oldest_away())

    def connected_clients(self) -> frozenset[str]:
        return frozenset(session.client_id for session in self._sessions.values() if session.link)

    def session_of(self, client_id: str) -> BrokerSession | None:
        """The session of a client, present or away."""
        return self._sessions.get(client_id)

    @property
    def drops(self) -> Drops:
        """What was not delivered."""
        return self._messages.drops

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def restore(self, sessions: list[BrokerSession], retained: list[Publish], now_s: float) -> None:
        """Takes what a journal kept; the clients are away, and their absence counts from now."""
        for session in sessions:
            self._sessions[session.client_id] = self._away[session.client_id] = session
            session.away_since_s = now_s
        self._messages.restore(sessions, retained)

    def new_session(self, client_id: str, *, is_clean: bool) -> BrokerSession:
        """A session with this broker's limits and journal, not yet known to the broker; `restore` takes it."""
        return BrokerSession(client_id, is_clean=is_clean, limits=self._limits, journal=self._journal)

    # --- connecting ------------------------------------------------------------------------------------------------------------------

    def _on_first_packet(self, link: Link, packet: Packet, now_s: float) -> None:
        if type(packet) is not Connect:
            self._end(link, now_s, ClosedBy.BROKER, f"{packet.packet_type.name} before CONNECT [MQTT-3.1.0-1]")
            return
        # An empty client id asks for one of ours (MQTT-3.1.3-6); the decoder has seen to it that the session is clean.
        client_id = packet.client_id or f"auto-{link.number}"
        principal = self._directory.authenticate(client_id, packet.username, packet.password)
        if principal is None:
            self._send(link, Connack(False, ConnectReturnCode.NOT_AUTHORIZED))
            self._end(link, now_s, ClosedBy.BROKER, f"login of {client_id!r} refused")
            return
        link.client_id = client_id
        link.principal = principal
        former = self._sessions.get(client_id)
        if former and former.link:
            self._end(former.link, now_s, ClosedBy.BROKER, f"taken over by connection {link.number} [MQTT-3.1.4-2]")
        self._attach(link, packet, now_s)

    def _attach(self, link: Link, connect: Connect, now_s: float) -> None:
        session, is_kept = self._session_for(link.client_id, connect.clean_session)
        session.link = link
        link.session = session
        link.will = connect.will
        link.patience_s = connect.keep_alive_s * KEEP_ALIVE_FACTOR
        if link.patience_s:
            self._deadlines.add(now_s + link.patience_s, link)
            self._sweep_deadlines()
        self._send(link, Connack(is_kept, ConnectReturnCode.ACCEPTED))
        for packet in session.resume():
            self._send(link, packet)

    def _sweep_deadlines(self) -> None:
        # Clients that come and go leave a deadline behind each time, until it is due: up to 27 hours.
        if len(self._deadlines) > 4 * (len(self._sessions) + 256):
            self._deadlines.keep(lambda link: not link.is_closed)

    def _session_for(self, client_id: str, clean_session: bool) -> tuple[BrokerSession, bool]:
        """The session to go on with, and whether it is an old one.   Source: MQTT-3.1.2-4, 3.1.2-6, 3.2.2-1 to 3.2.2-3."""
        former = self._sessions.get(client_id)
        if former and not clean_session:
            self._away.pop(client_id, None)
            return former, True
        if former:
            self._forget(former)
        session = self.new_session(client_id, is_clean=clean_session)
        self._sessions[client_id] = session
        if self._journal and not clean_session:
            self._journal.session_opened(client_id)
        return session, False

    # --- leaving ---------------------------------------------------------------------------------------------------------------------

    def _end(self, link: Link, now_s: float, closed_by: ClosedBy, reason: str) -> None:
        if link.is_closed:
            return
        link.is_closed = True
        self._outputs.append((link, Close(closed_by, reason)))
        self._leave(link, now_s)

    def _leave(self, link: Link, now_s: float) -> None:
        session, will, principal = link.session, link.will, link.principal
        link.will = link.session = None
        if session is None:
            return
        session.link = None
        session.suspend()
        if session.is_clean:
            self._forget(session)
        else:
            session.away_since_s = now_s
            self._away[session.client_id] = session
            if len(self._away) > self._limits.sessions_max:
                self._forget(self._oldest_away())
        # The will is the client's message: published with its rights (MQTT-3.1.2-8), after its session is away.
        if will and principal and principal.may_write(will.topic):
            self._messages.route(will.topic, will.payload, will.qos, will.retain)

    def _forget(self, session: BrokerSession) -> None:
        self._messages.forget(session)
        self._sessions.pop(session.client_id, None)
        self._away.pop(session.client_id, None)
        if self._journal and not session.is_clean:
            self._journal.session_removed(session.client_id)

    def _oldest_away(self) -> BrokerSession:
        return next(iter(self._away.values()))

    def _on_disconnect(self, link: Link, packet: Disconnect, now_s: float) -> None:
        link.will = None  # MQTT-3.14.4-3
        self._end(link, now_s, ClosedBy.CLIENT, "DISCONNECT")

    # --- messages --------------------------------------------------------------------------------------------------------------------

    def _on_publish(self, link: Link, packet: Publish, now_s: float) -> None:
        session, principal = link.session, link.principal
        assert session is not None
        assert principal is not None
        packet_id = packet.packet_id or 0  # 0 for QoS 0 only, where nothing uses it
        try:
            is_new = not packet.qos or session.accept(packet)
        except RemoteWireError as error:
            self._end(link, now_s, ClosedBy.BROKER, str(error))
            return
        if not is_new:
            self._outputs.append((link, Pubrec(packet_id)))
            return
        if not principal.may_write(packet.topic):
            self._messages.drops.forbidden += 1  # acknowledged and dropped: 3.1.1 has no refusal (MQTT-3.3.5-2)
        elif self._limits.queue_policy is QueuePolicy.REFUSE and (full := self._messages.full_queue(packet.topic, packet.qos)):
            session.release(packet_id)  # It was not taken: when the client sends it again, it must not pass for a repetition.
            self._end(link, now_s, ClosedBy.BROKER, f"the queue of {full} is full")
            return
        else:
            self._messages.route(packet.topic, packet.payload, packet.qos, packet.retain)
        if packet.qos:
            self._outputs.append((link, Pubrec(packet_id) if packet.qos == 2 else Puback(packet_id)))

    def _on_pubrel(self, link: Link, packet: Pubrel, now_s: float) -> None:
        assert link.session is not None
        self._outputs.append((link, link.session.release(packet.packet_id)))

    def _on_acknowledgement(self, link: Link, packet: Puback | Pubrec | Pubcomp, now_s: float) -> None:
        assert link.session is not None
        try:
            answers = link.session.acknowledge(packet)
        except RemoteWireError as error:
            self._end(link, now_s, ClosedBy.BROKER, str(error))
            return
        for answer in answers:
            self._outputs.append((link, answer))

    # --- subscriptions ---------------------------------------------------------------------------------------------------------------

    def _on_subscribe(self, link: Link, packet: Subscribe, now_s: float) -> None:
        session = link.session
        assert session is not None
        codes = tuple(self._messages.subscribe(session, link.principal, topic_filter, qos) for topic_filter, qos in packet.filters)
        self._send(link, Suback(packet.packet_id, codes))
        for (topic_filter, _), granted in zip(packet.filters, codes, strict=True):
            if granted != SUBSCRIPTION_REFUSED:
                self._messages.send_retained(session, topic_filter, granted)

    def _on_unsubscribe(self, link: Link, packet: Unsubscribe, now_s: float) -> None:
        session = link.session
        assert session is not None
        for topic_filter in packet.filters:
            self._messages.unsubscribe(session, topic_filter)
        self._send(link, Unsuback(packet.packet_id))  # also when there was nothing to end (MQTT-3.10.4-5)

    def _on_pingreq(self, link: Link, packet: Pingreq, now_s: float) -> None:
        self._send(link, Pingresp())

    def _send(self, link: Link, packet: Packet) -> None:
        self._outputs.append((link, packet))
