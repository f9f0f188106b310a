"""What time it was at the target when something happened there: its clock need not be ours, and may have been moved."""

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from harness.history.events import ClockAdvanced
from harness.history.timeline import Exchange, History, Seen

_DATE_RESOLUTION_S = 1.0


def windows_s(history: History, call: Exchange, end: Seen[Any]) -> Iterator[tuple[float, float]]:
    """When the target may have acted on a call, until an event that shows that it had, in seconds UTC, one window per clock.

    By our clock, by the target's Date header, by its test clock. Where the target has a test clock that this run never looked at, nothing
    is known: it may have been moved before.
    """
    asked, shown = call.asked.event, end.event
    ahead_s = _test_clock_ahead_s(history, call)
    if ahead_s is not None:
        yield asked.utc_s + ahead_s, shown.utc_s + ahead_s
    elif "clock" not in history.start.target:
        yield asked.utc_s, shown.utc_s
        date_s = _date_s(call)
        if date_s is not None:
            yield date_s - (shown.utc_s - asked.utc_s), date_s + _DATE_RESOLUTION_S


def _test_clock_ahead_s(history: History, call: Exchange) -> float | None:
    """How far the target's clock was ahead of ours at a call, by the nearest move of its test clock that told its time."""
    moves = [(seen, now_s) for seen in history.of(ClockAdvanced) if (now_s := _instant_s(seen.fact.now)) is not None]
    if not moves:
        return None
    before = [(seen, now_s) for seen, now_s in moves if seen.line < call.asked.line]
    if before:
        seen, now_s = before[-1]
        return now_s - seen.event.utc_s
    seen, now_s = moves[0]
    return now_s - seen.event.utc_s - seen.fact.seconds


def _instant_s(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


def _date_s(call: Exchange) -> float | None:
    try:
        return parsedate_to_datetime(call.header("date") or "").timestamp()
    except (ValueError, TypeError):
        return None
