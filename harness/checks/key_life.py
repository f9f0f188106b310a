"""The lives of download keys, read off a history: who was given one and when, and what was tried with it.

A key's age is known only within bounds: it was issued between the REST call and the moment the message was seen.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from harness.checks.deliveries import Sent, offers
from harness.history.events import ClockAdvanced
from harness.history.timeline import Delivery, Exchange, History
from harness.wire.commands import COMPLETE_DELIVERY, DOWNLOADS, FIRST_USE, download_key


@dataclass(frozen=True)
class KeyLife:
    """One issued key. `key` is its label; `call` is the command that caused it, `delivery` the message that brought it to its device."""

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
        is_own = request.credential == self.owner_credential
        return request.method == "GET" and is_own and attempt.sent_header("Range") is None

    def age_bounds_s(self, history: History, attempt: Exchange) -> tuple[float, float]:
        """The least and the greatest age that the key can have had when the attempt was judged, in seconds."""
        asked_line = attempt.asked.line
        ended_at_s = attempt.answered.at_s if attempt.answered else attempt.asked.at_s
        advanced_s = history.advanced_s(self.delivery.line, asked_line)
        least_s = attempt.asked.at_s - self.delivery.seen.at_s + advanced_s
        greatest_s = ended_at_s - self.call.asked.at_s + history.advanced_s(self.call.asked.line, asked_line)
        return least_s, greatest_s

    def before(self, attempt: Exchange) -> list[Exchange]:
        """The attempts with this key that were begun before another one."""
        return [other for other in self.attempts if other.asked.line < attempt.asked.line]

    def was_delivered_before(self, line: int) -> bool:
        """Whether the whole file had been handed out with this key by a line of the timeline."""
        return any(attempt.is_delivered_whole and _last_line(attempt) < line for attempt in self.attempts)

    def is_beside_others(self, attempt: Exchange) -> bool:
        """Whether another attempt was under way at the same time, so that either may have come first."""
        return any(other is not attempt and _overlap(other, attempt) for other in self.attempts)


def _overlap(one: Exchange, other: Exchange) -> bool:
    return one.asked.line < _last_line(other) and other.asked.line < _last_line(one)


def _last_line(attempt: Exchange) -> int:
    return attempt.ended.line if attempt.ended else attempt.asked.line + 1


def moved_bounds_s(history: History, from_line: int, to_line: int) -> tuple[float, float]:
    """By how many seconds at least and at most the target's test clock was moved between two lines of the timeline.

    A move is recorded when it is answered; what it caused may have been seen before. So moves are announced, too.
    """
    least_s = history.advanced_s(from_line, to_line)
    unanswered_s = 0.0
    for seen in history.stimuli("moving the clock"):
        done = next((move.line for move in history.of(ClockAdvanced) if move.line > seen.line), None)
        if seen.line < to_line and (done is None or done > to_line):
            unanswered_s += float(seen.fact.facts["seconds"])
    return least_s, least_s + unanswered_s


def may_have_used(attempt: Exchange) -> bool:
    """Whether an attempt can have used up its key: it began to deliver, or its outcome was not seen. HEAD delivers nothing."""
    return attempt.request.method != "HEAD" and attempt.status in (None, 200, 206)


@lru_cache(maxsize=8)
def offered_keys(history: History) -> Counter[str]:
    """Every key that reached a device that the harness plays, with the number of commands that brought it."""
    return Counter(key for key, _, _ in _keyed_offers(history))


def _keyed_offers(history: History) -> Iterator[tuple[str, Sent, Delivery]]:
    """Those of the offers that hold a key, with it."""
    for sent, delivery in offers(history):
        key = download_key(delivery.offer.url) if delivery.offer else None
        if key is not None:
            yield key, sent, delivery


@lru_cache(maxsize=8)
def key_lives(history: History) -> tuple[KeyLife, ...]:
    """Every key that came with one command, with the attempts made with it.

    A key of several commands has no life of its own: whose it is, for which file and since when, nobody can say, and CMD-08 judges that.
    """
    lives: dict[str, KeyLife] = {}
    for key, sent, delivery in _keyed_offers(history):
        request, name = sent.call.request, sent.call.file_name
        if offered_keys(history)[key] == 1 and name is not None:
            file_type = DOWNLOADS[sent.command].value
            lives[key] = KeyLife(key, request.device_id, request.project_id, file_type, name, sent.call, delivery)
    for attempt in history.downloads():
        if attempt.key in lives:
            lives[attempt.key].attempts.append(attempt)
    return tuple(lives.values())


def is_token_taken(history: History, credential: str) -> bool:
    """Whether a device's raw token was seen to open a download: where it was, a 401 does not speak of the token."""
    return any(
        attempt.status == 200 and life.owner_credential == credential for life in key_lives(history) for attempt in life.own_attempts()
    )


def use_policy(history: History) -> str:
    """What the target declares about KEY-08, or else what was seen: a key that works again after a broken transfer is not used by it."""
    declared = history.start.target.get("declares", {}).get("KEY-08")
    if declared is not None:
        return str(declared)
    return COMPLETE_DELIVERY if any(survivors(history)) else FIRST_USE


def survivors(history: History) -> Iterator[tuple[KeyLife, Exchange, Exchange]]:
    """Keys with a first transfer that did not deliver the whole file, and a later proper use that was answered 200."""
    for life in key_lives(history):
        for again in life.own_attempts():
            before = life.before(again)
            begun = [other for other in before if may_have_used(other)]
            is_partial = begun and not any(other.is_delivered_whole for other in begun)
            if again.status == 200 and is_partial and not life.is_beside_others(again):
                yield life, begun[0], again
