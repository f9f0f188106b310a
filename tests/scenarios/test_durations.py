"""How long something may take, as users type it."""

import pytest

from harness.errors import OptionError
from scenarios.durations import duration_s


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("1h", 3600), ("0", 0)])
def test_hours_minutes_and_seconds_are_read(text, seconds):
    assert duration_s("--run-time", text) == seconds


@pytest.mark.parametrize("text", ["", "x", "1.5m", "-3", "3x", "٣s", "5m1h"])
def test_anything_else_is_refused_with_the_name_of_the_option(text):
    with pytest.raises(OptionError, match="--budget"):
        duration_s("--budget", text)
