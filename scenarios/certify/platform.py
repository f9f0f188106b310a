"""`hil certify platform`: a server that we did not start, as a black box."""

from pathlib import Path
from typing import Any

from harness.bench.platform_bench import PlatformBench, register_secrets, target_facts
from harness.bench.target import Platform, read_target
from harness.certification import Certification, Outcome, Part, RunOptions, Subject
from harness.clock import SystemClock
from harness.scenario import all_scenarios
from scenarios.certify.conduct import run_parts
from scenarios.certify.options import CommonOptions


async def certify_platform(path: Path, run: RunOptions, options: CommonOptions) -> Outcome | None:
    """Questions the platform of a target file. Raises ConfigurationError for a mistake in it."""
    platform = read_target(path).platform
    subject = Subject("platform", platform.name, platform.hardening, _facts(path, platform))
    certification = Certification(run, subject, SystemClock())
    register_secrets(platform, certification.recorder)
    async with PlatformBench(platform, certification.recorder, seed=run.seed) as bench:
        return await run_parts(certification, (platform_part(bench),), options)


def _facts(path: Path, platform: Platform) -> dict[str, Any]:
    """What the history keeps of the target; where its file is, is for `hil cleanup`."""
    return target_facts(platform) | {"file": str(path.absolute())}


def platform_part(bench: PlatformBench) -> Part:
    """All scenarios that question a platform, on this bench."""
    return Part(bench, tuple(all_scenarios("platform").values()))
