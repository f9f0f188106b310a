"""Certifying a platform of this process: the reference or a wrong one, with the scenarios that concern some rows, or all."""

import asyncio

import pytest

from harness.bench.platform_bench import PlatformBench, register_secrets, target_facts
from harness.bench.target import read_target
from harness.certification import Certification, Part, RunOptions, Subject
from harness.checks.registry import all_checks
from harness.clock import AdvanceableClock, SystemClock
from harness.runner import Selection
from harness.scenario import all_scenarios
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import BrokerSettings
from simulators.platform.platform import PlatformSettings

# The restart hook would restart the process of the tests.
NOT_IN_THIS_PROCESS = {"key_used_across_a_restart"}
LONGEST_S = 150.0


def scenarios_about(rows):
    """The scenarios that give evidence for a check of one of these rows; all of them where no row is named."""
    checks = {check.id for check in all_checks().values() if not rows or {name[:6] for name in check.requirements} & set(rows)}
    found = all_scenarios("platform").values()
    return tuple(scenario for scenario in found if checks & set(scenario.serves) and scenario.name not in NOT_IN_THIS_PROCESS)


async def certified(personality, directory, *, rows=(), seed=5, make_broker=None, changes=None):
    """The results of a certification, as data."""
    make_broker = make_broker or (lambda logins: EmbeddedBroker(BrokerSettings(), logins))
    settings = PlatformSettings(state_directory=directory / "state", test_clock=True, seed=3, with_hooks=True)
    async with (
        asyncio.timeout(LONGEST_S),
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
