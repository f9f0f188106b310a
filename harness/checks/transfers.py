"""The family DLD, second part: slow transfers, and file names that no header likes."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from harness.checks.key_life import KeyLife, key_lives, moved_bounds_s
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import Stimulus
from harness.history.timeline import Exchange, History, Seen
from harness.wire.commands import KEY_LIFETIME_S, TRANSFER_TIME_S_MAX
from harness.wire.files import is_plain_name

TRANSFER_TOLERANCE_S = 5.0  # DLD-05: what a clock that is read from outside may miss
_ALMOST_S = 60.0  # A transfer that is over before says nothing about fifteen minutes.
# What scenarios announce that read slowly.
_SLOW_READERS = ("stretching a transfer", "pausing a transfer", "fast alone", "memory beside slow downloads")
# A fast download beside slow ones may take this much longer than alone, and this many times as long.
_SLOWER_S_MAX = 2.0
_SLOWER_FACTOR_MAX = 10.0
# What every process may grow by, whatever it does; then per slow download.
_GROWTH_FREE_BYTES = 32 * 1024 * 1024
_GROWTH_PER_DOWNLOAD_BYTES = 2 * 1024 * 1024


def _span_bounds_s(history: History, attempt: Exchange) -> tuple[float, float]:
    """How long a transfer took by the target's clock, at least and at most: from the response's start to its end, in seconds."""
    assert attempt.answered is not None
    assert attempt.ended is not None
    real_s = attempt.ended.at_s - attempt.answered.at_s
    least_s, greatest_s = moved_bounds_s(history, attempt.answered.line, attempt.ended.line)
    return real_s + least_s, real_s + greatest_s


def _stretched(history: History, announcement: str = "stretching a transfer") -> Iterator[tuple[KeyLife, Exchange, float, float]]:
    """Transfers that a scenario stretched over minutes of the target's clock, and that we did not end; with the bounds of their time."""
    announced = {seen.event.scope: seen.line for seen in history.stimuli(announcement)}
    broken_files = _files_that_never_come_whole(history)
    for life in key_lives(history):
        if _file_of(life) in broken_files:
            continue  # That a file does not come whole at any speed is DLD-01's question.
        for attempt in life.own_attempts():
            if attempt.ended is None or attempt.status != 200 or attempt.was_ended_by_us:
                continue
            if attempt.scope in announced and announced[attempt.scope] < attempt.asked.line:
                yield life, attempt, *_span_bounds_s(history, attempt)


def _file_of(life: KeyLife) -> tuple[str, str, str]:
    return life.project_id, life.file_type, life.file_name


def _files_that_never_come_whole(history: History) -> set[tuple[str, str, str]]:
    """Files that were asked for by readers that were not slow, of whose transfers none came whole."""
    slow = {seen.event.scope for announcement in _SLOW_READERS for seen in history.stimuli(announcement)}
    plain = [
        (_file_of(life), attempt.is_delivered_whole)
        for life in key_lives(history)
        for attempt in life.own_attempts()
        if attempt.status == 200 and attempt.ended and not attempt.was_ended_by_us and attempt.scope not in slow
    ]
    return {file for file, _ in plain} - {file for file, is_whole in plain if is_whole}


@check("DLD-05a", unseen="no transfer was stretched to just under fifteen minutes")
def slow_transfer_completes_within_fifteen_minutes(history: History) -> Iterator[Observation]:
    """A transfer that a slow device stretches to just under fifteen minutes completes."""
    for _, attempt, least_s, greatest_s in _stretched(history):
        assert attempt.ended is not None
        if attempt.is_delivered_whole and greatest_s > TRANSFER_TIME_S_MAX - _ALMOST_S and least_s < TRANSFER_TIME_S_MAX:
            yield kept(attempt)
        elif not attempt.is_delivered_whole and greatest_s < TRANSFER_TIME_S_MAX - TRANSFER_TOLERANCE_S:
            ended = attempt.ended.fact
            detail = f"a transfer was cut after {greatest_s:.0f} s and {ended.received_bytes} bytes, allowed: 900 s"
            yield broken(detail, attempt, hint="a write or idle time-out of the server or of a proxy in front of it")


@check(
    "DLD-05c",
    unseen="no transfer was let stand",
    hint="an idle or write time-out, or a least rate, of the server or of a proxy in front of it",
)
def paused_transfer_goes_on(history: History) -> Iterator[Observation]:
    """A transfer of which a device reads nothing for a while goes on and completes."""
    for _, attempt, _, greatest_s in _stretched(history, "pausing a transfer"):
        assert attempt.ended is not None
        if attempt.is_delivered_whole:
            yield kept(attempt)
        elif greatest_s < TRANSFER_TIME_S_MAX - TRANSFER_TOLERANCE_S:
            cut = f"a transfer that stood for a while was cut after {greatest_s:.0f} s and {attempt.ended.fact.received_bytes} bytes"
            yield broken(f"{cut}, allowed: 900 s", attempt)


@check("DLD-05b", unseen="no transfer was stretched beyond fifteen minutes")
def slow_transfer_is_cut_after_fifteen_minutes(history: History) -> Iterator[Observation]:
    """A transfer is cut when fifteen minutes have passed since the response's start."""
    for _, attempt, least_s, greatest_s in _stretched(history):
        if attempt.is_delivered_whole and least_s > TRANSFER_TIME_S_MAX + TRANSFER_TOLERANCE_S:
            yield broken(f"a transfer of {least_s:.0f} s was completed, our reading: cut at 900 s", attempt)
        elif not attempt.is_delivered_whole and greatest_s > TRANSFER_TIME_S_MAX - TRANSFER_TOLERANCE_S:
            yield kept(attempt)


