"""`hil certify` without argument: the built-in platform and the built-in device certify each other on loopback.

The platform is questioned as a black box over its own URLs; the device is questioned by a second platform whose broker can be tampered
with. Both parts stand in one history and one report.
"""

from harness import __version__
from harness.bench.device_file import Declares, Device, DeviceFile, Factory, Run
from harness.bench.platform_bench import PlatformBench, register_secrets, target_facts
from harness.bench.target import read_target
from harness.certification import Certification, Outcome, RunOptions, Subject
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from scenarios.certify.conduct import run_parts
from scenarios.certify.device import INSTANCES, built_in_maker, declaration_facts, device_part
from scenarios.certify.options import CommonOptions
from scenarios.certify.platform import platform_part
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import BrokerPort, BrokerSettings, DeviceDirectory
from simulators.counterpart.bench import DeviceBench
from simulators.device.settings import FACTORY_CONFIGURATION
from simulators.platform.platform import PlatformSettings, ReferencePlatform


def embedded(directory: DeviceDirectory) -> BrokerPort:
    """A broker of this process on a free port."""
    return EmbeddedBroker(BrokerSettings(), directory)


async def certify_pair(run: RunOptions, options: CommonOptions) -> Outcome | None:
    """Starts both sides, questions both, stops both."""
    settings = PlatformSettings(name="reference platform", test_clock=True, seed=run.seed)
    async with ReferencePlatform(settings, embedded) as reference:
        platform = read_target(reference.target_path).platform
        device = built_in_device()
        subject = Subject(
            "pair",
            "reference platform and reference device",
            platform.hardening,
            target=target_facts(platform),
            declaration=declaration_facts(device),
        )
        certification = Certification(run, subject, SystemClock())
        register_secrets(platform, certification.recorder)
        make_device = built_in_maker(run.seed, certification.recorder)
        async with (
            PlatformBench(platform, certification.recorder, seed=run.seed) as platform_bench,
            DeviceBench(device, make_device, certification.recorder, SeededEntropy(run.seed), instances=INSTANCES) as device_bench,
        ):
            return await run_parts(certification, (platform_part(platform_bench), device_part(device_bench)), options)


def built_in_device() -> DeviceFile:
    """What the virtual device declares of itself."""
    device = Device(
        vendor="hil",
        model="virtual device",
        firmware_version=__version__,
        declares=Declares(keep_alive_s=3, reboot_s=5, result_s=5),
        factory=Factory(configuration=FACTORY_CONFIGURATION),
        run=Run(exec="hil device"),
    )
    return DeviceFile(device=device)
