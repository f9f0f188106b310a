"""What is done to a simulated system: an operator who sends commands, rivals who want a key that is not theirs or no longer good, and the
faults of the plan.

Who does what when is drawn from the seed, in one stream per device, before anything runs: a fault that shifts a moment shifts no draw.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import aiohttp
from yarl import URL

from harness.entropy import SeededEntropy
from harness.wire import commands
from harness.wire.commands import KEY_LIFETIME_S
from harness.wire.responses import command_path
from simulators.world.links import LinkName
from simulators.world.plan import EVERY_DEVICE, LATENCY_LASTS_S, Fault, FaultKind, Plan
from simulators.world.record import SentCommand, Struck
from simulators.world.system import IMAGE_NAME, SERVER, SimulatedSystem, Station
from simulators.world.world import World

OPERATOR = "operator"
RIVAL = "rival"
_ANSWER_S_MAX = 30.0
_GAP_S = (1.0, 25.0)  # between two commands to one device,
_STRETCHED_FROM_S = 600.0  # and longer in runs that last longer than this: some fifty commands in all
_RIVAL_LEAD_S = 0.25  # a rival may try so long after the offer has reached the device

# Drawn from, so with the weight of their number.
_COMMANDS = (
    *([commands.CONFIGURATION] * 4),
    commands.SEND_CONFIGURATION,
    *([commands.DOWNLOAD_FIRMWARE] * 3),
    commands.REBOOT,
    commands.RESET,
)


class Rivalry(Enum):
    """Who else wants to use an offered key."""

    NOBODY = "nobody"
    SAME_TOKEN = "same token"  # the device's own token from elsewhere, at about the same time
    OTHER_TOKEN = "other token"  # another device's token, a little earlier
    LATE = "late"  # the device's own token around the end of the key's life


_RIVALRIES = (
    Rivalry.NOBODY,
    Rivalry.NOBODY,
    Rivalry.SAME_TOKEN,
    Rivalry.SAME_TOKEN,
    Rivalry.OTHER_TOKEN,
    Rivalry.OTHER_TOKEN,
    Rivalry.LATE,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """A command that is to be sent so many seconds after the one before."""

    wait_s: float
    command: str


def draw_operations(entropy: SeededEntropy, within_s: float) -> list[Operation]:
    """What one device is told in a run."""
    operations: list[Operation] = []
    at_s = 0.0
    stretch = max(1.0, within_s / _STRETCHED_FROM_S)
    while True:
        wait_s = entropy.uniform(*_GAP_S) * stretch
        at_s += wait_s
        if at_s > within_s and operations:
            return operations
        operations.append(Operation(wait_s, entropy.choice(_COMMANDS)))


def draw_links(world: World, devices: int) -> None:
    """Each device hangs on a link of its own kind, with a clock of its own."""
    for number in range(1, devices + 1):
        entropy = world.entropy.stream(f"link of dev-{number}")
        world.network.host(f"dev-{number}", entropy.choice(list(LinkName)).shape, skew_s=entropy.uniform(-86_400.0, 86_400.0))


class Workload:
    """Operator and rivals of one system."""

    def __init__(self, world: World, system: SimulatedSystem, plan: Plan) -> None:
        self._world = world
        self._system = system
        self._plan = plan
        self._numbers = 0
        # One stream for each device: a fault that delays the offer to one must not change who wants the key of another.
        self._rivalries = {station.name: world.entropy.stream(f"rivalries of {station.name}") for station in system.stations}
        self.rivals: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Sends all commands of the safety phase; returns when the last has its answer or none in time."""
        for station in self._system.stations:
            station.on_offer = self._rival
        async with self._session() as session:
            await asyncio.gather(*(self._operate(session, station) for station in self._system.stations))

    async def probe(self) -> None:
        """One command to each device: it lives and listens."""
        async with self._session() as session:
            await asyncio.gather(*(self._send(session, station, commands.SEND_CONFIGURATION) for station in self._system.stations))

    def _session(self) -> aiohttp.ClientSession:
        headers = {"Authorization": f"Bearer {self._system.platform.secrets.api_key('full')}"}
        return aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=_ANSWER_S_MAX))

    async def _operate(self, session: aiohttp.ClientSession, station: Station) -> None:
        for operation in draw_operations(self._world.entropy.stream(f"operations of {station.name}"), self._plan.minutes * 60):
            await asyncio.sleep(operation.wait_s)
            await self._send(session, station, operation.command)

    async def _send(self, session: aiohttp.ClientSession, station: Station, command: str) -> None:
        self._numbers += 1
        sent = SentCommand(self._numbers, station.name, command, self._world.now_s)
        self._system.record.sent.append(sent)
        data: dict[str, Any] = {"file_name": IMAGE_NAME} if command in commands.DOWNLOADS else {"number": sent.number}
        device = station.device
        url = self._system.platform.api_url + command_path(device.project_id, device.id)
        try:
            async with session.post(url, json={"command": command, "data": data}) as response:
                await response.read()
                sent.status = response.status
                sent.answered_at_s = self._world.now_s
        except (aiohttp.ClientError, OSError):
            return  # no answer: it may have been sent, or not

    # --- rivals

    def _rival(self, station: Station, url: str, ends_utc_s: float) -> None:
        entropy = self._rivalries[station.name]
        rivalry = entropy.choice(_RIVALRIES)
        delay_s = entropy.uniform(0.0, _RIVAL_LEAD_S)
        match rivalry:
            case Rivalry.SAME_TOKEN:
                for _ in range(2):
                    self._start_rival(url, station.token, delay_s)
            case Rivalry.OTHER_TOKEN if len(self._system.stations) > 1:
                other = next(item for item in self._system.stations if item is not station)
                self._start_rival(url, other.token, 0.0)
            case Rivalry.LATE:
                self._start_rival(url, station.token, KEY_LIFETIME_S + entropy.choice((-5.0, 5.0)))

    def _start_rival(self, url: str, token: str, delay_s: float) -> None:
        self.rivals.append(self._world.spawn(RIVAL, _use_key(url, token, delay_s)))


