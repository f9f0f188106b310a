"""A fleet's connections: kept alive by one timer, left in order, found again when they are lost."""

import asyncio

from harness.entropy import SeededEntropy
from harness.mqtt.packets import Disconnect
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.fleet import fleet as fleet_module
from simulators.fleet.admission import Credentials
from simulators.fleet.behaviour import parse_mix
from simulators.fleet.fleet import Fleet
from simulators.fleet.ledger import Ledger
from simulators.world.world import World
from tests.simulators.fleet.small_fleet import after, in_a_world


def test_reconnect_storms_lose_nothing():
    outcome = in_a_world(churn_s=1.0, hold_s=10.0)
    assert outcome.figures["reconnects"] >= 20
    assert outcome.totals.is_green


def test_devices_whose_connection_fades_leave_with_disconnect_all_the_same():
    class Counting:
        def __init__(self):
            self.disconnected = set()

        def packet(self, connection, client_id, direction, packet, size_bytes):
            if isinstance(packet, Disconnect):
                self.disconnected.add(client_id)

        def __getattr__(self, name):
            return lambda *arguments: None

    async def scenario():
        counting = Counting()
        broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything(), observer=counting)
        await broker.start()
        fleet = Fleet(mqtt_url=broker.mqtt_url, entropy=SeededEntropy(1), ledger=Ledger())
        fleet.add([Credentials(f"dev-{number}", "t") for number in range(5)])
        await fleet.connect()
        assert await fleet.until_connected(asyncio.get_running_loop().time() + 10)
        for line in fleet.lines:
            line.fade()
        await fleet.disconnect()
        await asyncio.sleep(5.0)  # virtual: the packets are on their way
        await broker.stop()
        return counting.disconnected

    with World(1) as world:
        assert len(world.run("server", scenario(), within_s=60)) == 5


def test_flaky_devices_come_back():
    outcome = in_a_world(mix=parse_mix("flaky"), hold_s=120.0, commands=200)
    assert outcome.figures["reconnects"] > 20
    assert outcome.totals.is_green


def test_a_server_that_accepts_and_says_nothing_is_left_and_tried_again():
    async def scenario():
        accepted = []
        server = await asyncio.start_server(lambda reader, writer: accepted.append(writer), "127.0.0.1", 1999)
        fleet = Fleet(mqtt_url="mqtt://127.0.0.1:1999", entropy=SeededEntropy(1), ledger=Ledger())
        fleet.add([Credentials("dev-1", "t")])
        await fleet.connect()
        await asyncio.sleep(300)
        await fleet.disconnect()
        server.close()
        return len(accepted)

    with World(1) as world:
        assert world.run("server", scenario(), within_s=600) in range(2, 6)


def test_devices_whose_connections_have_died_unseen_come_back():
    async def let_connections_die(run, broker):
        network = asyncio.get_running_loop().network
        for number in list(network.connections):
            network.sever(number)
        await asyncio.sleep(30)
        let_connections_die.connected = run.fleet.counts.connected, run.fleet.counts.reconnects

    in_a_world(commands=0, hold_s=60.0, keep_alive_s=4, meanwhile=after(1.0, let_connections_die))
    assert let_connections_die.connected == (20, 20)


def test_keep_alive_is_kept_by_one_timer():
    async def count_pings(run, broker):
        await asyncio.sleep(30)
        count_pings.disconnects = run.fleet.counts.disconnects

    outcome = in_a_world(commands=0, hold_s=60.0, keep_alive_s=4, meanwhile=count_pings)
    assert count_pings.disconnects == 0
    assert outcome.is_complete


def test_devices_that_reconnect_again_and_again_do_not_fill_the_queue_of_pings():
    async def count_places(run, broker):
        await asyncio.sleep(1200)
        count_places.seen = len(run.fleet._due)

    in_a_world(commands=0, hold_s=1205.0, mix=parse_mix("flaky"), meanwhile=count_places)
    assert count_places.seen <= 20 * 4  # its present place, and those that it had half a keep-alive ago


def test_an_idle_device_has_no_task():
    async def scenario():
        broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
        await broker.start()
        fleet = Fleet(mqtt_url=broker.mqtt_url, entropy=SeededEntropy(1), ledger=Ledger())
        before = len(asyncio.all_tasks())
        fleet.add([Credentials(f"dev-{number}", "t") for number in range(50)])
        await fleet.connect()
        assert await fleet.until_connected(asyncio.get_running_loop().time() + 10)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before
        await fleet.disconnect()
        await broker.stop()

    asyncio.run(scenario())


def test_more_devices_than_one_address_has_ports_for_come_from_several(monkeypatch):
    monkeypatch.setattr(fleet_module, "DEVICES_PER_ADDRESS", 2)

    async def scenario():
        sources = asyncio.Queue()

        async def note(reader, writer):
            sources.put_nowait(writer.get_extra_info("peername")[0])

        async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            fleet = Fleet(mqtt_url=f"mqtt://127.0.0.1:{port}", entropy=SeededEntropy(1), ledger=Ledger())
            fleet.add([Credentials(f"dev-{number}", "t") for number in range(5)])
            await fleet.connect()
            seen = [await sources.get() for _ in range(5)]
            await fleet.disconnect()
        return sorted(seen)

    assert asyncio.run(scenario()) == ["127.0.0.1", "127.0.0.1", "127.0.1.1", "127.0.1.1", "127.0.1.2"]
