"""`hil certify` without argument: the built-in platform and the built-in device certify each other on loopback.

The platform is questioned as a black box over its own URLs; the device is questioned by a second platform whose broker can be tampered
with. Both parts stand in one history and one report.
"""

from harness.bench.platform_bench import PlatformBench, register_secrets, target_facts
from harness.bench.target import read_target
from harness.certification import Certification, Outcome, RunOptions, Subject
from harness.clock import SystemClock
from scenarios.certify.conduct import run_parts
from scenarios.certify.options import CommonOptions
from scenarios.certify.platform import platform_part
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import BrokerPort, BrokerSettings, DeviceDirectory
from simulators.platform.platform import PlatformSettings, ReferencePlatform


def embedded(directory: DeviceDirectory) -> BrokerPort:
    """A broker of this process on a free port."""
    return EmbeddedBroker(BrokerSettings(), directory)


async def certify_pair(run: RunOptions, options: CommonOptions) -> Outcome | None:
    """Starts both sides, questions both, stops both."""
    settings = PlatformSettings(name="reference platform", test_clock=True, seed=run.seed)
    async with ReferencePlatform(settings, embedded) as reference:
        platform = read_target(reference.target_path).platform
        subject = Subject("pair", "reference platform and reference device", platform.hardening, target_facts(platform))
        certification = Certification(run, subject, SystemClock())
        register_secrets(platform, certification.recorder)
        async with PlatformBench(platform, certification.recorder) as bench:
            return await run_parts(certification, (platform_part(bench),), options)
