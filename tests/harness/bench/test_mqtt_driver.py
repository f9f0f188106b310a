"""The devices that the harness plays: how long they wait for a platform that sends nothing."""

import asyncio

import pytest

from harness.bench.mqtt_driver import MqttDriver
from harness.bench.target import ApiKeys, Platform
from harness.clock import SystemClock
from harness.history.recorder import Recorder

DEVICE = "dev-1"


class Player:
    """A played device to which nothing comes but what `comes` names; it keeps how long it was told to wait."""

    def __init__(self):
        self.comes = []
        self.waited_s = []

    async def receive(self, count, within_s):
        self.waited_s.append(within_s)
        return self.comes[:count]

    async def hang_up(self, *, abruptly):
        self.comes = []


@pytest.fixture
def player():
    return Player()


@pytest.fixture
def driver(player):
    platform = Platform(name="silent", api_url="http://127.0.0.1:1", mqtt_url="mqtt://127.0.0.1:1", api_keys=ApiKeys(full="QB_x"))
    driver = MqttDriver(platform, Recorder(SystemClock()))
    driver._players[DEVICE] = player
    return driver


def waits(driver, *within_s):
    async def wait_for_each():
        for seconds in within_s:
            await driver.receive(DEVICE, 1, seconds)

    asyncio.run(wait_for_each())


def test_a_platform_that_delivers_nothing_is_waited_for_ever_less(driver, player):
    waits(driver, *[5.0] * 8)
    assert player.waited_s == [5.0] * 6 + [1.0] * 2


def test_a_message_brings_the_patience_back(driver, player):
    waits(driver, *[5.0] * 7)
    player.comes = ["message"]
    waits(driver, 5.0)
    player.comes = []
    waits(driver, 5.0)
    assert player.waited_s[-2:] == [1.0, 5.0]


def test_short_waits_in_vain_cost_no_patience(driver, player):
    waits(driver, *[0.2] * 20, 5.0)
    assert player.waited_s[-1] == 5.0
