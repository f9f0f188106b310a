"""Thresholds: what is read, and which sentence a broken one gives."""

import pytest

from harness.errors import ConfigurationError
from scenarios.load.thresholds import Figures, LedgerLimits, RequestLimits, Thresholds, broken, read_thresholds
from simulators.fleet.totals import Totals

MEASURED = Figures(count=200, failures=2, requests_per_s=20.0, mean_ms=10.0, p50_ms=9.0, p95_ms=30.0, p99_ms=80.0)
TOTALS = Totals(sent=200, accepted=198, unknown=2, delivered_once=198, late=4)


def sentences(requests=None, **ledger):
    limits = Thresholds(requests={name: RequestLimits(**table) for name, table in (requests or {}).items()}, ledger=LedgerLimits(**ledger))
    return list(broken(limits, {"delivery": MEASURED}, TOTALS))


@pytest.mark.parametrize(
    ("limit", "holds", "breaks"),
    [
        ("mean_ms_max", 10, 9.9),
        ("p50_ms_max", 9, 8.9),
        ("p95_ms_max", 30, 29),
        ("p99_ms_max", 80, 79),
        ("failures_percent_max", 1, 0.9),
        ("failures_max", 2, 1),
        ("count_min", 200, 201),
        ("requests_per_s_min", 20, 20.1),
    ],
)
def test_a_limit_holds_at_its_value_and_is_broken_beyond(limit, holds, breaks):
    assert sentences({"delivery": {limit: holds}}) == []
    [sentence] = sentences({"delivery": {limit: breaks}})
    assert f"{breaks:g}" in sentence
    assert "delivery" in sentence


@pytest.mark.parametrize(("limit", "holds"), [("unknown_percent_max", 1), ("late_percent_max", 2), ("refused_percent_max", 0)])
def test_limits_of_the_ledger_are_percentages_of_what_was_sent(limit, holds):
    assert sentences(**{limit: holds}) == []


def test_a_broken_limit_of_the_ledger_is_told():
    assert sentences(late_percent_max=1.5) == ["ledger: late_percent is 2, allowed is at most 1.5"]


def test_a_limit_on_what_never_occurred_is_broken():
    [sentence] = sentences({"downlaod": {"p95_ms_max": 100}})
    assert "there were delivery" in sentence


def test_none_at_all_may_be_allowed_to_occur():
    assert sentences({"reconnect": {"count_min": 0}}) == []


def test_a_file_is_read(tmp_path):
    path = tmp_path / "thresholds.toml"
    path.write_text('[requests."command configuration"]\np95_ms_max = 200\n[ledger]\nunknown_percent_max = 0.5\n')
    found = read_thresholds(path)
    assert found.requests["command configuration"].p95_ms_max == 200
    assert found.ledger.unknown_percent_max == 0.5


def test_a_misspelt_limit_is_named_with_its_table(tmp_path):
    path = tmp_path / "thresholds.toml"
    path.write_text("[requests.delivery]\np95_max = 200\n")
    with pytest.raises(ConfigurationError, match=r"requests.delivery\] p95_max: unknown key"):
        read_thresholds(path)
