"""What the bench does for a device: where it breaks, the run is told, and the device is not judged."""

import asyncio

import pytest

from harness.bench.device_file import Device, DeviceFile, Run
from harness.clock import SystemClock
from harness.device_operations import Settle
from harness.entropy import SeededEntropy
from harness.errors import BenchError
from harness.history.recorder import Recorder
from simulators.counterpart.attendance import Attendance
from simulators.counterpart.bench import DeviceBench
from simulators.counterpart.power import AttachedDevice


async def stumble():
    raise RuntimeError("stumbled")


async def stumble_in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(stumble())


async def go_on():
    await asyncio.Event().wait()


@pytest.mark.parametrize("work", [stumble, stumble_in_a_group])
def test_what_broke_is_trouble_of_the_bench_by_its_first_cause(work):
    async def story():
        attendance = Attendance()
        await asyncio.wait({attendance.begin(work())})
        attendance.raise_if_broken()

    with pytest.raises(BenchError, match=r"RuntimeError\('stumbled'\)"):
        asyncio.run(story())


def test_work_that_goes_on_and_work_that_was_ended_are_no_trouble():
    async def story():
        attendance = Attendance()
        attendance.raise_if_broken()
        attendance.begin(go_on())
        attendance.raise_if_broken()
        was_under_way = attendance.is_under_way
        await attendance.end()
        attendance.raise_if_broken()
        return was_under_way, attendance.is_under_way

    assert asyncio.run(story()) == (True, False)


def test_an_operation_during_which_the_attendance_broke_has_no_outcome():
    file = DeviceFile(device=Device(vendor="v", model="m", firmware_version="1", run=Run(attach=True)))

    def make_device(credentials, scope_of):
        device = AttachedDevice(credentials, lambda line: None)
        device.attendance.begin(stumble())
        return device

    async def story():
        async with DeviceBench(file, make_device, Recorder(SystemClock()), SeededEntropy(1)) as bench:
            await bench.perform(bench.any_cast(), Settle(0.0))

    with pytest.raises(BenchError, match="stumbled"):
        asyncio.run(story())
