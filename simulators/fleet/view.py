"""What is seen of a run: a live table where there is a terminal, plain lines elsewhere; metrics for Prometheus; one screen at the end."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.clock import SystemClock, rfc3339
from harness.errors import OptionError
from simulators.fleet.capacity import resident_bytes
from simulators.fleet.figures import quantile_ms
from simulators.fleet.run import FleetRun
from simulators.fleet.totals import RED_COLUMNS

LOOK_S = 0.5
PLAIN_LOOK_S = 5.0
NAMED_MAX = 20
"""How many commands of one column are shown; the ledger's file names them all."""


async def watch(run: FleetRun, console: Console) -> None:
    """Shows the run until it is cancelled."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(PLAIN_LOOK_S)
            print_lines(console, [", ".join(f"{name} {value}" for name, value in figures(run))])
    with Live(console=console, refresh_per_second=4) as live:
        while True:
            live.update(table(run))
            await asyncio.sleep(LOOK_S)


def figures(run: FleetRun) -> list[tuple[str, str]]:
    """Names and values of the live view."""
    if run.fleet is None:
        return [("phase", run.phase)]
    counts = run.fleet.counts
    latencies = [f"{quantile_ms(counts.latencies_s, percent) or 0:.0f}" for percent in (50, 95, 99)]
    return [
        ("phase", run.phase),
        ("connected", f"{counts.connected}/{len(run.fleet.lines)}"),
        ("sent", str(len(run.ledger.entries))),
        ("delivered", str(counts.delivered)),
        ("results", str(counts.results)),
        ("downloads in flight", str(counts.downloads_running)),
        ("downloads done", str(counts.downloads_done)),
        ("p50/p95/p99 ms", "/".join(latencies)),
        ("reconnects", str(counts.reconnects)),
        ("memory MiB", f"{resident_bytes() / 2**20:.0f}"),
        ("memory per device KiB", f"{run.memory_per_device_bytes() / 2**10:.1f}"),
    ]


def table(run: FleetRun) -> Table:
    """The live view as a table."""
    view = Table(title="fleet", show_header=False)
    for name, value in figures(run):
        view.add_row(name, value)
    return view


def ledger_lines(ledger: Mapping[str, Any]) -> Iterator[Text]:
    """A ledger's totals as `Totals.to_json` gives them, a line each; which commands went wrong stands last."""
    for name, value in ledger.items():
        if isinstance(value, int) and not isinstance(value, bool):
            style = ("red" if value else "green") if name in RED_COLUMNS else ""
            yield Text.assemble(f"{name}: ", (str(value), style))
    if ledger["keys"].get("issued"):
        yield from map(Text, figure_lines({"keys": ledger["keys"]}))
    for name, commands in ledger["named"].items():
        for command in commands[:NAMED_MAX]:
            yield Text(f"{name}: {command}")


def figure_lines(figures: Mapping[str, Any], *, of: str = "") -> Iterator[str]:
    """Figures as `name: value`, a line each; those of a group stand behind its name."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from figure_lines(value, of=f"{of}{name} ")
        else:
            yield f"{of}{name}: {'none' if value is None else value}"


def print_lines(console: Console, lines: Iterable[str | Text]) -> None:
    """Prints lines as they are, however long: somebody may search them."""
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def run_directory(out: Path | None, prefix: str) -> Path:
    """Where a run's files go: `out`, or else a directory in `reports` that is named for the time."""
    return out or Path("reports") / f"{prefix}-{rfc3339(SystemClock().utc_s()).replace(':', '')}"


async def serve_metrics(run: FleetRun, port: int) -> web.AppRunner:
    """`/metrics` on the loopback address; the caller cleans the runner up. Raises ConfigurationError where the port is taken."""

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=_metrics(run), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        await runner.cleanup()
        raise OptionError("--metrics-port", f"{port} cannot be had: {error.strerror}") from error
    return runner


def _metrics(run: FleetRun) -> bytes:
    registry = CollectorRegistry()
    if run.fleet is not None:
        counts = run.fleet.counts
        values = {
            "devices": len(run.fleet.lines),
            "connected": counts.connected,
            "commands_sent": len(run.ledger.entries),
            "commands_delivered": counts.delivered,
            "results_acknowledged": counts.results,
            "downloads_running": counts.downloads_running,
            "downloads_done": counts.downloads_done,
            "downloads_failed": counts.downloads_failed,
            "reconnects": counts.reconnects,
            "resident_bytes": resident_bytes(),
            "memory_per_device_bytes": run.memory_per_device_bytes(),
        }
        for name, value in values.items():
            Gauge(f"hil_fleet_{name}", name.replace("_", " "), registry=registry).set(value)
        latency = Gauge("hil_fleet_latency_ms", "from send to release, of the last commands", ["quantile"], registry=registry)
        for percent in (50, 95, 99):
            latency.labels(f"{percent / 100}").set(quantile_ms(counts.latencies_s, percent) or 0)
    return generate_latest(registry)
