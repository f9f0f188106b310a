"""An observer of `[device.observe]` shows what it prints on standard output; what it grumbles besides is no part of the value."""

import asyncio

import pytest

from harness.bench.device_file import Device, DeviceFile, Run
from harness.bench.device_file import Observe as Observers
from harness.clock import SystemClock
from harness.device_operations import Observe
from harness.entropy import SeededEntropy
from harness.errors import BenchError
from harness.history.events import HookRun, Observed
from harness.history.recorder import Recorder
from simulators.counterpart.bench import DeviceBench
from simulators.counterpart.power import BuiltInDevice


def observed(command):
    """What an observer's value is, and the facts on record."""
    about = {"vendor": "v", "model": "m", "firmware_version": "1"}
    file = DeviceFile(device=Device(**about, observe=Observers(image_sha256=command), run=Run(exec="device")))
    recorder = Recorder(SystemClock())

    def make_device(credentials, scope_of):
        return BuiltInDevice(credentials, SeededEntropy(1), recorder, scope_of)

    async def run():
        async with DeviceBench(file, make_device, recorder, SeededEntropy(1), instances=1) as bench:
            return await bench.perform(bench.any_cast(), Observe("image_sha256"))

    return asyncio.run(run()), [event.fact for event in recorder.history().events if isinstance(event.fact, HookRun | Observed)]


def test_the_value_is_what_stands_on_standard_output():
    value, (run, seen) = observed("echo 'warning: host key added' >&2; echo 5e5e")

    assert (value, seen.value) == ("5e5e", "5e5e")
    assert run.output == "5e5e\nwarning: host key added"


def test_an_observer_that_fails_is_trouble_of_the_bench():
    with pytest.raises(BenchError, match=r"\[device\.observe\] image_sha256 ended with status 1: no such file"):
        observed("echo no such file >&2; exit 1")
