"""Locust's table as figures: the only place that knows how Locust names them. Duck-typed, so that nothing here imports Locust."""

from typing import Any

from scenarios.load.thresholds import ALL, Figures


def figures_of(stats: Any) -> dict[str, Figures]:
    """By the name of the entry, and all of them together; `stats` is Locust's RequestStats."""
    found = {entry.name: _figures(entry) for entry in stats.entries.values()}
    return found | {ALL: _figures(stats.total)} if found else {}


def _figures(entry: Any) -> Figures:
    return Figures(
        count=entry.num_requests,
        failures=entry.num_failures,
        requests_per_s=round(entry.total_rps, 2),
        mean_ms=round(entry.avg_response_time, 2),
        p50_ms=_quantile(entry, 0.50),
        p95_ms=_quantile(entry, 0.95),
        p99_ms=_quantile(entry, 0.99),
    )


def _quantile(entry: Any, part: float) -> float:
    return float(entry.get_response_time_percentile(part) or 0)
