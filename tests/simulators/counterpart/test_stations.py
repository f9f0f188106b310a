"""The stations of a bench: one that cannot be opened leaves none of the others behind."""

import asyncio

import pytest

from harness.bench.device_file import Device, DeviceFile, Run
from harness.bench.streams import open_stream
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.errors import BenchError, TargetUnavailable
from harness.history.recorder import Recorder
from simulators.counterpart.bench import DeviceBench
from simulators.counterpart.power import BuiltInDevice


def test_a_station_that_cannot_be_opened_closes_those_before_it():
    file = DeviceFile(device=Device(vendor="v", model="m", firmware_version="1", run=Run(exec="device")))
    recorder = Recorder(SystemClock())
    brokers = []

    def make_device(credentials, scope_of):
        brokers.append(credentials.mqtt_url)
        if len(brokers) == 2:
            raise BenchError("no second device")
        return BuiltInDevice(credentials, SeededEntropy(1), recorder, scope_of)

    async def run():
        with pytest.raises(BenchError, match="no second device"):
            await DeviceBench(file, make_device, recorder, SeededEntropy(1), instances=2).__aenter__()
        for url in brokers:
            with pytest.raises(TargetUnavailable):
                await open_stream(url)

    asyncio.run(run())
    assert len(brokers) == 2
