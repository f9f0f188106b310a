"""One simulated run from a plan to an outcome: safety phase with faults, healing, liveness phase, judgement; and shrinking of a plan that
found something.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from simulators.world.invariants import LIVENESS_S_MAX, Finding, judge, unexecuted
from simulators.world.loop import WorldStopped
from simulators.world.net import NetworkTiming
from simulators.world.plan import Plan
from simulators.world.record import Record
from simulators.world.system import SERVER, SimulatedSystem, SystemKind, provisioned_state
from simulators.world.workload import OPERATOR, FaultSchedule, Workload, draw_links
from simulators.world.world import World

REFERENCE = SystemKind()

_IMAGE_BYTES = (1_000, 20_000, 60_000, 150_000)  # one of them is drawn
_CONNECT_S_MAX = 300.0
_QUIET_POLL_S = 5.0
_RUN_S_MAX = 4 * 3600.0  # beside the plan's own minutes
_KEPT_TRACE_LINES = 200
_LOGGERS = ("hil", "simulators", "harness", "aiohttp", "asyncio")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. `virtual_s` is how long the world lived, `steps` how many callbacks ran in it."""

    plan: Plan
    digest: str
    findings: tuple[Finding, ...]
    record: Record
    trace: tuple[str, ...]
    virtual_s: float
    steps: int
    late_imports: tuple[str, ...]

    @property
    def verdict(self) -> str:
        return "fail" if self.findings else "pass"


def simulate(plan: Plan, kind: SystemKind = REFERENCE) -> Outcome:
    """Runs the plan in a world of its own. The same plan and kind give the same digest, in every process."""
    provisioned_state(plan.devices)
    record = Record()
    world = World(plan.seed, timing=NetworkTiming(tick_s=plan.tick_s), keep_trace_lines=_KEPT_TRACE_LINES)
    with _errors_noted(world, record), world:
        try:
            world.run(SERVER, _phases(world, plan, kind, record), within_s=plan.minutes * 60 + _RUN_S_MAX)
        except WorldStopped as error:
            record.stopped = str(error)
        steps, virtual_s = world.loop.steps, world.now_s
        record.unhandled += [str(item) for item in world.unhandled]
    digest = world.trace.digest()
    return Outcome(plan, digest, tuple(judge(record)), record, tuple(world.trace.last_lines()), virtual_s, steps, world.late_imports)


class _ErrorLog(logging.Handler):
    """Error lines of the programs: what they log instead of failing is a failure too."""

    def __init__(self, world: World, record: Record) -> None:
        super().__init__(logging.ERROR)
        self._world = world
        self._record = record

    def emit(self, line: logging.LogRecord) -> None:
        error = line.exc_info[1] if line.exc_info else None
        self._record.unhandled.append(f"at {self._world.now_s:.3f} s {line.name} logged: {line.getMessage()}: {error!r}")


@contextmanager
def _errors_noted(world: World, record: Record) -> Iterator[None]:
    """While inside, error lines go into the record and nowhere else."""
    handler = _ErrorLog(world, record)
    loggers = [(logger, logger.propagate) for logger in map(logging.getLogger, _LOGGERS)]
    for logger, _ in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagates in loggers:
            logger.removeHandler(handler)
            logger.propagate = propagates


async def _phases(world: World, plan: Plan, kind: SystemKind, record: Record) -> None:
    draw_links(world, plan.devices)
    image_bytes = world.entropy.stream("image size").choice(_IMAGE_BYTES)
    system = SimulatedSystem(world, kind, record, devices=plan.devices, image_bytes=image_bytes)
    try:
        await system.start()
        async with asyncio.timeout(_CONNECT_S_MAX):
            await asyncio.gather(*(station.program.until_listening() for station in system.stations))
        workload = Workload(world, system, plan)
        faults = FaultSchedule(world, system, plan)
        await world.spawn(OPERATOR, workload.run())
        await asyncio.sleep(faults.left_s)
        faults.stop()
        await _heal_and_settle(world, system, workload, record)
        await asyncio.gather(*workload.rivals)
        record.ends += system.ends()
    finally:
        await system.stop()


async def _heal_and_settle(world: World, system: SimulatedSystem, workload: Workload, record: Record) -> None:
    """Ends all faults, asks every device for a sign of life, and waits until nothing is owed any more."""
    world.network.heal()
    healed_at_s = world.now_s
    for station in system.stations:
        station.power_on()
    await world.spawn(OPERATOR, workload.probe())
    while world.now_s - healed_at_s < LIVENESS_S_MAX:
        record.pending[:] = [*system.pending(), *unexecuted(record)]
        if not record.pending:
            record.quiet_after_s = world.now_s - healed_at_s
            return
        await asyncio.sleep(_QUIET_POLL_S)


def shrink(plan: Plan, still_fails: Callable[[Plan], bool]) -> Plan:
    """A plan with as few faults as can be, of those in `plan`, that still fails: one fault is left out at a time until none can be."""
    for fault in plan.faults:
        smaller = plan.without(fault)
        if still_fails(smaller):
            return shrink(smaller, still_fails)
    return plan
