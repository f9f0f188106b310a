"""The family KEY: a download key lives thirty minutes, works once, and for one device."""

from collections.abc import Iterator

from harness.checks import key_secrecy
from harness.checks.admission import TargetView
from harness.checks.command_calls import answered_or_hung_up, shown_status
from harness.checks.key_life import KeyLife, is_token_taken, key_lives, may_have_used, offered_keys, use_policy
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import Exchange, History
from harness.wire.commands import COMPLETE_DELIVERY, FIRST_USE, KEY_LIFETIME_S

# Importing this module registers the whole family (entry point `hil.checks`).
__all__ = ["key_secrecy"]

_AGE_TOLERANCE_S = 2.0  # KEY-01
# What is wrong with a key that does not work when it is fresh may be the file (DLD-01) or the token (DLD-02), not its life.
_FRESH_S = 60.0
# Acceptance "until thirty minutes" was seen where a key still worked in the last minute of them.
_LAST_PART_S = 60.0


def _is_unspent(life: KeyLife, attempt: Exchange) -> bool:
    """Whether no other attempt can have used the key before, or meanwhile."""
    return not any(may_have_used(other) for other in life.before(attempt)) and not life.is_beside_others(attempt)


def _is_surely_alive(life: KeyLife, history: History, attempt: Exchange) -> bool:
    return life.age_bounds_s(history, attempt)[1] < KEY_LIFETIME_S - _AGE_TOLERANCE_S


@check("KEY-01a", unseen="not both were seen: a key used in the last minute of its life, and one tried after thirty minutes")
def key_lives_thirty_minutes(history: History) -> Iterator[Observation]:
    """A key is accepted until thirty minutes after its issue, and refused with 401 from then on."""
    alive, dead = list(_uses_before_the_end(history)), list(_tries_after_the_end(history))
    observations = [observation for _, observation in alive] + dead
    is_seen_whole = any(age_s > KEY_LIFETIME_S - _LAST_PART_S for age_s, _ in alive) and bool(dead)
    if is_seen_whole or any(observation.detail for observation in observations):
        yield from observations


def _uses_before_the_end(history: History) -> Iterator[tuple[float, Observation]]:
    """First uses of keys that are no longer fresh and surely alive, with the key's least age in seconds."""
    for life, attempt in _judged_alone(history):
        least_s, greatest_s = life.age_bounds_s(history, attempt)
        if _is_surely_alive(life, history, attempt) and not life.before(attempt) and least_s > _FRESH_S:
            yield least_s, _accepted_at(attempt, greatest_s)


def _tries_after_the_end(history: History) -> Iterator[Observation]:
    for life, attempt in _judged_alone(history):
        least_s = life.age_bounds_s(history, attempt)[0]
        if least_s > KEY_LIFETIME_S + _AGE_TOLERANCE_S and _is_unspent(life, attempt):
            yield _refused_at(attempt, least_s)


def _judged_alone(history: History) -> Iterator[tuple[KeyLife, Exchange]]:
    for life in key_lives(history):
        for attempt in life.own_attempts():
            if answered_or_hung_up(attempt) and not life.is_beside_others(attempt):
                yield life, attempt


def _accepted_at(attempt: Exchange, age_s: float) -> Observation:
    if attempt.status == 200:
        return kept(attempt)
    return broken(f"a key of {age_s:.0f} s was answered {shown_status(attempt)}, allowed: 200 until 1800 s", attempt)


def _refused_at(attempt: Exchange, age_s: float) -> Observation:
    if attempt.status == 401:
        return kept(attempt)
    return broken(f"a key of {age_s:.0f} s was answered {shown_status(attempt)}, allowed: 401 after 1800 s", attempt)


@check(
    "KEY-01a",
    unseen="no fresh key was used, or none whose device's token is taken",
    hint="a life that another command of the device, a restart or a clean-up ends",
)
def fresh_key_is_accepted(history: History) -> Iterator[Observation]:
    """A fresh key that nobody tried before is not called dead, whatever else was commanded meanwhile."""
    for life in key_lives(history):
        for attempt in life.own_attempts()[:1]:
            least_s, greatest_s = life.age_bounds_s(history, attempt)
            if life.before(attempt) or life.is_beside_others(attempt) or least_s > _FRESH_S or not _is_surely_alive(life, history, attempt):
                continue
            if attempt.status == 200 or (attempt.status == 401 and is_token_taken(history, life.owner_credential)):
                yield _accepted_at(attempt, greatest_s)


