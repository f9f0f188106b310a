"""The figures of a fleet's run: how fast it connected, what it carried, how long things took."""

from collections.abc import Sequence
from typing import Any

from simulators.fleet.bookkeeping import Counts


def connect_figures(counts: Counts, took_s: float, memory_bytes: int) -> dict[str, Any]:
    """Once all that can be are connected; `memory_bytes` is what the process has grown by."""
    connected = counts.connected
    return {
        "connected": connected,
        "connect_s": round(took_s, 3),
        "connects_per_s": round(connected / took_s, 1) if took_s else 0.0,
        "memory_per_device_bytes": round(memory_bytes / connected) if connected else 0,
    }


def end_figures(counts: Counts, devices: int, memory_bytes: int) -> dict[str, Any]:
    """At the end of the run."""
    return {
        "delivered": counts.delivered,
        "results": counts.results,
        "reconnects": counts.reconnects,
        "disconnects": counts.disconnects,
        "downloads": {
            "done": counts.downloads_done,
            "failed": counts.downloads_failed,
            "wrong_images": counts.wrong_images,
            "at_a_time": counts.downloads_running_max,
        },
        "latency_ms": {f"p{percent}": quantile_ms(counts.latencies_s, percent) for percent in (50, 95, 99)},
        "memory_per_device_after_bytes": round(memory_bytes / devices),
    }


def quantile_ms(latencies_s: Sequence[float], percent: int) -> float | None:
    """The latency in milliseconds that `percent` of all do not exceed; None where there is none."""
    if not latencies_s:
        return None
    ordered = sorted(latencies_s)
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000, 1)
