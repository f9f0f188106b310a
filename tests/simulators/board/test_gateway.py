"""The network of a board that has none, without a board: what the gateway does towards the broker."""

import asyncio

import pytest

from harness.entropy import SeededEntropy
from harness.faults import Cut, FaultPlan, PacketEvent, PacketFault
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Publish
from simulators.board.gateway import BoardGateway, GatewayLogin
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.world.world import World


class Board:
    """A board's link that takes every command."""

    def __init__(self):
        self.commands = asyncio.Queue()

    async def command(self, name, payload, *, deadline_s):
        self.commands.put_nowait(name)

    async def watch(self):
        await asyncio.Event().wait()


@pytest.mark.requirement("DEV-20a")
@pytest.mark.parametrize("lost", ["SUBSCRIBE", "SUBACK"])
def test_a_subscription_that_was_lost_with_its_connection_is_asked_for_again(lost):
    async def scenario():
        broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
        await broker.start()
        broker.set_faults(FaultPlan(packets=(PacketFault(name="cut", at=PacketEvent(packet=lost), action=Cut(when="before")),)))
        gateway, board = BoardGateway(GatewayLogin("dev-1", "token", broker.mqtt_url), entropy=SeededEntropy(1)), Board()
        gateway.connected({})
        serving = asyncio.create_task(gateway.serve(board))
        await asyncio.sleep(60)
        await broker.publish("dev-1/control/reboot", b"{}")
        async with asyncio.timeout(10):
            assert await board.commands.get() == "reboot"
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await broker.stop()

    with World(1) as world:
        world.run("server", scenario(), within_s=600)


def test_a_refused_login_is_tried_again_whatever_stands_behind_the_refusal():
    async def scenario():
        accepted = []

        def refuse(reader, writer):
            accepted.append(writer)
            writer.write(encode(Connack(False, 5)) + encode(Publish("dev-1/control/reboot", b"{}")))

        server = await asyncio.start_server(refuse, "127.0.0.1", 1999)
        gateway, board = BoardGateway(GatewayLogin("dev-1", "token", "mqtt://127.0.0.1:1999"), entropy=SeededEntropy(1)), Board()
        gateway.connected({})
        serving = asyncio.create_task(gateway.serve(board))
        await asyncio.sleep(60)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        server.close()
        return len(accepted), board.commands.qsize()

    with World(1) as world:
        attempts, commands = world.run("server", scenario(), within_s=600)
    assert attempts > 1
    assert commands == 0


@pytest.mark.requirement("DEV-25")
def test_a_result_that_no_topic_can_carry_is_said_and_is_no_trouble_of_ours():
    lines = []
    gateway = BoardGateway(GatewayLogin("dev-1", "token", "mqtt://127.0.0.1:1999"), entropy=SeededEntropy(1), say=lines.append)
    gateway.result(1, "a/#", b"{}")
    assert ["'a/#'" in line for line in lines] == [True]


class BrokenLink(Board):
    """A link that stumbles."""

    async def watch(self):
        raise RuntimeError("stumbled")


def test_the_gateway_does_not_outlive_its_link():
    gateway = BoardGateway(GatewayLogin("dev-1", "token", "mqtt://127.0.0.1:1999"), entropy=SeededEntropy(1))
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(gateway.serve(BrokenLink()))
    assert caught.group_contains(RuntimeError, match="stumbled")