@check(
    "KEY-02",
    unseen="no key was tried again after a successful use",
    hint="mark the key as used before the first body byte, in the store and not in memory only",
)
def key_works_once(history: History) -> Iterator[Observation]:
    """After a successful use a key answers 401 for ever."""
    for life in key_lives(history):
        done = next((attempt for attempt in life.attempts if attempt.is_delivered_whole), None)
        if done is None or done.ended is None:
            continue
        for attempt in life.attempts:
            if not _is_later_use(life, done.ended.line, attempt):
                continue
            is_dead_anyway = not _is_surely_alive(life, history, attempt)
            if attempt.status == 401 or (attempt.status == 416 and not life.is_proper(attempt)):
                yield kept(done, attempt)
            elif attempt.status in (200, 206) or not is_dead_anyway:  # How an expired key is refused is KEY-01's question.
                yield broken(f"a used key was answered {shown_status(attempt)}, allowed: 401", done, attempt)


def _is_later_use(life: KeyLife, done_line: int, attempt: Exchange) -> bool:
    """Whether the key's device tried it again and was answered. A HEAD says something only where it is taken: 405 is allowed."""
    is_silent = not answered_or_hung_up(attempt) or (attempt.request.method == "HEAD" and attempt.status != 200)
    return attempt.asked.line > done_line and attempt.request.credential == life.owner_credential and not is_silent


@check(
    "KEY-03",
    unseen="no key was used by several connections at once",
    hint="look-then-mark: claim the key in one atomic statement (UPDATE … WHERE state = issued) and look at the number of rows",
)
def concurrent_uses_deliver_once(history: History) -> Iterator[Observation]:
    """Of concurrent uses of one key at most one delivers the file."""
    for life in key_lives(history):
        racing = [attempt for attempt in life.own_attempts() if life.is_beside_others(attempt)]
        if len(racing) < 2 or any(may_have_used(other) and other not in racing for other in life.before(racing[0])):
            continue
        whole = [attempt for attempt in racing if attempt.is_delivered_whole]
        statuses = [attempt.status for attempt in racing]
        counted = ", ".join(f"{status} × {statuses.count(status)}" for status in dict.fromkeys(statuses))
        if len(whole) > 1:
            yield broken(f"{len(whole)} of {len(racing)} concurrent uses got the whole file, allowed: 1", *racing)
        elif None in statuses:
            continue  # An answer that was not seen may have been the winner's.
        elif use_policy(history) == FIRST_USE and (statuses.count(200) != 1 or not set(statuses) <= {200, 401}):
            yield broken(f"{len(racing)} concurrent uses were answered {counted}, allowed: one 200, all others 401", *racing)
        else:
            yield kept(*racing)


@check("KEY-04", unseen="no key was tried with another device's token", hint="the key is looked up without the device that the token names")
def key_is_bound_to_its_device(history: History) -> Iterator[Observation]:
    """Another device's valid token with this key answers 403."""
    for life, attempt in _foreign_attempts(history):
        is_served = attempt.status in (200, 206)  # which a spent or expired key does not excuse
        if not is_served and (not _is_unspent(life, attempt) or not _is_surely_alive(life, history, attempt)):
            continue
        if not is_served and attempt.status != 403 and life.before(attempt):
            continue  # What came before may have used the key up: that is KEY-05's question.
        if attempt.status == 403:
            yield kept(attempt)
        else:
            stranger = attempt.request.credential.removeprefix("token:")
            yield broken(f"the token of {stranger} got {shown_status(attempt)} with a key of {life.device_id}, allowed: 403", attempt)


def _foreign_attempts(history: History) -> Iterator[tuple[KeyLife, Exchange]]:
    """Answered GETs with a key and the valid token of another device."""
    devices = TargetView.of(history).devices
    for life in key_lives(history):
        for attempt in life.attempts:
            credential = attempt.request.credential
            is_foreign = credential.startswith("token:") and credential != life.owner_credential
            if (
                is_foreign
                and credential.removeprefix("token:") in devices
                and answered_or_hung_up(attempt)
                and attempt.request.method == "GET"
            ):
                yield life, attempt


@check(
    "KEY-05",
    unseen="no key was used after a refused attempt",
    hint="a router that serves HEAD with the GET handler, or a key that is claimed before the token and the device are looked at",
)
def refused_attempt_does_not_use_up_the_key(history: History) -> Iterator[Observation]:
    """A refused attempt (401, 403, 404, HEAD) leaves the key to its device."""
    for life in key_lives(history):
        for attempt in life.own_attempts():
            refused = [other for other in life.before(attempt) if not may_have_used(other)]
            if not refused or not _is_unspent(life, attempt) or not _is_surely_alive(life, history, attempt):
                continue
            deleted = any(seen.fact.facts["name"] == life.file_name for seen in history.stimuli("file deleted"))
            if attempt.status == 200:
                yield kept(*refused, attempt)
            elif answered_or_hung_up(attempt) and not deleted:
                tried = ", ".join(f"{other.request.method} {other.status}" for other in refused)
                yield broken(f"after {tried} the right device got {shown_status(attempt)}, allowed: 200", *refused, attempt)


