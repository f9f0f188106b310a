"""The bench of a platform puts away what a scenario used, also where the platform is gone by then."""

import asyncio
import logging

import pytest

from harness.bench.platform_bench import PlatformBench
from harness.bench.target import ApiKeys, Platform, Project, TargetDevice
from harness.bench.target import TestClock as ClockTable
from harness.clock import SystemClock
from harness.errors import BenchError, TargetUnavailable
from harness.history.recorder import Recorder
from harness.operations import AdvanceClock, Disconnect, Wait
from harness.scenario import DeviceNeed, Needs, Scenario
from harness.wire.commands import DeviceKind

TWO_DEVICES = Scenario("two", "platform", "Two devices", ("x",), Needs({"one": DeviceNeed(), "other": DeviceNeed()}), lambda cast: iter(()))


class LeavingASession:
    """A played device whose session stands at a broker that is gone."""

    has_left_a_session = True

    async def connect(self, operation):
        raise TargetUnavailable("no connection to mqtt://127.0.0.1:1")

    async def hang_up(self, *, abruptly):
        pass


def bench_of(**tables):
    devices = tuple(TargetDevice(id=name, project_id="p", token="t", kind=DeviceKind.MQTT) for name in ("dev-1", "dev-2"))
    urls = {"api_url": "http://127.0.0.1:1", "mqtt_url": "mqtt://127.0.0.1:1"}
    platform = Platform(name="gone", **urls, api_keys=ApiKeys(full="k"), projects=(Project(id="p"),), devices=devices, **tables)
    return PlatformBench(platform, Recorder(SystemClock()))


@pytest.fixture
def bench():
    return bench_of()


def test_a_device_is_busy_until_its_scenario_is_dismissed(bench):
    cast = bench.cast(TWO_DEVICES)

    assert bench.cast(TWO_DEVICES) is None
    asyncio.run(bench.dismiss(cast))
    assert bench.cast(TWO_DEVICES) is not None


def test_a_platform_that_is_gone_leaves_the_devices_free_and_is_told_of(bench, caplog):
    cast = bench.cast(TWO_DEVICES)
    bench._mqtt._players |= {name: LeavingASession() for name in ("dev-1", "dev-2")}

    with caplog.at_level(logging.WARNING):
        asyncio.run(bench.dismiss(cast))

    assert [record.getMessage().partition(" could")[0] for record in caplog.records] == [
        "the session of device dev-1",
        "the session of device dev-2",
    ]
    assert bench.cast(TWO_DEVICES) is not None


def test_a_device_that_was_never_connected_need_not_be_disconnected(bench):
    async def story():
        return await bench.perform(bench.cast(TWO_DEVICES), Disconnect("dev-1"))

    assert asyncio.run(story()) is None


def test_nothing_is_asked_after_the_test_clock_has_failed_and_the_reason_is_said_once():
    bench = bench_of(clock=ClockTable(advance_url="http://127.0.0.1:1/advance"))
    cast = bench.cast(TWO_DEVICES)

    def told(operation):
        with pytest.raises(BenchError) as caught:
            asyncio.run(bench.perform(cast, operation))
        return str(caught.value)

    assert told(AdvanceClock(60.0)).startswith("the test clock http://127.0.0.1:1/advance cannot be moved: ")
    assert told(Wait(0.0)).startswith("not asked: the test clock has failed in an earlier scenario")
