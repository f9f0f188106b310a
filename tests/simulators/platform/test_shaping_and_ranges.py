"""Rates, the link that downloads of one device share, and the Range header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.platform.ranges import Unsatisfiable, requested_span
from simulators.platform.shaping import Shaper, parse_rate


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("20kbit", 2_500.0),
        ("1.5Mbit/s", 187_500.0),
        ("64KiB", 65_536.0),
        ("8 bit", 1.0),
        ("1MB/s", 1e6),
        ("9600bit/s", 1_200.0),
        ("100b", 100.0),
    ],
)
def test_rates(text, bytes_per_s):
    assert parse_rate(text) == bytes_per_s


@pytest.mark.parametrize("text", ["", "fast", "0kbit", "-1kbit", "kbit", "1e3kbit", "20"])
def test_what_is_no_rate(text):
    with pytest.raises(ValueError, match="no rate"):
        parse_rate(text)


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=30))
def test_bytes_leave_a_link_one_after_the_other(sizes):
    shaper = Shaper(1_000.0)
    assert [shaper.delay_s(size, 5.0) for size in sizes] == pytest.approx([sum(sizes[: n + 1]) / 1_000 for n in range(len(sizes))])


@pytest.mark.parametrize(
    ("fields", "span"),
    [
        ([], None), (["bytes=0-0"], (0, 1)), (["bytes=2-"], (2, 10)), (["bytes=-3"], (7, 10)), (["bytes=-30"], (0, 10)),
        (["BYTES=0-99"], (0, 10)),
        (["bytes=5-4"], None), (["bytes=0-1,3-4"], None), (["bytes="], None), (["bytes=-"], None), (["x=0-1"], None),
        (["bytes=0-1", "bytes=2-3"], None),
    ],
)  # fmt: skip
def test_ranges(fields, span):
    assert requested_span(fields, 10) == span


@pytest.mark.parametrize("field", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_ranges_behind_the_end(field):
    with pytest.raises(Unsatisfiable):
        requested_span([field], 10)
