"""Limits of a load run, from TOML: which figures of which request entry, or of the ledger, make a run fail.

```toml
[requests."command configuration"]     # a name as Locust's table shows it; "all" is everything together
p95_ms_max = 200
failures_percent_max = 0.1
count_min = 1000
requests_per_s_min = 20

[ledger]
unknown_percent_max = 0.5              # of what was sent
late_percent_max = 1
```
A limit for an entry that never occurred is broken by `count_min` only if that is given; any other limit on it is broken too, since nothing
was measured.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from harness.bench.toml_file import Table, first_mistake, read_toml
from simulators.fleet.totals import Totals

ALL = "all"


@dataclass(frozen=True, slots=True)
class Figures:
    """One request entry at the end of a run. Times in milliseconds."""

    count: int
    failures: int
    requests_per_s: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @property
    def failures_percent(self) -> float:
        return 100 * self.failures / self.count if self.count else 0.0


class RequestLimits(Table):
    """Limits of one entry."""

    mean_ms_max: float | None = Field(default=None, ge=0)
    p50_ms_max: float | None = Field(default=None, ge=0)
    p95_ms_max: float | None = Field(default=None, ge=0)
    p99_ms_max: float | None = Field(default=None, ge=0)
    failures_percent_max: float | None = Field(default=None, ge=0, le=100)
    failures_max: int | None = Field(default=None, ge=0)
    count_min: int | None = Field(default=None, ge=0)
    requests_per_s_min: float | None = Field(default=None, ge=0)


class LedgerLimits(Table):
    """Limits of the ledger's columns that are not red by themselves, in percent of what was sent."""

    refused_percent_max: float | None = Field(default=None, ge=0, le=100)
    unknown_percent_max: float | None = Field(default=None, ge=0, le=100)
    late_percent_max: float | None = Field(default=None, ge=0, le=100)
    not_owed_percent_max: float | None = Field(default=None, ge=0, le=100)


class Thresholds(Table):
    """A thresholds file."""

    requests: dict[str, RequestLimits] = Field(default_factory=dict)
    ledger: LedgerLimits = LedgerLimits()


def read_thresholds(path: Path) -> Thresholds:
    """Raises ConfigurationError for the first mistake."""
    try:
        return Thresholds.model_validate(read_toml(path))
    except ValidationError as error:
        raise first_mistake(path, error) from error


def broken(thresholds: Thresholds, figures: Mapping[str, Figures], totals: Totals) -> Iterator[str]:
    """One sentence for each limit that does not hold: the value, and what was allowed."""
    for name, limits in thresholds.requests.items():
        if name in figures:
            yield from _broken_by(name, limits, figures[name])
        else:
            yield from _unmeasured(name, limits, ", ".join(sorted(figures)) or "none")
    for limit, allowed in thresholds.ledger.model_dump(exclude_none=True).items():
        column = limit.removesuffix("_percent_max")
        percent = 100 * getattr(totals, column) / totals.sent if totals.sent else 0.0
        if sentence := _compared("ledger", limit, allowed, percent):
            yield sentence


def _broken_by(name: str, limits: RequestLimits, found: Figures) -> Iterator[str]:
    for limit, allowed in limits.model_dump(exclude_none=True).items():
        if sentence := _compared(name, limit, allowed, getattr(found, limit.rpartition("_")[0])):
            yield sentence


def _unmeasured(name: str, limits: RequestLimits, names: str) -> Iterator[str]:
    """The limits of a request that never occurred; only a count of 0 is no more than there was."""
    for limit, allowed in limits.model_dump(exclude_none=True).items():
        if (limit, allowed) != ("count_min", 0):
            yield f"{name}: {limit} is {allowed:g}, but there was no such request; there were {names}"


def _compared(name: str, limit: str, allowed: float, found: float) -> str:
    """The sentence about a broken limit; empty where it holds."""
    figure, _, side = limit.rpartition("_")
    is_broken = found > allowed if side == "max" else found < allowed
    return f"{name}: {figure} is {found:g}, allowed is at {'most' if side == 'max' else 'least'} {allowed:g}" if is_broken else ""
