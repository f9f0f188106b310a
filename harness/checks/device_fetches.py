"""What a device under test made of each download command, read off a history: the requests, the result, the image that is in use."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.checks.device_view import (
    ReceivedMessage,
    Result,
    commands_received,
    declares,
    downloads_with,
    is_download,
    results_of,
)
from harness.history.events import Observed, Stimulus
from harness.history.timeline import Exchange, History, Seen
from harness.wire.commands import DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO
from harness.wire.json_values import pointed_at

_CONTENT_RANGE = re.compile(r"bytes (\d+)-")
IMAGE_OBSERVER = "image_sha256"


@dataclass(frozen=True)
class Fetch:
    """One download command with what became of it. `stored` says which file it offers, `spoilt` how the platform spoils it (None: not).

    `key_policy` is what uses up its key where a scenario chose that, whatever the device declares; "" elsewhere.
    """

    message: ReceivedMessage
    stored: Seen[Stimulus] | None
    spoilt: Seen[Stimulus] | None
    altered: Seen[Stimulus] | None
    key_policy: str
    attempts: tuple[Exchange, ...]
    result: Result | None
    installed_sha256: str | None  # as the result, or an observer afterwards, shows it
    seen_before: str | None  # the image in use before, where an observer shows it
    seen_after: str | None

    @property
    def wanted_sha256(self) -> str:
        return str(self.stored.fact.facts["sha256"]) if self.stored else ""

    @property
    def kind(self) -> str:
        """How the download was spoilt; "" where it was not."""
        return str(self.spoilt.fact.facts["kind"]) if self.spoilt else ""

    @property
    def is_success(self) -> bool:
        return self.result is not None and self.result.is_success

    @property
    def is_failure(self) -> bool:
        return self.result is not None and not self.result.is_success

    @property
    def said(self) -> str:
        """What the device's result says, in its own words."""
        if self.result is None:
            return "no result"
        body = self.result.body
        return str(body.get("message", body)) if isinstance(body, dict) else repr(body)

    @property
    def was_delivered_whole(self) -> bool:
        """Whether every byte came, in one body or in parts, and no transfer of it was broken off."""
        whole = any(attempt.is_delivered_whole for attempt in self.attempts)
        return whole or _cover([part for part in self.attempts if part.ended and part.ended.fact.complete], self._size_bytes)

    @property
    def may_have_every_byte(self) -> bool:
        """Whether every byte went out, though a transfer of it may have been broken off."""
        return _cover(self.attempts, self._size_bytes)

    @property
    def _size_bytes(self) -> int | None:
        return int(self.stored.fact.facts["size_bytes"]) if self.stored else None

    @property
    def ended_with_bytes(self) -> bool:
        """Whether its last request was answered by the file or a part of it, and not refused."""
        return bool(self.attempts) and self.attempts[-1].status in (200, 206)

    @property
    def has_changed_the_image(self) -> bool:
        return self.seen_before is not None and self.seen_after is not None and self.seen_before != self.seen_after

    @property
    def evidence(self) -> tuple[Any, ...]:
        answer = (self.result.seen,) if self.result else ()
        announced = tuple(seen for seen in (self.stored, self.spoilt, self.altered) if seen is not None)
        return (*announced, self.message.first, *self.attempts, *answer)


def _cover(attempts: Iterable[Exchange], size_bytes: int | None) -> bool:
    """Whether the bodies of these requests, one after the other, hold a whole file of that size."""
    if size_bytes is None:
        return False
    reached = 0
    for first, end in sorted(span for attempt in attempts if (span := _span(attempt)) is not None):
        reached = max(reached, end) if first <= reached else reached
    return reached >= size_bytes


def _span(attempt: Exchange) -> tuple[int, int] | None:
    """From which byte of the file to behind which one a body went; None for a HEAD or an error."""
    if attempt.request.method != "GET" or attempt.ended is None or attempt.status not in (200, 206):
        return None
    part = _CONTENT_RANGE.match(attempt.header("Content-Range") or "")
    first = int(part.group(1)) if attempt.status == 206 and part else 0
    return first, first + attempt.ended.fact.received_bytes


def fetches(history: History) -> list[Fetch]:
    """Every download command that reached the device, in order; without those under a policy of keys that it need not bear."""
    return [fetch for fetch in _all_fetches(history) if not fetch.key_policy]


