"""Measures what a device costs in a process that plays many, ours beside other people's clients; and what our fleet carries as a whole.

A client is a process that obeys lines (`tests/simulators/fleet/peer_clients.py`), so that each is measured alone: connects a second,
resident memory per idle device, QoS 2 commands a second from an operator's connection, and the processor time of both, which other users
of the machine's cores disturb least. Linux only: processes are measured through /proc.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.table import Table

from harness.errors import BenchError
from harness.wire.commands import CONFIGURATION
from simulators.broker.benchmark import Ratio, memory_bytes, running_broker
from simulators.broker.load_devices import cpu_s
from simulators.fleet.bookkeeping import CORRELATION
from simulators.fleet.ledger import Ledger
from simulators.fleet.operators import MqttOperator, Order

OURS = "hil"
BROKERS = ("mosquitto", "embedded")
OUR_COUNTS = (100, 300, 1_000, 3_000, 10_000)
PEER_COUNTS = (100, 300, 1_000)
COMMANDS_PER_DEVICE = 5
COMMANDS_MAX = 10_000
STEP_S_MAX = 20.0
"""What a client does not bring about in this time counts as more than it can carry."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One client with so many devices on one broker. Processor time is that of the client's process."""

    client: str
    broker: str
    devices: int
    connects_per_s: float
    connect_cpu_us: float
    memory_per_device_bytes: float
    commands_per_s: float
    command_cpu_us: float


@dataclass(frozen=True, slots=True)
class FleetFigures:
    """What `hil fleet` printed about a run against `hil platform`, by name of the run."""

    mqtt: dict[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)
    downloads: dict[str, Any] = field(default_factory=dict)


async def measure(client: str, command: Sequence[str], broker: str, counts: Iterable[int]) -> list[Figures]:
    """The figures of one client at growing numbers of devices, up to the first number that it does not carry."""
    figures: list[Figures] = []
    for devices in counts:
        async with running_broker(broker) as (_, url):
            try:
                async with asyncio.timeout(4 * STEP_S_MAX):
                    figures.append(await _measured(client, command, broker, url, devices))
            except (TimeoutError, BenchError):
                break
    return figures


async def _measured(client: str, command: Sequence[str], broker: str, url: str, devices: int) -> Figures:
    loop, parts = asyncio.get_running_loop(), urlsplit(url)
    async with _process([*command, str(parts.hostname), str(parts.port)]) as process:
        empty_bytes, cpu_before_s, began_s = memory_bytes(process.id), cpu_s(process.id), loop.time()
        await process.order({"connect": devices}, "connected")
        connect_s, connect_cpu_s = loop.time() - began_s, cpu_s(process.id) - cpu_before_s
        memory = memory_bytes(process.id) - empty_bytes
        commands = min(COMMANDS_MAX, COMMANDS_PER_DEVICE * devices)
        await process.order({"expect": commands}, "waiting")
        cpu_before_s, began_s = cpu_s(process.id), loop.time()
        operator = MqttOperator(Ledger(), mqtt_url=url, client_id="operator", login=None, tls=None)
        await operator.open()
        await operator.send(_orders(devices, commands))
        await process.told("delivered")
        command_s, command_cpu_s = loop.time() - began_s, cpu_s(process.id) - cpu_before_s
        await operator.close()
    return Figures(
        client,
        broker,
        devices,
        connects_per_s=devices / connect_s,
        connect_cpu_us=connect_cpu_s / devices * 1e6,
        memory_per_device_bytes=memory / devices,
        commands_per_s=commands / command_s,
        command_cpu_us=command_cpu_s / commands * 1e6,
    )


def _orders(devices: int, commands: int) -> Iterable[Order]:
    for number in range(commands):
        data = {CORRELATION: f"bench-{number}", "sampling_rate": 60}
        yield Order(f"bench-{number}", "", f"dev-{number % devices:05}", CONFIGURATION, data)


