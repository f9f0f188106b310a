"""The lives of download keys, read off a history: who was given one and when, and what was tried with it.

A key's age is known only within bounds: it was issued between the REST call and the moment the message was seen.
"""

from dataclasses import dataclass, field

from harness.history.timeline import Delivery, Exchange, History
from harness.wire.commands import DOWNLOADS, download_key


@dataclass(frozen=True)
class KeyLife:
    """One issued key. `key` is its label; `call` is the command that caused it, where that is clear."""

    key: str
    device_id: str
    project_id: str
    file_type: str
    file_name: str
    call: Exchange
    delivery: Delivery
    attempts: list[Exchange] = field(default_factory=list)

    @property
    def owner_credential(self) -> str:
        return f"token:{self.device_id}"

    def own_attempts(self) -> list[Exchange]:
        """GETs of the key's own device, with its token as the protocol writes it."""
        return [attempt for attempt in self.attempts if self.is_proper(attempt)]

    def is_proper(self, attempt: Exchange) -> bool:
        """Whether an attempt is a plain GET by the key's device, which should succeed while the key is alive and unused."""
        request = attempt.request
        has_range = any(name.lower() == "range" for name, _ in request.headers)
        return request.method == "GET" and request.credential == self.owner_credential and not has_range

    def age_bounds_s(self, history: History, attempt: Exchange) -> tuple[float, float]:
        """The least and the greatest age that the key can have had when the attempt was judged, in seconds."""
        asked_line = attempt.asked.line
        ended_at_s = attempt.answered.at_s if attempt.answered else attempt.asked.at_s
        advanced_s = history.advanced_s(self.delivery.line, asked_line)
        least_s = attempt.asked.at_s - self.delivery.seen.at_s + advanced_s
        greatest_s = ended_at_s - self.call.asked.at_s + history.advanced_s(self.call.asked.line, asked_line)
        return least_s, greatest_s

    def first_success(self) -> Exchange | None:
        """The first attempt that was answered 200 to a GET."""
        return next((attempt for attempt in self.attempts if attempt.status == 200 and attempt.request.method == "GET"), None)


def key_lives(history: History) -> list[KeyLife]:
    """Every key that reached a device that the harness plays, with the attempts made with it."""
    lives: dict[str, KeyLife] = {}
    for delivery in history.deliveries:
        topic, offer = delivery.topic, delivery.offer
        if topic is None or offer is None or topic.command not in DOWNLOADS or topic.role != "control":
            continue
        key, call = download_key(offer.url), _cause(history, delivery, topic.command)
        if key is None or call is None or key in lives:
            continue
        name = str(call.sent_json["data"]["file_name"])
        lives[key] = KeyLife(key, delivery.message.device_id, call.request.project_id, DOWNLOADS[topic.command].value, name, call, delivery)
    for attempt in history.downloads():
        if attempt.key in lives:
            lives[attempt.key].attempts.append(attempt)
    return list(lives.values())


def _cause(history: History, delivery: Delivery, command: str) -> Exchange | None:
    """The accepted command that a delivery belongs to: the n-th of a name in a scenario causes the n-th delivery of it (CMD-21a)."""
    scope, device_id = delivery.seen.event.scope, delivery.message.device_id
    calls = [
        call
        for call in history.commands()
        if call.scope == scope and call.request.device_id == device_id and call.command == command and call.status == 200
    ]
    siblings = [
        found
        for found in history.deliveries
        if found.seen.event.scope == scope and found.message.topic == delivery.message.topic and found.line < delivery.line
    ]
    return calls[len(siblings)] if len(siblings) < len(calls) else None
