"""The only door to time.

Two clocks in one: a monotonic one for durations and a UTC one for what is written down. Cores take a `Clock` and never wait; skins wait
on their event loop, whose time is the same monotonic clock (real or simulated).
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the product knows of time."""

    def monotonic_s(self) -> float:
        """Seconds since an arbitrary start; never goes back. For durations."""
        ...

    def utc_s(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump. For `expires_at` and logs only."""
        ...


class SystemClock:
    """The machine's clocks. Looks `time` up at each call, so that a simulated world can put its own functions there."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def utc_s(self) -> float:
        return time.time()


class AdvanceableClock:
    """A clock that runs like its base and can be moved forward: the test clock of interfaces.md (`advance_url`)."""

    def __init__(self, base: Clock) -> None:
        self._base = base
        self._ahead_s = 0.0
        self._listeners: list[Callable[[], None]] = []

    def monotonic_s(self) -> float:
        return self._base.monotonic_s() + self._ahead_s

    def utc_s(self) -> float:
        return self._base.utc_s() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward by `seconds` (at least 0) and tells the listeners. Raises ValueError for a negative step."""
        if seconds < 0:
            raise ValueError(f"a clock moves forward only, not by {seconds} s")
        self._ahead_s += seconds
        for listener in list(self._listeners):
            listener()

    def on_advance(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Calls `listener` after each advance, so that a wait on this clock can look again; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)


class ManualClock:
    """A clock that stands still until it is told; for tests of cores."""

    def __init__(self, *, monotonic_s: float = 1_000.0, utc_s: float = 1_700_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._utc_s = utc_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def utc_s(self) -> float:
        return self._utc_s

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward by `seconds`."""
        self._monotonic_s += seconds
        self._utc_s += seconds


def rfc3339(utc_s: float, *, fraction_digits: int = 0) -> str:
    """`utc_s` (seconds since 1970) as RFC 3339 in UTC with `Z`, cut (not rounded) to 0, 3 or 6 digits of the second."""
    moment = datetime.fromtimestamp(utc_s, UTC)
    spec = {0: "seconds", 3: "milliseconds", 6: "microseconds"}[fraction_digits]
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"
