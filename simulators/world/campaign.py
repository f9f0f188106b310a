"""Many seeds: in one process or several, with what was found made small and written down.

A worker returns a summary, not the outcome: a record of a thousand events has no business in a pipe. What failed is run again here, which
also proves that it replays.
"""

import json
import multiprocessing
import shlex
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from simulators.world.plan import FaultKind, Plan, draw_plan, plan_to_json
from simulators.world.planted import PLANTED
from simulators.world.run import REFERENCE, Outcome, shrink, simulate
from simulators.world.system import SystemKind

SCHEMA = "hil-simulation/1"


@dataclass(frozen=True, slots=True)
class Campaign:
    """What all seeds have in common. `plan` (a file's) replaces what the seed would draw, but for the seed itself."""

    devices: int = 3
    minutes: float = 2.0
    kinds: tuple[FaultKind, ...] = tuple(FaultKind)
    plan: Plan | None = None
    personality: str = REFERENCE.name

    def plan_of(self, seed: int) -> Plan:
        """The plan that this seed stands for."""
        if self.plan is not None:
            return replace(self.plan, seed=seed)
        return draw_plan(seed, devices=self.devices, minutes=self.minutes, kinds=self.kinds)

    @property
    def kind(self) -> SystemKind:
        return PLANTED.get(self.personality, REFERENCE)


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What is known of a seed without its record. `rules` that found something; empty: none did."""

    seed: int
    digest: str
    rules: tuple[str, ...]
    virtual_s: float
    steps: int

    @property
    def is_failure(self) -> bool:
        return bool(self.rules)


def run_seed(campaign: Campaign, seed: int) -> SeedResult:
    """One seed of a campaign."""
    outcome = simulate(campaign.plan_of(seed), campaign.kind)
    rules = tuple(sorted({finding.rule for finding in outcome.findings}))
    return SeedResult(seed, outcome.digest, rules, round(outcome.virtual_s, 3), outcome.steps)


def run_seeds(campaign: Campaign, seeds: Iterable[int], *, jobs: int = 1) -> Iterator[SeedResult]:
    """All seeds in their order, in `jobs` processes."""
    one = partial(run_seed, campaign)
    if jobs <= 1:
        yield from map(one, seeds)
        return
    with ExitStack() as stack:
        # Not fork: a child would inherit threads' locks and loops of whoever calls.
        context = multiprocessing.get_context("spawn")
        pool = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=context, initializer=_leave_interrupts_to_the_parent))
        stack.callback(pool.shutdown, cancel_futures=True)
        yield from pool.map(one, seeds, chunksize=4)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def smallest_failure(campaign: Campaign, seed: int) -> Outcome:
    """The failing run of a seed with as few faults as still break one of the same rules."""
    plan = campaign.plan_of(seed)
    rules = _rules(simulate(plan, campaign.kind))
    return simulate(shrink(plan, lambda smaller: bool(rules & _rules(simulate(smaller, campaign.kind)))), campaign.kind)


def _rules(outcome: Outcome) -> set[str]:
    return {finding.rule for finding in outcome.findings}


def finding_document(campaign: Campaign, outcome: Outcome, replay_file: str) -> dict[str, Any]:
    """What is written down of a failing seed: enough to replay it and to see why."""
    return {
        "schema": SCHEMA,
        "seed": outcome.plan.seed,
        "personality": campaign.personality,
        "plan": plan_to_json(outcome.plan),
        "digest": outcome.digest,
        "findings": [asdict(finding) for finding in outcome.findings],
        "replay": replay_command(campaign, outcome.plan.seed, replay_file),
        "history": outcome.record.lines(),
        "trace": list(outcome.trace),
    }


def replay_command(campaign: Campaign, seed: int, plan_file: str) -> str:
    """The command line that runs this very thing again."""
    words = ["hil", "simulate", "--replay", str(seed), "--faults", plan_file]
    if campaign.personality != REFERENCE.name:
        words += ["--personality", campaign.personality]
    return shlex.join(words)


def write_finding(campaign: Campaign, outcome: Outcome, directory: Path) -> Path:
    """Writes `seed-N.json` into the directory, which is made where it does not exist."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"seed-{outcome.plan.seed}.json"
    path.write_text(json.dumps(finding_document(campaign, outcome, str(path)), indent=1) + "\n")
    return path


def hunt(seeds: int, *, campaign: Campaign, jobs: int, progress: Callable[[str, SeedResult], None]) -> dict[str, list[SeedResult]]:
    """Runs every planted system on the same seeds; returns all results by name."""
    results: dict[str, list[SeedResult]] = {}
    for name in PLANTED:
        results[name] = []
        for result in run_seeds(replace(campaign, personality=name), range(seeds), jobs=jobs):
            results[name].append(result)
            progress(name, result)
    return results
