"""The devices that the harness plays: how long they wait for a platform that sends nothing, and what a hasty one comes to."""

import asyncio

import pytest

from harness.bench import mqtt_driver
from harness.bench.mqtt_driver import MqttDriver
from harness.bench.target import ApiKeys, Platform, TargetDevice
from harness.clock import SystemClock
from harness.errors import TargetUnavailable
from harness.history.recorder import Recorder
from harness.operations import Connect
from harness.wire.commands import DeviceKind

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


def connected_to_a_server_that_says(said, *, closes=True):
    """What connecting comes to with a server that answers CONNECT with these bytes, and closes or holds the connection."""

    async def story():
        async def answer(reader, writer):
            await reader.read(1_024)
            writer.write(said)
            if not closes:
                await reader.read()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        platform = Platform(name="hasty", api_url="http://127.0.0.1:1", mqtt_url=url, api_keys=ApiKeys(full="QB_x"))
        device = TargetDevice(id=DEVICE, project_id="p", token="t", kind=DeviceKind.MQTT)
        async with server, MqttDriver(platform, Recorder(SystemClock())) as driver:
            return await driver.connect(device, Connect(DEVICE, filters=((f"{DEVICE}/control/+", 2),)))

    return asyncio.run(story())


ACCEPTED = b"\x20\x02\x00\x00"


@pytest.mark.parametrize(
    ("said", "problem"),
    [(ACCEPTED, "the connection was closed"), (ACCEPTED + b"\xd0\x00", "malformed"), (ACCEPTED + b"\x10\x00", "malformed")],
)
def test_a_server_that_accepts_a_connection_and_ends_it_at_once_is_an_outcome(said, problem):
    connected = connected_to_a_server_that_says(said)

    assert (connected.is_accepted, connected.granted) == (True, ())
    assert connected.problem.startswith(problem)


def test_a_server_that_never_answers_a_login_is_unavailable_for_just_that(monkeypatch):
    monkeypatch.setattr(mqtt_driver, "_ANSWER_WITHIN_S", 0.0)

    with pytest.raises(TargetUnavailable, match="no CONNACK came within 0 s"):
        connected_to_a_server_that_says(b"", closes=False)
