"""Whom a message reaches, and what each is sent: subscriptions, retained messages, the lower QoS, full queues.

The part of the core that knows no connections' beginnings and ends. What is to be sent goes to the core's list of outputs.
Source: 3.3, 3.8, 3.10, 4.5, 4.7.
"""

from dataclasses import dataclass

from harness.mqtt.packets import SUBSCRIPTION_REFUSED, Publish
from simulators.broker.links import BrokerJournal, BrokerSession, Output
from simulators.broker.port import BrokerLimits, Principal, QueuePolicy
from simulators.broker.routing import RetainedMessages, SubscriptionIndex


@dataclass(slots=True)
class Drops:
    """Messages that were not delivered, by reason: what a load run needs to know of a broker that it trusts."""

    queue_full: int = 0
    congested: int = 0
    forbidden: int = 0


class Messages:
    """The subscriptions and retained messages of one broker."""

    def __init__(self, limits: BrokerLimits, outputs: list[Output], *, journal: BrokerJournal | None) -> None:
        """`outputs` takes what is to be sent, in order."""
        self.drops = Drops()
        self._limits = limits
        self._outputs = outputs
        self._journal = journal
        self._index: SubscriptionIndex[BrokerSession] = SubscriptionIndex()
        self._retained: RetainedMessages[Publish] = RetainedMessages()

    # --- messages --------------------------------------------------------------------------------------------------------------------

    def route(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Sends a message to everyone whom it reaches, or keeps it for them; with `retain` also for those who come later."""
        if retain:
            self._retain(topic, payload, qos)
        for session, granted in self._index.match(topic).items():
            # RETAIN is 0 for subscriptions that exist (MQTT-3.3.1-9); QoS is the lower of the two (MQTT-3.8.4-6).
            self._deliver(session, topic, payload, granted if granted < qos else qos)

    def _deliver(self, session: BrokerSession, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        link = session.link
        if qos == 0 and link is not None and link.is_congested:
            self.drops.congested += 1
            return
        if qos and session.waiting >= self._limits.queued_messages_max:
            self.drops.queue_full += 1
            if self._limits.queue_policy is not QueuePolicy.DROP_OLDEST:
                return
            session.drop_oldest_waiting()
        packet = session.offer(topic, payload, qos, retain)
        if packet is not None and link is not None:
            self._outputs.append((link, packet))

    def full_queue(self, topic: str, qos: int) -> str | None:
        """The client id of a session that a message to `topic` reaches and whose queue has no room."""
        for session, granted in self._index.match(topic).items():
            if min(qos, granted) and session.waiting >= self._limits.queued_messages_max:
                return session.client_id
        return None

    def _retain(self, topic: str, payload: bytes, qos: int) -> None:
        if not payload:
            # MQTT-3.3.1-10: an empty retained message removes, and is not stored itself (MQTT-3.3.1-11).
            if self._retained.remove(topic) and self._journal:
                self._journal.retained_removed(topic)
            return
        if len(self._retained) >= self._limits.retained_max and self._retained.get(topic) is None:
            self.drops.queue_full += 1
            return
        message = Publish(topic, payload, qos, True)
        self._retained.put(topic, message)
        if self._journal:
            self._journal.retained_stored(message)

    # --- subscriptions ---------------------------------------------------------------------------------------------------------------

    def subscribe(self, session: BrokerSession, principal: Principal | None, topic_filter: str, qos: int) -> int:
        """Subscribes, or replaces; the code for the SUBACK."""
        is_known = topic_filter in session.subscriptions
        if not is_known and len(session.subscriptions) >= self._limits.subscriptions_max:
            return SUBSCRIPTION_REFUSED
        if principal is None or not principal.may_read(topic_filter):
            return SUBSCRIPTION_REFUSED
        session.subscribe(topic_filter, qos)
        self._index.add(topic_filter, session, qos)
        return qos

    def send_retained(self, session: BrokerSession, topic_filter: str, granted: int) -> None:
        """To each SUBSCRIBE anew, also of a filter that was there before (MQTT-3.8.4-3), with RETAIN 1 (MQTT-3.3.1-8)."""
        for topic, message in self._retained.matching(topic_filter):
            self._deliver(session, topic, message.payload, min(granted, message.qos), retain=True)

    def unsubscribe(self, session: BrokerSession, topic_filter: str) -> None:
        """Ends a subscription; nothing happens where there is none."""
        if session.unsubscribe(topic_filter):
            self._index.remove(topic_filter, session)

    def forget(self, session: BrokerSession) -> None:
        """The session is no more: nothing reaches it."""
        for topic_filter in session.subscriptions:
            self._index.remove(topic_filter, session)

    def restore(self, sessions: list[BrokerSession], retained: list[Publish]) -> None:
        """Takes what a journal kept."""
        for session in sessions:
            for topic_filter, qos in session.subscriptions.items():
                self._index.add(topic_filter, session, qos)
        for message in retained:
            self._retained.put(message.topic, message)
