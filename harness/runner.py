"""Plans a run, and runs its scenarios on a bench.

Planning decides which checks are asked and which are not, with the reason. Running brings each scenario's workload together with the
bench: scenarios that need different devices run side by side, those marked `alone` by themselves. Nothing is judged here.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Any, Protocol

from harness.checks.registry import Check
from harness.errors import BenchError
from harness.history.events import PlannedCheck, ScenarioEnded, ScenarioStarted
from harness.history.recorder import Recorder, scope
from harness.requirements import CATALOGUE, Level, row_of
from harness.scenario import Scenario

SIDE_BY_SIDE_MAX = 6

_log = logging.getLogger(__name__)


class Bench(Protocol):
    """What a scenario runs on."""

    def rule_out(self, scenario: Scenario) -> str | None:
        """Why this bench can never run the scenario, or None where it can."""
        ...

    def cast(self, scenario: Scenario) -> Any | None:
        """Takes what the scenario needs; None where some of it is busy now."""
        ...

    def roles(self, cast: Any) -> dict[str, str]:
        """Role -> device id, for the record."""
        ...

    async def perform(self, cast: Any, operation: Any) -> Any:
        """Does one operation. Raises BenchError for trouble that is not the subject's."""
        ...

    async def dismiss(self, cast: Any) -> None:
        """Leaves nothing behind of what the scenario did, and gives its equipment free."""
        ...


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for. `only` and `skip` hold requirement or check ids."""

    profile: str = "quick"
    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    budget_s: float | None = None

    def leaves_out(self, check: Check) -> str | None:
        """Why the user's options leave a check out, or None."""
        names = {check.id, *check.requirements, *map(row_of, check.requirements)}
        if self.only and not names & self.only:
            return "not named by --only"
        if names & self.skip:
            return "named by --skip"
        return None


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be asked, and what will be done for it."""

    checks: tuple[PlannedCheck, ...]
    scenarios: tuple[Scenario, ...]

    @property
    def duration_s(self) -> float:
        """A rough estimate: what runs alone in sequence, the rest side by side."""
        alone = sum(scenario.duration_s for scenario in self.scenarios if scenario.alone)
        beside = [scenario.duration_s for scenario in self.scenarios if not scenario.alone]
        return alone + max([sum(beside) / SIDE_BY_SIDE_MAX, *beside], default=0.0)


def make_plan(
    checks: Mapping[str, Check],
    scenarios: Sequence[Scenario],
    bench: Bench,
    selection: Selection,
    not_applicable: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """Which checks apply on this bench under these options, and the scenarios that serve them.

    `not_applicable` holds requirements (as DEV-20) that nobody can be asked on this bench, with the reason: where the bench itself does
    what they are about, its own conduct would be judged. A check whose scenarios are all ruled out is not applicable, for the first
    reason; one that no scenario serves is left out of the plan (it belongs to another subject).
    """
    served: dict[str, list[Scenario]] = {}
    for scenario in scenarios:
        for check_id in scenario.serves:
            served.setdefault(check_id, []).append(scenario)
    ruled_out = {scenario.name: bench.rule_out(scenario) for scenario in scenarios}
    planned = [
        _outside(check, not_applicable) or _plan_check(check, served[check.id], ruled_out, selection)
        for check in checks.values()
        if check.id in served
    ]
    asked = {check.id for check in planned if check.status == "planned"}
    to_run = [
        scenario
        for scenario in scenarios
        if ruled_out[scenario.name] is None and asked & set(scenario.serves) and (selection.profile == "full" or not scenario.full_only)
    ]
    return Plan(tuple(planned), tuple(to_run))


_IMPORTANCE = (Level.READ, Level.SHOULD, Level.MUST)


def within_budget(plan: Plan, checks: Mapping[str, Check], budget_s: float) -> Plan:
    """The plan without as many of its least important checks as it takes to stay within `budget_s`; each of them says so.

    Readings go first, then what is only recommended; among equals the dearest. A check that is dropped is skipped, never forgotten.
    """
    reason = f"left out by --budget {budget_s:g} s"
    while plan.duration_s > budget_s:
        asked = [check.id for check in plan.checks if check.status == "planned"]
        if not asked:
            return plan
        dropped = min(asked, key=lambda name: (_importance(checks[name]), -_cost_s(plan, name)))
        kept = tuple(PlannedCheck(check.id, "skipped", reason) if check.id == dropped else check for check in plan.checks)
        wanted = {check.id for check in kept if check.status == "planned"}
        plan = Plan(kept, tuple(scenario for scenario in plan.scenarios if wanted & set(scenario.serves)))
    return plan


def _importance(check: Check) -> int:
    return max(_IMPORTANCE.index(CATALOGUE[requirement].level) for requirement in check.requirements)


def _cost_s(plan: Plan, check_id: str) -> float:
    return sum(scenario.duration_s for scenario in plan.scenarios if check_id in scenario.serves)


def _outside(check: Check, not_applicable: Mapping[str, str]) -> PlannedCheck | None:
    """The check as not applicable where all its requirements are, or None."""
    reasons = [not_applicable.get(row_of(requirement)) for requirement in check.requirements]
    return None if None in reasons else PlannedCheck(check.id, "not-applicable", str(reasons[0]))


def _plan_check(check: Check, servants: list[Scenario], ruled_out: Mapping[str, str | None], selection: Selection) -> PlannedCheck:
    reason = selection.leaves_out(check)
    if reason is not None:
        return PlannedCheck(check.id, "skipped", reason)
    possible = [scenario for scenario in servants if ruled_out[scenario.name] is None]
    if not possible:
        return PlannedCheck(check.id, "not-applicable", str(ruled_out[servants[0].name]))
    if selection.profile != "full" and all(scenario.full_only for scenario in possible):
        return PlannedCheck(check.id, "skipped", "only under --profile full")
    return PlannedCheck(check.id, "planned")


async def run_scenarios(
    scenarios: Sequence[Scenario],
    bench: Bench,
    recorder: Recorder,
    *,
    on_end: Callable[[Scenario, str], None] = lambda scenario, problem: None,
) -> None:
    """Runs every scenario once; those that disturb others come last, one by one. `on_end` hears of each end and its problem."""
    pending = [scenario for scenario in scenarios if not scenario.alone]
    running: set[asyncio.Task[None]] = set()
    try:
        while pending or running:
            for scenario, cast in _castable(pending, bench, SIDE_BY_SIDE_MAX - len(running)):
                pending.remove(scenario)
                running.add(asyncio.create_task(_run_one(scenario, cast, bench, recorder, on_end)))
            if not running:
                raise BenchError(f"scenario {pending[0].name} finds no free device although none is in use")
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        await _cancel(running)
    for scenario in scenarios:
        if scenario.alone:
            await _run_one(scenario, bench.cast(scenario), bench, recorder, on_end)


def _castable(pending: Iterable[Scenario], bench: Bench, most: int) -> list[tuple[Scenario, Any]]:
    """The first scenarios, at most so many, for which the bench has free devices, each with the devices now taken for it."""
    found = ((scenario, cast) for scenario in pending if (cast := bench.cast(scenario)) is not None)
    return list(islice(found, most))


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _run_one(scenario: Scenario, cast: Any, bench: Bench, recorder: Recorder, on_end: Callable[[Scenario, str], None]) -> None:
    problem = ""
    with scope(scenario.name):
        recorder.record(ScenarioStarted(scenario.name, scenario.subject, scenario.serves, bench.roles(cast)))
        try:
            problem = await _driven(scenario, cast, bench)
        except asyncio.CancelledError:
            problem = "the run was aborted"
            raise
        finally:
            try:
                await bench.dismiss(cast)
            except BenchError as error:
                problem = problem or f"its equipment could not be put in order afterwards: {error}"
            finally:
                recorder.record(ScenarioEnded(scenario.name, problem))
    on_end(scenario, problem)


async def _driven(scenario: Scenario, cast: Any, bench: Bench) -> str:
    """Runs the workload to its end; what ended it early, or nothing. It must not take the other scenarios with it."""
    try:
        await _drive(scenario, cast, bench)
    except BenchError as error:
        return str(error)
    except Exception as error:
        # It tripped over what it saw: its checks become an error, which says so.
        _log.exception("scenario %s failed", scenario.name)
        return f"the scenario itself failed: {type(error).__name__}: {error}"
    return ""


async def _drive(scenario: Scenario, cast: Any, bench: Bench) -> None:
    """Asks the workload for operations and sends it their outcomes until it has no more."""
    workload = scenario.workload(cast)
    outcome: Any = None
    while True:
        try:
            operation = workload.send(outcome)
        except StopIteration:
            return
        outcome = await bench.perform(cast, operation)
