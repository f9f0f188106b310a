"""Connections of the simulated network: bytes arrive whole and in order, as late as the link says; faults look as they do on a real one."""

import asyncio
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.world.links import LAN, NB_IOT, SLOW, LinkShape
from simulators.world.net import NetworkTiming
from simulators.world.transport import SimulatedTransport
from simulators.world.world import World

EXACT = NetworkTiming(tick_s=0.0, chunk_s=0.1)


async def exchange(port, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def run_exchange(world, echo, data, *, host="dev-1"):
    async def main():
        port = await echo(world)
        return await world.spawn(host, exchange(port, data))

    return world.run("server", main(), within_s=10_000)


@given(data=st.binary(max_size=200_000), seed=st.integers(0, 1_000))
def test_bytes_arrive_whole_and_in_order(echo_source, data, seed):
    with World(seed) as world:
        world.network.host("dev-1", LinkShape(up_bytes_per_s=50_000, down_bytes_per_s=20_000, latency_s=0.1, jitter_s=0.5, loss=0.2))
        assert run_exchange(world, echo_source, data) == data


@pytest.fixture(scope="module")
def echo_source():
    async def handle(reader, writer):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def start(_world):
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    return start


def test_a_transfer_takes_as_long_as_the_links_rate_says(echo):
    async def main(world):
        port = await echo(world)
        begin_s = world.loop.time()
        await world.spawn("dev-1", exchange(port, bytes(25_000)))
        return world.loop.time() - begin_s

    with World(1, timing=EXACT) as world:
        world.network.host("dev-1", LinkShape(up_bytes_per_s=2_500, latency_s=0.0, jitter_s=0.0))
        assert world.run("server", main(world)) == pytest.approx(10.0, abs=0.2)


def test_small_packets_are_not_held_up_by_a_bulk_transfer(echo):
    async def main(world):
        port = await echo(world)
        bulk = world.spawn("dev-1", exchange(port, bytes(250_000)))
        await asyncio.sleep(5)
        begin_s = world.loop.time()
        await world.spawn("dev-1", exchange(port, b"ping"))
        took_s = world.loop.time() - begin_s
        assert not bulk.done()
        return took_s

    with World(1) as world:
        world.network.host("dev-1", SLOW)
        assert world.run("server", main(world)) < 1.0


def test_lost_segments_come_late_but_come(echo):
    data = hashlib.sha256(b"x").digest() * 1_000
    with World(3) as world:
        world.network.host("dev-1", NB_IOT)
        assert run_exchange(world, echo, data) == data


def test_a_slow_reader_makes_the_writer_wait(echo):
    async def main(world):
        port = await echo(world)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        begin_s = world.loop.time()
        for _ in range(20):
            writer.write(bytes(10_000))
            await writer.drain()
        waited_s = world.loop.time() - begin_s
        writer.transport.abort()
        return waited_s

    async def on_device(world):
        return await world.spawn("dev-1", main(world))

    with World(1) as world:
        world.network.host("dev-1", SLOW)
        assert world.run("server", on_device(world)) > 30


class Watermarks(asyncio.Protocol):
    """Notes pauses and resumptions, which must alternate."""

    def __init__(self):
        self.calls = []

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")


def test_pauses_and_resumptions_of_a_writer_alternate(echo):
    async def main(world):
        port = await echo(world)
        transport, protocol = await world.loop.create_connection(Watermarks, "127.0.0.1", port)
        transport.set_write_buffer_limits(high=4_000)
        for _ in range(50):
            transport.write(bytes(3_000))
            await asyncio.sleep(0.9)
        await asyncio.sleep(100)
        transport.abort()
        return protocol.calls

    async def on_device(world):
        return await world.spawn("dev-1", main(world))

    with World(1) as world:
        world.network.host("dev-1", SLOW)
        calls = world.run("server", on_device(world))
    assert calls == ["pause", "resume"] * (len(calls) // 2)
    assert calls


def test_connecting_where_nobody_listens_is_refused():
    async def main():
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", 9)

    with World(1) as world:
        world.run("dev-1", main())


def test_a_port_that_is_taken_cannot_be_listened_on(echo):
    async def main(world):
        port = await echo(world)
        with pytest.raises(OSError, match="in use"):
            await asyncio.start_server(lambda r, w: None, "127.0.0.1", port)

    with World(1) as world:
        world.run("server", main(world))


def fault_during_a_read(world, echo, fault):
    """What a client that waits for bytes sees when `fault(network, connection number)` happens; and when, in seconds after it."""

    async def client(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        begin_s = world.loop.time()
        fault(world.network, world.network.connections_of("dev-1")[0])
        writer.write(b"again")
        try:
            seen = await reader.readexactly(5)
        except (OSError, asyncio.IncompleteReadError) as error:
            seen = error
        return seen, world.loop.time() - begin_s

    async def main():
        port = await echo(world)
        return await world.spawn("dev-1", client(port))

    return world.run("server", main(), within_s=10_000)


def test_a_reset_is_seen_at_once(echo):
    with World(1) as world:
        seen, after_s = fault_during_a_read(world, echo, lambda network, number: network.reset(number))
    assert isinstance(seen, ConnectionResetError)
    assert after_s < 1


def test_a_severed_connection_is_noticed_only_when_retransmissions_give_up(echo):
    with World(1) as world:
        seen, after_s = fault_during_a_read(world, echo, lambda network, number: network.sever(number))
    assert isinstance(seen, TimeoutError)
    assert 900 <= after_s < 910


def test_a_partition_delays_what_was_sent(echo):
    with World(1) as world:
        seen, after_s = fault_during_a_read(world, echo, lambda network, number: network.partition("dev-1", "server", 60))
    assert seen == b"again"
    assert 60 <= after_s < 70


def test_a_partition_that_outlasts_the_retransmissions_ends_the_connection(echo):
    with World(1) as world:
        seen, after_s = fault_during_a_read(world, echo, lambda network, number: network.partition("dev-1", "server", 5_000))
    assert isinstance(seen, TimeoutError)
    assert 900 <= after_s < 910


def test_a_server_without_power_answers_nothing_and_after_its_start_resets_old_connections(echo):
    def cut(network, _number):
        network.power_off("server")
        network.loop.call_later(0.05, network.power_on, "server")

    with World(1) as world:
        world.network.host("dev-1", LinkShape(latency_s=0.1, jitter_s=0.0))
        seen, after_s = fault_during_a_read(world, echo, cut)
    assert isinstance(seen, ConnectionResetError)
    assert after_s < 2


def test_connecting_to_a_host_without_power_takes_two_minutes_to_fail(echo):
    async def main(world):
        port = await world.spawn("server", echo(world))
        world.network.power_off("server")
        begin_s = world.loop.time()
        with pytest.raises(TimeoutError):
            await world.spawn("dev-1", exchange(port, b"x"))
        return world.loop.time() - begin_s

    with World(1) as world:
        assert world.run("operator", main(world)) == pytest.approx(127)


def test_healing_ends_partitions_and_delays(echo):
    async def main(world):
        port = await world.spawn("server", echo(world))
        world.network.partition("*", "server", 1_000)
        world.network.add_latency("dev-1", 30)
        world.network.heal()
        begin_s = world.loop.time()
        await world.spawn("dev-1", exchange(port, b"x"))
        return world.loop.time() - begin_s

    with World(1) as world:
        assert world.run("operator", main(world)) < 1


def test_two_deliveries_can_come_in_the_same_instant_in_either_order():
    """What races without a delay in between need."""
    orders = set()

    async def main(world):
        seen = []

        async def note(reader, writer):
            seen.append((await reader.readexactly(1), world.loop.time()))

        server = await asyncio.start_server(note, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        async def send(byte):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(byte)

        await asyncio.gather(world.spawn("dev-1", send(b"1")), world.spawn("dev-2", send(b"2")))
        await asyncio.sleep(1)
        return seen

    for seed in range(20):
        with World(seed) as world:
            (first, first_s), (second, second_s) = world.run("server", main(world))
            if first_s == second_s:
                orders.add((first, second))
    assert orders == {(b"1", b"2"), (b"2", b"1")}


def test_a_transport_has_no_attribute_dictionary():
    with World(1) as world:
        host = world.network.host("dev-1", LAN)
        transport = SimulatedTransport(world.network, 1, "c", host, None, {})
    assert not hasattr(transport, "__dict__")
