"""The bench of a platform puts away what a scenario used, also where the platform is gone by then."""

import asyncio
import logging

import pytest

from harness.bench.platform_bench import PlatformBench
from harness.bench.target import ApiKeys, Platform, Project, TargetDevice
from harness.clock import SystemClock
from harness.errors import TargetUnavailable
from harness.history.recorder import Recorder
from harness.operations import Disconnect
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


@pytest.fixture
def bench():
    devices = tuple(TargetDevice(id=name, project_id="p", token="t", kind=DeviceKind.MQTT) for name in ("dev-1", "dev-2"))
    urls = {"api_url": "http://127.0.0.1:1", "mqtt_url": "mqtt://127.0.0.1:1"}
    platform = Platform(name="gone", **urls, api_keys=ApiKeys(full="k"), projects=(Project(id="p"),), devices=devices)
    return PlatformBench(platform, Recorder(SystemClock()))


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