class _Client:
    """A client's process that obeys lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.id = process.pid

    async def order(self, members: dict[str, Any], answer: str) -> None:
        """Raises BenchError where the process ends or answers something else, TimeoutError where it takes too long."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(members).encode() + b"\n")
        await self.told(answer)

    async def told(self, answer: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(STEP_S_MAX):
            line = await self._process.stdout.readline()
        if not line or json.loads(line) != answer:
            raise BenchError(f"the client said {line!r}, not {answer!r}")


@asynccontextmanager
async def _process(command: Sequence[str]) -> AsyncIterator[_Client]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    try:
        client = _Client(process)
        await client.told("ready")
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def fleet_run(target: Path, out: Path, *options: str) -> dict[str, Any]:
    """What `hil fleet --json` prints. Raises BenchError for exit statuses other than 0 and 1 (a red ledger)."""
    command = [sys.executable, "-m", "harness.cli", "fleet", "--target", str(target), "--json", "--seed", "1", "--out", str(out), *options]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    try:
        printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode not in (0, 1):
        raise BenchError(f"{' '.join(command)} ended with status {process.returncode}: {errors.decode()[-1_000:]}")
    figures: dict[str, Any] = json.loads(printed)
    return figures


def ratios(figures: Iterable[Figures], fleet: FleetFigures) -> list[Ratio]:
    """What was promised, as far as the figures reach.   Source: issue 8, Must show."""
    found = []
    if fleet.mqtt:
        found.append(Ratio("connects per second", fleet.mqtt["connects_per_s"], 2_500, at_most=False))
        found.append(Ratio("deliveries per second via mqtt", fleet.mqtt["deliveries_per_s"], 3_000, at_most=False))
    if fleet.rest:
        found.append(Ratio("deliveries per second via rest", fleet.rest["deliveries_per_s"], 1_200, at_most=False))
    if fleet.downloads:
        found.append(Ratio("MQTT connections lost during slow downloads", fleet.downloads["disconnects"], 0))
    ours = [one for one in figures if one.client == OURS]
    if ours:
        most = max(ours, key=lambda one: one.devices)
        found.append(Ratio(f"memory per idle device at {most.devices:,}, KiB", most.memory_per_device_bytes / 1_024, 12))
    locust = [one for one in figures if one.client == "locust"]
    if locust and (beside := _beside(ours, locust[-1])):
        factor = _cycle_cpu_us(locust[-1]) / _cycle_cpu_us(beside)
        found.append(Ratio("devices that connect and take a command, to Locust's at the same CPU", factor, 5, at_most=False))
    return found


def _cycle_cpu_us(figures: Figures) -> float:
    """Processor time of a device that connects and takes one command."""
    return figures.connect_cpu_us + figures.command_cpu_us


def _beside(ours: Iterable[Figures], theirs: Figures) -> Figures | None:
    return next((one for one in ours if (one.broker, one.devices) == (theirs.broker, theirs.devices)), None)


def as_json(figures: Sequence[Figures], fleet: FleetFigures) -> str:
    """All figures and ratios."""
    members = {
        "clients": [asdict(one) for one in figures],
        "fleet": asdict(fleet),
        "ratios": [{**asdict(one), "is_kept": one.is_kept} for one in ratios(figures, fleet)],
    }
    return json.dumps(members, indent=1)


def table(figures: Iterable[Figures]) -> Table:
    """The figures for a reader."""
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("client", "broker", "devices", "connects/s", "CPU/connect µs", "KiB/device", "commands/s", "CPU/command µs"):
        shown.add_column(heading, justify="left" if heading in ("client", "broker") else "right")
    for one in figures:
        shown.add_row(
            one.client,
            one.broker,
            f"{one.devices:,}",
            f"{one.connects_per_s:,.0f}",
            f"{one.connect_cpu_us:.0f}",
            f"{one.memory_per_device_bytes / 1_024:.1f}",
            f"{one.commands_per_s:,.0f}",
            f"{one.command_cpu_us:.0f}",
        )
    return shown