@check("KEY-09", unseen="no transfer went on beyond its key's thirty minutes")
def transfer_may_outlive_its_key(history: History) -> Iterator[Observation]:
    """Expiry is judged when a transfer starts: one that starts before it may run on."""
    for life, attempt, _, greatest_s in _stretched(history):
        began_s, _ = life.age_bounds_s(history, attempt)
        outlived = began_s < KEY_LIFETIME_S < began_s + greatest_s and greatest_s < TRANSFER_TIME_S_MAX - TRANSFER_TOLERANCE_S
        if not outlived:
            continue
        if attempt.is_delivered_whole:
            yield kept(attempt)
        else:
            detail = f"a transfer that began with a key of {began_s:.0f} s was cut within {greatest_s:.0f} s, our reading: it runs on"
            yield broken(detail, attempt)


@check(
    "DLD-07",
    unseen="no fast download was made beside slow ones",
    hint="one worker, thread or lock per transfer: stream from an event loop or from the kernel",
)
def slow_downloads_do_not_slow_others(history: History) -> Iterator[Observation]:
    """A fast download and a command stay fast while several slow ones run."""
    for seen in history.stimuli("beside slow downloads"):
        alone, beside = (_durations_s(history, seen, word) for word in ("alone", "beside"))
        for what in alone.keys() & beside.keys():
            bound_s = alone[what] * _SLOWER_FACTOR_MAX + _SLOWER_S_MAX
            if beside[what] <= bound_s:
                yield kept(seen)
            else:
                detail = f"a {what} took {beside[what]:.1f} s beside {seen.fact.facts['slow']} slow downloads, {alone[what]:.2f} s alone"
                yield broken(detail, seen)


def _durations_s(history: History, around: Seen[Stimulus], word: str) -> dict[str, float]:
    """How long the exchanges after the announcement `word` of the same scenario took: the first command, the first download."""
    marks = [seen.line for seen in history.stimuli(f"fast {word}") if seen.event.scope == around.event.scope]
    found: dict[str, float] = {}
    for exchange in history.exchanges:
        if not marks or exchange.scope != around.event.scope or exchange.asked.line < marks[0] or exchange.ended is None:
            continue
        found.setdefault(exchange.request.endpoint, exchange.ended.at_s - exchange.asked.at_s)
    return {what: taken_s for what, taken_s in found.items() if what in ("command", "download")}


@check("DLD-11", unseen="no hook told of the platform's memory")
def memory_of_slow_downloads_is_bounded(history: History) -> Iterator[Observation]:
    """The platform's memory per open slow download is bounded."""
    for seen in history.stimuli("memory beside slow downloads"):
        facts = seen.fact.facts
        grown_bytes = int(facts["after_bytes"]) - int(facts["before_bytes"])
        allowed_bytes = _GROWTH_FREE_BYTES + int(facts["downloads"]) * _GROWTH_PER_DOWNLOAD_BYTES
        if grown_bytes <= allowed_bytes:
            yield kept(seen)
        else:
            yield broken(f"{facts['downloads']} slow downloads took {grown_bytes} bytes of memory, allowed: {allowed_bytes}", seen)


@check(
    "DLD-09",
    unseen="no file with an unusual name was downloaded",
    hint="quote the name, escape quotes and backslashes, and add filename* for what is not ASCII (RFC 6266, RFC 8187)",
)
def unusual_file_name_makes_a_good_header(history: History) -> Iterator[Observation]:
    """A file name with spaces, quotes, `;` or UTF-8 yields a well-formed Content-Disposition that names it."""
    for life in key_lives(history):
        if is_plain_name(life.file_name):
            continue
        for attempt in life.own_attempts():
            disposition = attempt.header("content-disposition")
            if attempt.status != 200 or disposition is None:
                continue
            parameters = disposition_parameters(disposition)
            if parameters is None:
                yield broken(f"Content-Disposition {disposition!r} is not well-formed (RFC 6266)", attempt)
            elif "/" in parameters.get("filename", "") or "\\" in parameters.get("filename", ""):
                yield broken(f"Content-Disposition {disposition!r} holds a path", attempt)
            else:
                yield kept(attempt)


_PARAMETER = re.compile(r"""\s*;\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*("(?:[^"\\\x00-\x1f\x7f]|\\.)*"|[A-Za-z0-9!#$%&'*+.^_`|~-]+)""")


def disposition_parameters(header: str) -> dict[str, str] | None:
    """The parameters of a Content-Disposition, unquoted; None where it is not well-formed.   Source: RFC 6266 4.1, RFC 8187 3.2."""
    start = re.match(r"\s*attachment", header, re.IGNORECASE)
    if start is None:
        return None
    position, found = start.end(), {}
    while match := _PARAMETER.match(header, position):
        name, value = match.group(1).lower(), match.group(2)
        found[name] = _extended(value) if name.endswith("*") else _unquoted(value)
        position = match.end()
    return found if not header[position:].strip() and all(value is not None for value in found.values()) else None


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _extended(value: str) -> Any:
    parts = value.split("'", 2)
    return unquote(parts[2]) if len(parts) == 3 and parts[0].upper() in ("UTF-8", "ISO-8859-1") else None