@check("KEY-06a", "KEY-06b", "KEY-06c", unseen="no unknown key was tried")
def unknown_key_is_refused(history: History) -> Iterator[Observation]:
    """An unknown, empty, absent, truncated, repeated or case-changed key is refused, never with a 5xx."""
    issued = offered_keys(history)
    target = TargetView.of(history)
    for attempt in history.downloads():
        is_owned = attempt.request.credential.removeprefix("token:") in target.devices
        if attempt.key in issued or attempt.request.method != "GET" or not is_owned:
            continue
        how = _how(history, attempt) + " key"
        is_repeated = attempt.request.url.count("key=") > 1
        wanted = target.status_read("KEY-06c" if is_repeated else "KEY-06b", 401)
        if not answered_or_hung_up(attempt):
            continue
        if attempt.status == wanted:
            yield kept(attempt)
        elif is_repeated:
            yield broken(f"{how} was answered {shown_status(attempt)}, our reading: {wanted}", attempt, requirement="KEY-06c")
        elif attempt.status is not None and 400 <= attempt.status < 500:
            yield broken(f"{how} was answered {attempt.status}, our reading: {wanted}", attempt, requirement="KEY-06b")
        else:
            yield broken(f"{how} was answered {shown_status(attempt)}, allowed: 401", attempt, requirement="KEY-06a")


def _how(history: History, attempt: Exchange) -> str:
    """What the scenario said last of the key that it was about to try."""
    said = [seen for seen in history.stimuli("trying a key") if seen.event.scope == attempt.scope and seen.line < attempt.asked.line]
    return str(said[-1].fact.facts["how"]) if said else "an unknown"


@check(
    "KEY-08",
    unseen="no transfer was broken off and tried again",
    hint="a server cannot tell from its own writes that a body has arrived: declare the policy that it follows as KEY-08",
)
def key_is_used_as_declared(history: History) -> Iterator[Observation]:
    """What uses up a key follows the declared policy; ours is the first GET that passes every check."""
    declared = history.start.target.get("declares", {}).get("KEY-08")
    expected = str(declared or FIRST_USE)
    for life in key_lives(history):
        for again in life.own_attempts():
            begun = [other for other in life.before(again) if may_have_used(other) and other.status is not None]
            is_clear = all(other.request.credential == life.owner_credential for other in begun)
            if any(other.status is None for other in life.before(again)):
                continue
            if not begun or not is_clear or any(other.is_delivered_whole for other in begun) or again.status is None:
                continue
            if life.is_beside_others(again) or not _is_surely_alive(life, history, again):
                continue
            if expected == COMPLETE_DELIVERY and _may_be_complete(begun):
                continue
            yield _by_policy(expected, bool(declared), begun, again)


def _may_be_complete(begun: list[Exchange]) -> bool:
    """Whether parts and broken transfers together may have delivered the whole file."""
    sizes = {total for attempt in begun if (total := _whole_size(attempt)) is not None}
    received = sum(attempt.ended.fact.received_bytes for attempt in begun if attempt.ended)
    return not sizes or received >= min(sizes)


def _whole_size(attempt: Exchange) -> int | None:
    """The size of the whole file, as an answer tells it."""
    content_range, length = attempt.header("content-range") or "", attempt.header("content-length") or ""
    total = content_range.rpartition("/")[2] if attempt.status == 206 else length
    return int(total) if total.isdigit() else None


def _by_policy(expected: str, is_declared: bool, begun: list[Exchange], again: Exchange) -> Observation:
    """One judgement of a use after a broken transfer."""
    wanted = 200 if expected == COMPLETE_DELIVERY else 401
    if again.status == wanted:
        return kept(*begun, again)
    words = "declared" if is_declared else "our reading"
    return broken(f"after a broken transfer the key was answered {again.status}, {words}: {expected}, so {wanted}", *begun, again)


@check("KEY-11", unseen="no request with several defects was made with a key")
def key_defects_are_answered_in_order(history: History) -> Iterator[Observation]:
    """A bad token is answered before a bad key, and a bad key before another device's."""
    for life, attempt in _foreign_attempts(history):
        used = any(other.is_delivered_whole for other in life.before(attempt))
        least_s, _ = life.age_bounds_s(history, attempt)
        if not used and least_s <= KEY_LIFETIME_S + _AGE_TOLERANCE_S:
            continue
        if attempt.status == 401:
            yield kept(attempt)
        elif attempt.status not in (200, 206):  # KEY-04 speaks of those that were served.
            what = "a used" if used else "an expired"
            yield broken(f"{what} key of another device was answered {attempt.status}, our reading: 401 for the key first", attempt)
    issued = offered_keys(history)
    for attempt in history.downloads():
        if attempt.key in issued or attempt.request.credential not in ("none", "unknown") or attempt.status is None:
            continue
        if attempt.status == 401:
            yield kept(attempt)
        else:
            yield broken(f"a bad token with a bad key was answered {attempt.status}, our reading: 401", attempt)