async def _use_key(url: str, token: str, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    timeout = aiohttp.ClientTimeout(total=120.0)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(URL(url, encoded=True), headers={"Authorization": f"Basic {token}"}) as response,
        ):
            await response.read()
    except (aiohttp.ClientError, OSError):
        return  # the platform's door has seen what there was to see


# --- faults

_AFTERMATH_S = 30.0  # how long a fault may be felt after its end: retransmissions, reconnecting with back-off


class FaultSchedule:
    """The faults of a plan, from its making until `stop`."""

    def __init__(self, world: World, system: SimulatedSystem, plan: Plan) -> None:
        self._world = world
        self._system = system
        self._is_over = False
        self._begun_s = world.now_s
        self._at_moments: dict[tuple[str, int], list[Fault]] = {}
        self._timed = [fault for fault in plan.faults if not fault.moment]
        for fault in plan.faults:
            if fault.moment:
                self._at_moments.setdefault((f"dev-{fault.device}", fault.moment), []).append(fault)
        for fault in self._timed:
            world.loop.call_later(fault.at_s, self._strike, fault)
        for station in system.stations:
            station.on_moment = self._moment

    @property
    def left_s(self) -> float:
        """How long until the last fault that does not wait for a moment."""
        last_s = max((fault.at_s for fault in self._timed), default=0.0)
        return max(0.0, self._begun_s + last_s - self._world.now_s)

    def stop(self) -> None:
        """No fault strikes any more."""
        self._is_over = True

    def _moment(self, station: Station, number: int) -> None:
        for fault in self._at_moments.get((station.name, number), ()):
            self._world.loop.call_later(fault.at_s, self._strike, fault)

    def _strike(self, fault: Fault) -> None:
        if self._is_over:
            return
        if fault.kind in _SERVER_FAULTS:
            self._note(fault, SERVER)
            _SERVER_FAULTS[fault.kind](self._world, self._system, fault)
            return
        stations = self._system.stations
        for station in stations if fault.device == EVERY_DEVICE else stations[fault.device - 1 : fault.device]:
            self._note(fault, station.name)
            _DEVICE_FAULTS[fault.kind](self._world, station, fault)

    def _note(self, fault: Fault, host: str) -> None:
        now_s = self._world.now_s
        lasts_s = 0.0 if fault.kind is FaultKind.CLOCK_STEP else max(fault.amount_s, LATENCY_LASTS_S) + _AFTERMATH_S
        self._system.record.faults.append(Struck(now_s, fault.kind.value, host, now_s + lasts_s))


def _reset(world: World, station: Station, fault: Fault) -> None:
    for number in world.network.connections_of(station.name):
        world.network.reset(number)


def _sever(world: World, station: Station, fault: Fault) -> None:
    for number in world.network.connections_of(station.name):
        world.network.sever(number)


def _partition(world: World, station: Station, fault: Fault) -> None:
    world.network.partition(station.name, SERVER, fault.amount_s)


def _latency(world: World, station: Station, fault: Fault) -> None:
    world.network.add_latency(station.name, fault.amount_s)
    world.loop.call_later(LATENCY_LASTS_S, world.network.add_latency, station.name, -fault.amount_s)


def _power_cut(world: World, station: Station, fault: Fault) -> None:
    station.power_off()
    world.loop.call_later(fault.amount_s, station.power_on)


def _clock_step(world: World, system: SimulatedSystem, fault: Fault) -> None:
    steps = system.record.steps_utc_s
    steps.append((world.now_s, world.wall_s(SERVER)))
    world.network.host(SERVER).skew_s += fault.amount_s
    steps.append((world.now_s, world.wall_s(SERVER)))


def _restart(world: World, system: SimulatedSystem, fault: Fault) -> None:
    world.spawn(SERVER, system.restart_platform())


_DEVICE_FAULTS: dict[FaultKind, Callable[[World, Station, Fault], None]] = {
    FaultKind.RESET: _reset,
    FaultKind.SEVER: _sever,
    FaultKind.PARTITION: _partition,
    FaultKind.LATENCY: _latency,
    FaultKind.POWER_CUT: _power_cut,
}
_SERVER_FAULTS: dict[FaultKind, Callable[[World, SimulatedSystem, Fault], None]] = {
    FaultKind.CLOCK_STEP: _clock_step,
    FaultKind.PLATFORM_RESTART: _restart,
}
