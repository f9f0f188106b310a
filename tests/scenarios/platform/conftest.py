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
from simulators.broker.port import BrokerSettings
from simulators.platform.personality import Personality
from simulators.platform.platform import PlatformSettings

# The restart hook would restart the process of the tests.
NOT_IN_THIS_PROCESS = {"key_used_across_a_restart"}
LONGEST_S = 150.0
SIDE_BY_SIDE_MAX = 6  # certifications at a time: their waits overlap, their work hardly does
FOUND_WRONG = (Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION)


def scenarios_about(rows):
    """The scenarios that give evidence for a check of one of these rows; all of them where no row is named."""
    checks = {check.id for check in all_checks().values() if not rows or {name[:6] for name in check.requirements} & set(rows)}
    found = all_scenarios("platform").values()
    return tuple(scenario for scenario in found if checks & set(scenario.serves) and scenario.name not in NOT_IN_THIS_PROCESS)


async def certified(personality, directory, *, rows=(), seed=5, make_broker=None, changes=None, longest_s=LONGEST_S):
    """The results of a certification, as data."""
    make_broker = make_broker or (lambda logins: EmbeddedBroker(BrokerSettings(), logins))
    settings = PlatformSettings(state_directory=directory / "state", test_clock=True, seed=3, with_hooks=True)
    async with (
        asyncio.timeout(longest_s),
        personality.make(settings, make_broker, clock=AdvanceableClock(SystemClock())) as running,
    ):
        platform = read_target(running.target_path).platform
        platform = platform.model_copy(update=changes or {})
        subject = Subject("platform", platform.name, platform.hardening, target_facts(platform))
        certification = Certification(RunOptions("run", "test", seed, directory / "out", Selection()), subject, SystemClock())
        register_secrets(platform, certification.recorder)
        async with PlatformBench(platform, certification.recorder, seed=seed) as bench:
            part = Part(bench, scenarios_about(rows))
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


async def tried(personalities, directory, *, own_rows_only):
    """The trials of many wrong platforms, some at a time, in one event loop."""
    free = asyncio.Semaphore(SIDE_BY_SIDE_MAX)

    async def one(personality):
        async with free:
            rows = personality.breaks if own_rows_only else ()
            outcome = await certified(personality, directory / personality.name, rows=rows, longest_s=LONGEST_S * SIDE_BY_SIDE_MAX)
            return Trial(personality, outcome)

    return await asyncio.gather(*(one(personality) for personality in personalities))


@pytest.fixture
def try_personalities(tmp_path):
    """A function from personalities to their trials, against their own rows or all."""
    return lambda personalities, **options: asyncio.run(tried(personalities, tmp_path, **options))