def fetches_under_key_policies(history: History) -> list[Fetch]:
    """The download commands for which a scenario chose what uses up the key."""
    scopes = dict.fromkeys(seen.event.scope for seen in history.stimuli("key policy"))
    return [fetch for scope in scopes for fetch in _all_fetches(history.within(scope)) if fetch.key_policy]


def _all_fetches(history: History) -> list[Fetch]:
    messages = [message for message in commands_received(history) if is_download(message)]
    return [_fetch(history, message, messages) for message in messages]


def _fetch(history: History, message: ReceivedMessage, messages: list[ReceivedMessage]) -> Fetch:
    # A scenario tells of a download before its command: the file, how it is spoilt, what else it says.
    earlier = [other.first.line for other in messages if message.is_after(other) and other.first.event.scope == message.first.event.scope]
    from_line = max(earlier, default=0)
    next_same = [other.first.line for other in messages if other.is_after(message) and other.command == message.command]
    until_line = min(next_same, default=history.end_line)
    found = results_of(history, message, until_line)
    attempts = tuple(downloads_with(history, message)) or _attempts_without_key(history, message, messages)
    result = found[0] if found else None
    before, after = _observed(history, message, until_line)
    policy = _last(history, "key policy", message, from_line)
    return Fetch(
        message=message,
        stored=_last(history, "stored", message, from_line),
        spoilt=_last(history, "download spoilt", message, from_line),
        altered=_last(history, "offer altered", message, from_line),
        key_policy=str(policy.fact.facts["policy"]) if policy else "",
        attempts=attempts,
        result=result,
        installed_sha256=after if after is not None else reported_sha256(history, result),
        seen_before=before,
        seen_after=after,
    )


def _last(history: History, name: str, message: ReceivedMessage, from_line: int) -> Seen[Stimulus] | None:
    """The last announcement of that name about the device, before its message; what another scenario announced ended with it."""
    scope = message.first.event.scope
    found = [
        seen
        for seen in history.stimuli(name)
        if seen.fact.facts.get("device_id") == message.device_id
        and seen.event.scope == scope
        and from_line <= seen.line < message.first.line
    ]
    return found[-1] if found else None


def _attempts_without_key(history: History, message: ReceivedMessage, messages: list[ReceivedMessage]) -> tuple[Exchange, ...]:
    """Requests that came for a command but without its key: whoever mangles the URL, mangles the key."""
    later = [other.first.line for other in messages if other.is_after(message)]
    until_line = min(later, default=history.end_line)
    scope = message.first.event.scope
    # Whoever still loops over an earlier command's key asks for that command.
    of_others = {exchange.asked.line for other in messages if other is not message for exchange in downloads_with(history, other)}
    return tuple(
        exchange
        for exchange in history.downloads()
        if exchange.scope == scope and message.first.line < exchange.asked.line < until_line and exchange.asked.line not in of_others
    )


def _observed(history: History, message: ReceivedMessage, until_line: int) -> tuple[str | None, str | None]:
    """What the declared observer showed last before a message, and last after it."""
    seen = [o for o in history.of(Observed) if o.fact.device_id == message.device_id and o.fact.name == IMAGE_OBSERVER]
    before = [o.fact.value.lower() for o in seen if o.line < message.first.line]
    after = [o.fact.value.lower() for o in seen if message.first.line < o.line < until_line]
    if message.command == DOWNLOAD_LOGO and DOWNLOAD_FIRMWARE in declares(history)["commands"] and before[-1:] in (after[-1:], []):
        # It shows a hash, and does not say of what: one that stays over a logo is the firmware's.
        return None, None
    return (before[-1] if before else None), (after[-1] if after else None)


def reported_sha256(history: History, result: Result | None) -> str | None:
    """The hash of the installed image as a success says it, at the place that the declaration names."""
    pointer = str(declares(history).get("image_sha256_pointer", "/sha256"))
    if result is None or not pointer or not result.is_success:
        return None
    value = pointed_at(result.body, pointer)
    return value.lower() if isinstance(value, str) and value else None


def spoilt_fetches(history: History, *kinds: str) -> Iterator[Fetch]:
    """The download commands that the platform spoilt in one of these ways."""
    return (fetch for fetch in fetches(history) if fetch.kind in kinds)
