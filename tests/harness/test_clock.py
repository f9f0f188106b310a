"""The door to time: durations and wall time move together, and the test clock moves forward only."""

import time

import pytest

from harness.clock import AdvanceableClock, ManualClock, SystemClock, rfc3339


def test_the_system_clock_is_the_machine_s(monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 12.5)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.25)
    assert (SystemClock().monotonic_s(), SystemClock().utc_s()) == (12.5, 1_700_000_000.25)


def test_an_advance_moves_both_clocks():
    base = ManualClock(monotonic_s=10, utc_s=1_000)
    clock = AdvanceableClock(base)
    clock.advance(1_800)
    assert (clock.monotonic_s(), clock.utc_s()) == (1_810, 2_800)


def test_an_advanced_clock_goes_on_running_with_its_base():
    base = ManualClock(monotonic_s=10, utc_s=1_000)
    clock = AdvanceableClock(base)
    clock.advance(5)
    base.advance(2)
    assert (clock.monotonic_s(), clock.utc_s()) == (17, 1_007)


def test_a_clock_does_not_move_back():
    clock = AdvanceableClock(ManualClock())
    with pytest.raises(ValueError, match="forward only, not by -1"):
        clock.advance(-1)


def test_listeners_hear_of_an_advance_after_it_happened():
    clock = AdvanceableClock(ManualClock(monotonic_s=0))
    heard = []
    clock.on_advance(lambda: heard.append(clock.monotonic_s()))
    clock.advance(3)
    assert heard == [3]


def test_a_listener_that_left_hears_nothing():
    clock = AdvanceableClock(ManualClock())
    heard = []
    leave = clock.on_advance(lambda: heard.append(1))
    leave()
    clock.advance(3)
    assert heard == []


def test_a_listener_may_leave_while_it_is_called():
    clock = AdvanceableClock(ManualClock())
    heard = []
    leave = clock.on_advance(lambda: (heard.append("first"), leave()))
    clock.on_advance(lambda: heard.append("second"))
    clock.advance(1)
    clock.advance(1)
    assert heard == ["first", "second", "second"]


@pytest.mark.parametrize(
    ("utc_s", "digits", "text"),
    [
        (0, 0, "1970-01-01T00:00:00Z"),
        (1_700_000_000.999, 0, "2023-11-14T22:13:20Z"),
        (1_700_000_000.5, 3, "2023-11-14T22:13:20.500Z"),
        (1_700_000_000.5, 6, "2023-11-14T22:13:20.500000Z"),
    ],
)
def test_rfc_3339_is_utc_and_cut_not_rounded(utc_s, digits, text):
    assert rfc3339(utc_s, fraction_digits=digits) == text
