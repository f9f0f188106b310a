"""Certifying a platform of this process: the reference or a wrong one, with the scenarios that concern some rows, or all; one, or many
side by side, and the comparison of what was found with what each does wrong on purpose."""

import asyncio
from dataclasses import dataclass

import pytest

from harness.bench.platform_bench import PlatformBench, register_secrets, target_facts
from harness.bench.target import read_target
from harness.certification import Certification, Outcome, Part, RunOptions, Subject
from harness.checks.registry import all_checks
from harness.checks.verdict import Verdict
from harness.clock import AdvanceableClock, SystemClock
from harness.runner import Selection
from harness.scenario import all_scenarios
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.mosquitto import MosquittoBroker
from simulators.broker.port import BrokerSettings
from simulators.platform.personality import Personality
from simulators.platform.platform import PlatformSettings
from simulators.platform.process import PlatformProcess

# Their hooks send signals to the platform's process, or measure it: that is the process of the tests.
NOT_IN_THIS_PROCESS = {"key_used_across_a_restart", "commands_without_a_broker", "memory_beside_slow_downloads"}
LONGEST_S = 150.0
SIDE_BY_SIDE_MAX = 6  # certifications at a time: their waits overlap, their work hardly does
BROKERS = {"embedded": EmbeddedBroker, "mosquitto": MosquittoBroker}
FOUND_WRONG = (Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION)


def scenarios_about(rows, *, left_out=frozenset()):
    """The scenarios that give evidence for a check of one of these rows (all of them where no row is named), but for those left out."""
    checks = {check.id for check in all_checks().values() if not rows or {name[:6] for name in check.requirements} & set(rows)}
    found = all_scenarios("platform").values()
    return tuple(scenario for scenario in found if checks & set(scenario.serves) and scenario.name not in left_out)


async def certified(personality, directory, *, rows=(), seed=5, make_broker=None, changes=None, device_changes=None, longest_s=LONGEST_S):
    """The results of a certification, as data."""
    make_broker = make_broker or (lambda logins: EmbeddedBroker(BrokerSettings(), logins))
    settings = PlatformSettings(state_directory=directory / "state", test_clock=True, seed=3, with_hooks=True)
    async with (
        asyncio.timeout(longest_s),
        personality.make(settings, make_broker, clock=AdvanceableClock(SystemClock())) as running,
    ):
        platform = read_target(running.target_path).platform.model_copy(update=changes or {})
        if device_changes:
            platform = platform.model_copy(update={"devices": tuple(each.model_copy(update=device_changes) for each in platform.devices)})
        return await questioned(platform, directory / "out", scenarios_about(rows, left_out=NOT_IN_THIS_PROCESS), seed=seed)


async def questioned(platform, out, scenarios, *, seed=5):
    """The outcome of these scenarios on a platform that runs."""
    subject = Subject("platform", platform.name, platform.hardening, target_facts(platform))
    certification = Certification(RunOptions("run", "test", seed, out, Selection()), subject, SystemClock())
    register_secrets(platform, certification.recorder)
    async with PlatformBench(platform, certification.recorder, seed=seed) as bench:
        part = Part(bench, scenarios)
        return await certification.run([part], certification.plan([part]))


@pytest.fixture
def certify(tmp_path):
    """A function from a personality (and rows) to the outcome of its certification."""
    return lambda personality, **options: asyncio.run(certified(personality, tmp_path, **options))


@dataclass(frozen=True)
class Trial:
    """What certification said of one wrong platform."""

    personality: Personality
    outcome: Outcome

    @property
    def caught_by(self):
        """The checks of its own rows that found it."""
        return [result for result in self.outcome.results if result.verdict in FOUND_WRONG and rows_of(result) & {*self.personality.breaks}]

    @property
    def failed(self):
        """The checks of other rows that say FAIL: companions where they are declared, collateral where not."""
        return [result for result in self.outcome.results if result.verdict is Verdict.FAIL and result not in self.caught_by]

    @property
    def collateral(self):
        return [result for result in self.failed if not rows_of(result) & {*self.personality.also}]

    @property
    def errors(self):
        return [result for result in self.outcome.results if result.verdict is Verdict.ERROR]

    @property
    def is_told_right(self):
        return bool(self.caught_by) and not self.collateral and not self.errors

    def __str__(self):
        own = ", ".join(self.personality.breaks)
        caught = ", ".join(f"{result.id} ({result.verdict.value})" for result in self.caught_by)
        lines = [f"{self.personality.name} ({own}): " + (f"caught by {caught}" if caught else "MISSED")]
        lines += [f"  companion {row}: {self.personality.also[row]}" for row in self._companions()]
        lines += [f"  COLLATERAL {result.id} ({', '.join(result.requirements)}): {result.detail}" for result in self.collateral]
        lines += [f"  ERROR {result.id}: {result.detail}" for result in self.errors]
        if not caught:
            asked = [result for result in self.outcome.results if rows_of(result) & {*self.personality.breaks}]
            lines += [f"  {result.id}: {result.verdict.value}: {result.detail}" for result in asked]
        return "\n".join(lines)

    def _companions(self):
        return [row for row in self.personality.also if any(row in rows_of(result) for result in self.failed)]


def rows_of(result):
    """The catalogue's rows that a check judges, without the letters of their parts."""
    return {requirement[:6] for requirement in result.requirements}


async def side_by_side(tasks):
    """The outcomes of many certifications, some at a time, in one event loop."""
    free = asyncio.Semaphore(SIDE_BY_SIDE_MAX)

    async def one(task):
        async with free:
            return await task

    return await asyncio.gather(*map(one, tasks))


# Who shares a loop waits for the others, too.
_LONGEST_BESIDE_S = LONGEST_S * SIDE_BY_SIDE_MAX


@pytest.fixture
def try_personalities(tmp_path):
    """A function from wrong platforms to their trials, against their own rows or all."""

    def run(personalities, *, own_rows_only):
        tasks = [
            certified(each, tmp_path / each.name, rows=each.breaks if own_rows_only else (), longest_s=_LONGEST_BESIDE_S)
            for each in personalities
        ]
        outcomes = asyncio.run(side_by_side(tasks))
        return [Trial(personality, outcome) for personality, outcome in zip(personalities, outcomes, strict=True)]

    return run


@pytest.fixture
def try_seeds(tmp_path):
    """A function from a platform, seeds and a broker to the outcome of each seed."""

    def run(personality, seeds, *, broker):
        def make_broker(logins):
            return BROKERS[broker](BrokerSettings(), logins)

        tasks = [
            certified(personality, tmp_path / str(seed), seed=seed, make_broker=make_broker, longest_s=_LONGEST_BESIDE_S) for seed in seeds
        ]
        return dict(zip(seeds, asyncio.run(side_by_side(tasks)), strict=True))

    return run


@pytest.fixture
def try_process(tmp_path):
    """A function from a platform's name to the trial of its process, against its own rows or those that are named."""

    def run(personality, *options, rows=()):
        with PlatformProcess(tmp_path / "state", "--test-clock", "--personality", personality.name, *options) as process:
            platform = read_target(process.target_path).platform
            outcome = asyncio.run(questioned(platform, tmp_path / "out", scenarios_about(rows or personality.breaks)))
        return Trial(personality, outcome)

    return run
