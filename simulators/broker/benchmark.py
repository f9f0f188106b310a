"""Measures brokers side by side: what a QoS 2 command costs, how long it takes, what a connected device weighs.

The broker and the load generator are processes of their own; the figure that counts is the broker's processor time per command (publish in,
deliver out, eight packets), because it does not depend on who else uses the machine's cores. Each broker is loaded at a pace that neither
it nor the generator has trouble with. Linux only: processes are measured through /proc.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from harness.errors import BenchError
from simulators.broker.load_devices import cpu_s
from simulators.broker.mosquitto import MosquittoBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings

DEVICE_COUNTS = (100, 1_000, 2_000, 5_000, 9_500)
AMQTT_DEVICES_MAX = 2_000
GENERATOR_LOAD_MAX = 0.7
WARM_UP_COMMANDS = 200


@dataclass(frozen=True, slots=True)
class Pace:
    """How many commands, and how many a second."""

    commands: int
    per_s: float


PACES = {"embedded": Pace(2_000, 1_000), "mosquitto": Pace(2_000, 1_000), "amqtt": Pace(60, 30)}
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Figures:
    """One broker with so many devices. Times per command are processor time of the broker's process."""

    broker: str
    devices: int
    cpu_per_command_us: float
    commands_per_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    connects_per_s: float
    memory_per_device_bytes: float
    generator_load: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """A figure that was promised: `value` at most (or, for a rate, at least) `limit`."""

    name: str
    value: float
    limit: float
    at_most: bool = True

    @property
    def is_kept(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit


@dataclass(frozen=True, slots=True)
class Round:
    """Some commands at one pace: the broker's processor time, and what the generator saw."""

    cpu_per_command_us: float
    seen: dict[str, float]


class Load:
    """A broker in a process of its own, and the load generator that is connected to it."""

    def __init__(self, process_id: int, order: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
        self.process_id = process_id
        self._order = order

    async def connect(self, devices: int) -> float:
        """Connects until there are so many devices; returns the connects per second."""
        return float((await self._order({"connect": devices}))["connects_per_s"])

    async def warm_up(self, pace: Pace) -> None:
        """Sends some commands that do not count."""
        await self._order({"commands": min(WARM_UP_COMMANDS, pace.commands), "per_s": pace.per_s})

    async def round(self, pace: Pace) -> Round:
        """Sends commands and waits until each has arrived and is completed."""
        before_s = cpu_s(self.process_id)
        seen = await self._order({"commands": pace.commands, "per_s": pace.per_s})
        return Round((cpu_s(self.process_id) - before_s) / pace.commands * 1e6, seen)


@asynccontextmanager
async def loaded_broker(broker: str) -> AsyncIterator[Load]:
    """A broker with nothing connected yet. Raises BenchError when something does not come up."""
    async with running_broker(broker) as (process_id, url), _generator(url) as order:
        yield Load(process_id, order)


async def measure(broker: str, device_counts: Iterable[int], *, commands: int | None = None) -> list[Figures]:
    """The figures of one broker at growing numbers of devices. Raises BenchError when something does not come up."""
    figures = []
    pace = PACES[broker] if commands is None else Pace(commands, PACES[broker].per_s)
    async with loaded_broker(broker) as load:
        empty_bytes = memory_bytes(load.process_id)
        for devices in device_counts:
            connects_per_s = await load.connect(devices)
            memory = memory_bytes(load.process_id) - empty_bytes
            await load.warm_up(pace)
            rounds = [await load.round(pace) for _ in range(ROUNDS)]
            # Neighbours on the machine only add to a figure, by the caches that they empty: the best round is the closest to the truth.
            best = min(rounds, key=lambda one: one.cpu_per_command_us)
            figures.append(
                Figures(
                    broker,
                    devices,
                    best.cpu_per_command_us,
                    best.seen["commands_per_s"],
                    best.seen["latency_p50_ms"],
                    best.seen["latency_p99_ms"],
                    connects_per_s,
                    memory / devices,
                    max(one.seen["generator_load"] for one in rounds),
                )
            )
    return figures


def ratios(figures: Iterable[Figures]) -> list[Ratio]:
    """The promised ratios, as far as the figures reach."""
    at = {(one.broker, one.devices): one for one in figures}
    found = []
    if (ours := at.get(("embedded", 5_000))) and (theirs := at.get(("mosquitto", 5_000))):
        found.append(Ratio("CPU per command at 5,000 devices, to mosquitto's", ours.cpu_per_command_us / theirs.cpu_per_command_us, 2.5))
    if (ours := at.get(("embedded", 2_000))) and (theirs := at.get(("amqtt", 2_000))):
        found.append(Ratio("CPU per command at 2,000 devices, to amqtt's", ours.cpu_per_command_us / theirs.cpu_per_command_us, 1 / 30))
    embedded = [one for one in at.values() if one.broker == "embedded" and one.devices >= 1_000]
    if embedded:
        found.append(Ratio("memory per idle device, KiB", max(one.memory_per_device_bytes for one in embedded) / 1_024, 12))
        found.append(Ratio("connects per second", min(one.connects_per_s for one in embedded), 2_000, at_most=False))
    return found


def table(figures: Iterable[Figures]) -> Table:
    """The figures for a reader."""
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("broker", "devices", "CPU/command µs", "p50 ms", "p99 ms", "connects/s", "KiB/device", "generator"):
        shown.add_column(heading, justify="left" if heading == "broker" else "right")
    for one in figures:
        shown.add_row(
            one.broker,
            f"{one.devices:,}",
            f"{one.cpu_per_command_us:.0f}",
            f"{one.latency_p50_ms:.2f}",
            f"{one.latency_p99_ms:.2f}",
            f"{one.connects_per_s:,.0f}",
            f"{one.memory_per_device_bytes / 1_024:.1f}",
            f"{one.generator_load:.0%}",
        )
    return shown


def memory_bytes(process_id: int) -> int:
    """Resident memory of a process (Linux)."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1_024
    raise BenchError(f"process {process_id} has gone")


@asynccontextmanager
async def running_broker(broker: str) -> AsyncIterator[tuple[int, str]]:
    if broker == "mosquitto":
        mosquitto = MosquittoBroker(BrokerSettings(), AnyoneMayDoAnything())
        await mosquitto.start()
        try:
            assert mosquitto.process_id is not None
            yield mosquitto.process_id, mosquitto.mqtt_url
        finally:
            await mosquitto.stop()
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from simulators.broker.cli import app; app()",
        "serve",
        "--broker",
        broker,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise BenchError(f"{broker} did not start")
        yield process.pid, url
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def _generator(url: str) -> AsyncIterator[Any]:
    parts = urlsplit(url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulators.broker.load_devices",
        str(parts.hostname),
        str(parts.port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )

    async def order(members: dict[str, Any]) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(members).encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            raise BenchError(f"the load generator ended at {members}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    try:
        yield order
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
