"""What the tests of the device scenarios share: a whole certification of one virtual device, in this process, and the comparison of what
was found with what the device does wrong on purpose."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from harness.bench.device_file import Declares, Device, DeviceFile, Factory, Run
from harness.certification import Certification, Outcome, Part, RunOptions, Subject
from harness.checks.verdict import CheckResult, Verdict
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.runner import Selection
from harness.scenario import all_scenarios
from scenarios.certify.device import declaration_facts
from simulators.counterpart.bench import DeviceBench
from simulators.counterpart.power import BuiltInDevice
from simulators.device.personality import Personality
from simulators.device.settings import FACTORY_CONFIGURATION

INSTANCES = 4
SIDE_BY_SIDE_MAX = 13  # certifications at a time: their waits overlap, their work hardly does


@dataclass(frozen=True)
class Trial:
    """What certification said of one personality."""

    personality: Personality
    results: tuple[CheckResult, ...]

    def _rows(self, *verdicts: Verdict, level: str | None = None) -> set[str]:
        found = [result for result in self.results if result.verdict in verdicts and level in (None, result.level)]
        return {row for result in found for row in result.requirements}

    @property
    def missed(self) -> set[str]:
        """Rows that it breaks on purpose, and no check says so."""
        found = self._rows(Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION)
        return set(self.personality.breaks) - found

    @property
    def collateral(self) -> list[CheckResult]:
        """MUSTs that it is said to have broken, though it does not."""
        allowed = {*self.personality.breaks, *self.personality.also}
        return [result for result in self.results if result.verdict is Verdict.FAIL and allowed.isdisjoint(result.requirements)]

    @property
    def errors(self) -> list[CheckResult]:
        return [result for result in self.results if result.verdict is Verdict.ERROR]

    def __str__(self) -> str:
        name = self.personality.name
        lines = [f"{name}: {'missed ' + ', '.join(sorted(self.missed)) if self.missed else 'caught'}"]
        lines += [f"  accused: {result.id} ({', '.join(result.requirements)}): {result.detail}" for result in self.collateral]
        lines += [f"  error: {result.id}: {result.detail}" for result in self.errors]
        if self.missed:
            lines += [f"  {r.id}: {r.verdict.value}: {r.detail}" for r in self.results if {*r.requirements} & {*self.personality.breaks}]
        return "\n".join(lines)


def device_file(**claims) -> DeviceFile:
    """What every virtual device of these tests declares: short times, so that the tests are short; and what the test claims besides."""
    device = Device(
        vendor="hil",
        model="virtual device",
        firmware_version="1",
        declares=Declares(**({"keep_alive_s": 2, "reboot_s": 3, "result_s": 2, "connect_s": 6} | claims)),
        factory=Factory(configuration=FACTORY_CONFIGURATION),
        run=Run(exec="hil device"),
    )
    return DeviceFile(device=device)


async def certify(
    personality: Personality, out: Path, *, only: Iterable[str] = (), profile: str = "quick", seed: int = 1, **claims
) -> Outcome:
    """Questions a personality as `hil certify device` would, in this process."""
    file = device_file(**claims)
    options = RunOptions(f"trial-{personality.name}", "test", seed, out, Selection(profile, frozenset(only)))
    subject = Subject("device", personality.name, declaration=declaration_facts(file))
    certification = Certification(options, subject, SystemClock())

    def make_device(credentials, scope_of):
        entropy = SeededEntropy(f"{seed}/{credentials.device_id}")
        return BuiltInDevice(credentials, entropy, certification.recorder, scope_of, personality=personality)

    bench = DeviceBench(file, make_device, certification.recorder, SeededEntropy(seed), instances=INSTANCES)
    async with bench:
        parts = (Part(bench, tuple(all_scenarios("device").values())),)
        return await certification.run(parts, certification.plan(parts))


async def try_all(personalities: Iterable[Personality], out: Path, *, own_rows_only: bool, seeds: Iterable[int]) -> list[Trial]:
    """Certifies each personality under each seed, several at a time: against all rows, or against the rows that it breaks."""
    free = asyncio.Semaphore(SIDE_BY_SIDE_MAX)

    async def one(personality: Personality, seed: int) -> Trial:
        async with free:
            only = personality.breaks if own_rows_only else ()
            outcome = await certify(personality, out / f"{personality.name}-{seed}", only=only, seed=seed)
            return Trial(personality, outcome.results)

    return list(await asyncio.gather(*(one(personality, seed) for personality, seed in product(personalities, seeds))))


@pytest.fixture
def try_personalities(tmp_path):
    """A function from personalities to their trials."""

    def run(personalities: Iterable[Personality], *, own_rows_only: bool, seeds: Iterable[int] = (1,)) -> list[Trial]:
        return asyncio.run(try_all(personalities, tmp_path, own_rows_only=own_rows_only, seeds=seeds))

    return run


@pytest.fixture
def certified(tmp_path):
    """A function from a personality and its claims to the results of its certification."""

    def run(personality: Personality, **claims) -> dict[str, CheckResult]:
        outcome = asyncio.run(certify(personality, tmp_path, **claims))
        return {result.id: result for result in outcome.results}

    return run
