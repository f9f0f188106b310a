"""The family KEY: a download key lives thirty minutes, works once, and for one device."""

from collections.abc import Iterator

from harness.checks.admission import TargetView
from harness.checks.key_life import KeyLife, key_lives
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import SecretSeen
from harness.history.timeline import Exchange, History
from harness.wire.commands import KEY_LIFETIME_S

_AGE_TOLERANCE_S = 2.0  # KEY-01
_BITS_MIN = 128  # KEY-07


def _policy(history: History) -> str:
    """What the target declares about KEY-08; our reading where it declares nothing."""
    return str(history.start.target.get("declares", {}).get("KEY-08", "first-use"))


def _unspent_before(life: KeyLife, attempt: Exchange) -> bool:
    """Whether no earlier attempt can have used the key: none was answered 200 or 206, and none ended unseen."""
    earlier = [other for other in life.attempts if other.asked.line < attempt.asked.line]
    return all(other.status not in (None, 200, 206) or other.request.method == "HEAD" for other in earlier)


@check("KEY-01a", "KEY-01b", unseen="no key was used shortly before and after thirty minutes")
def key_lives_thirty_minutes(history: History) -> Iterator[Observation]:
    """A key is accepted until thirty minutes after its issue, and refused with 401 from then on."""
    for life in key_lives(history):
        for attempt in life.own_attempts():
            if attempt.status is None or not _unspent_before(life, attempt) or _is_beside_others(life, attempt):
                continue
            least_s, greatest_s = life.age_bounds_s(history, attempt)
            if greatest_s < KEY_LIFETIME_S - _AGE_TOLERANCE_S and attempt.status != 200:
                yield broken(f"a key of {greatest_s:.0f} s was answered {attempt.status}, allowed: 200 until 1800 s", attempt)
            elif least_s > KEY_LIFETIME_S + _AGE_TOLERANCE_S and attempt.status != 401:
                yield broken(f"a key of {least_s:.0f} s was answered {attempt.status}, allowed: 401 after 1800 s", attempt)
            elif least_s > KEY_LIFETIME_S - 60:
                yield kept(attempt)


def _is_beside_others(life: KeyLife, attempt: Exchange) -> bool:
    """Whether another attempt with this key was under way at the same time, so that either may have won."""
    end = attempt.ended.line if attempt.ended else attempt.asked.line
    for other in life.attempts:
        other_end = other.ended.line if other.ended else other.asked.line
        if other is not attempt and other.asked.line < end and attempt.asked.line < other_end:
            return True
    return False


@check("KEY-02", unseen="no key was tried again after a successful use")
def key_works_once(history: History) -> Iterator[Observation]:
    """After a successful use a key answers 401 for ever."""
    for life in key_lives(history):
        done = next((attempt for attempt in life.attempts if attempt.is_delivered_whole and attempt.request.method == "GET"), None)
        if done is None or done.ended is None:
            continue
        for attempt in life.own_attempts():
            if attempt.asked.line < done.ended.line or attempt.status is None:
                continue
            if attempt.status == 401:
                yield kept(done, attempt)
            else:
                yield broken(f"a used key was answered {attempt.status}, allowed: 401", done, attempt)


@check("KEY-03", unseen="no key was used by several connections at once")
def concurrent_uses_deliver_once(history: History) -> Iterator[Observation]:
    """Of concurrent uses of one key at most one delivers the file."""
    for life in key_lives(history):
        racing = [attempt for attempt in life.own_attempts() if _is_beside_others(life, attempt)]
        if len(racing) < 2:
            continue
        whole = [attempt for attempt in racing if attempt.is_delivered_whole]
        started = [attempt for attempt in racing if attempt.status == 200]
        statuses = sorted({attempt.status for attempt in racing if attempt.status is not None})
        if len(whole) > 1:
            yield broken(f"{len(whole)} of {len(racing)} concurrent uses got the whole file, allowed: 1", *racing)
        elif _policy(history) == "first-use" and (len(started) != 1 or not set(statuses) <= {200, 401}):
            yield broken(f"{len(racing)} concurrent uses were answered {statuses}, allowed: one 200, all others 401", *racing)
        else:
            yield kept(*racing)


@check("KEY-04", unseen="no key was tried with another device's token")
def key_is_bound_to_its_device(history: History) -> Iterator[Observation]:
    """Another device's valid token with this key answers 403."""
    devices = TargetView.of(history).devices
    for life in key_lives(history):
        for attempt in life.attempts:
            credential = attempt.request.credential
            is_foreign = credential.startswith("token:") and credential != life.owner_credential
            if not is_foreign or credential.removeprefix("token:") not in devices or attempt.status is None:
                continue
            if not _unspent_before(life, attempt):
                continue
            if attempt.status == 403:
                yield kept(attempt)
            else:
                yield broken(
                    f"the token of {credential.removeprefix('token:')} got {attempt.status} with a key of {life.device_id}, allowed: 403",
                    attempt,
                )


@check("KEY-05", unseen="no key was used after a refused attempt")
def refused_attempt_does_not_use_up_the_key(history: History) -> Iterator[Observation]:
    """A refused attempt (401, 403, 404, HEAD) leaves the key to its device."""
    for life in key_lives(history):
        for attempt in life.own_attempts():
            refused = [
                other
                for other in life.attempts
                if other.ended is not None
                and other.ended.line < attempt.asked.line
                and (other.status in (401, 403, 404, 405) or other.request.method == "HEAD")
            ]
            _, greatest_s = life.age_bounds_s(history, attempt)
            if not refused or not _unspent_before(life, attempt) or greatest_s > KEY_LIFETIME_S - _AGE_TOLERANCE_S:
                continue
            if attempt.status == 200:
                yield kept(*refused, attempt)
            elif attempt.status is not None:
                statuses = [other.status for other in refused]
                yield broken(f"after attempts answered {statuses} the right device got {attempt.status}, allowed: 200", *refused, attempt)


@check("KEY-06a", "KEY-06b", unseen="no unknown key was tried")
def unknown_key_is_refused(history: History) -> Iterator[Observation]:
    """An unknown, empty, absent, truncated, repeated or case-changed key is refused, never with a 5xx."""
    issued = {life.key for life in key_lives(history)}
    devices = TargetView.of(history).devices
    for attempt in history.downloads():
        if attempt.status is None or attempt.key in issued or attempt.request.method != "GET":
            continue
        if attempt.request.credential.removeprefix("token:") not in devices:
            continue
        shown = attempt.request.url.partition("?")[2] or "no query"
        if not 400 <= attempt.status < 500:
            yield broken(f"{shown} was answered {attempt.status}, allowed: 401", attempt, requirement="KEY-06a")
        elif attempt.status != 401:
            yield broken(f"{shown} was answered {attempt.status}, our reading: 401", attempt, requirement="KEY-06b")
        else:
            yield kept(attempt)


@check("KEY-07", unseen="no key was issued")
def key_is_hard_to_guess(history: History) -> Iterator[Observation]:
    """A key has room for 128 bits of randomness, in the alphabet of URLs."""
    issued = {life.key for life in key_lives(history)}
    for seen in history.of(SecretSeen):
        if seen.fact.label not in issued:
            continue
        if seen.fact.alphabet != "base64url":
            yield broken(f"key {seen.fact.label} holds characters outside A-Z a-z 0-9 _ -", seen)
        elif seen.fact.bits_max < _BITS_MIN:
            yield broken(f"a key of {seen.fact.length} characters holds at most {seen.fact.bits_max:.0f} bits, allowed: {_BITS_MIN}", seen)
        else:
            yield kept(seen)
