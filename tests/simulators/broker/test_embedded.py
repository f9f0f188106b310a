"""The embedded broker on real sockets: what the core's tests cannot see."""

import asyncio
import socket

import pytest

from harness.errors import BenchError, TargetUnavailable
from harness.mqtt.packets import Connack, Pingreq, Pingresp, Pubcomp, Publish, Pubrec, Pubrel
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings, BrokerUnavailable, ClosedBy
from simulators.broker.probe import Probe


def test_a_broker_that_cannot_start_leaves_nothing_behind(tmp_path):
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings = BrokerSettings(websocket_port=taken.getsockname()[1], state_directory=tmp_path)
            broker = EmbeddedBroker(settings, AnyoneMayDoAnything())
            with pytest.raises(BenchError):
                await broker.start()
        with pytest.raises(TargetUnavailable):
            await Probe.open(broker.mqtt_url)
        other = EmbeddedBroker(BrokerSettings(state_directory=tmp_path), AnyoneMayDoAnything())
        await other.start()
        await other.stop()

    asyncio.run(run())


def test_a_broker_that_was_stopped_has_nobody_connected(embedded, device):
    async def run():
        async with embedded() as broker:
            await device(broker)
            assert broker.connected_clients() == {"dev-1"}
            await broker.stop()
            assert broker.connected_clients() == frozenset()

    asyncio.run(run())


@pytest.mark.requirement("CMD-03")
def test_a_command_of_the_platform_takes_four_packets_to_the_device(embedded, device):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            await broker.publish("dev-1/control/reboot", b"{}")
            assert await probe.receive() == Publish("dev-1/control/reboot", b"{}", 2, packet_id=1)
            probe.send(Pubrec(1))
            assert await probe.receive() == Pubrel(1)
            probe.send(Pubcomp(1), Pingreq())
            assert await probe.receive() == Pingresp()
            await probe.close()

    asyncio.run(run())


def test_the_observer_sees_each_packet_in_both_directions(embedded, device, notes):
    async def run():
        async with embedded(observer=notes) as broker:
            probe = await device(broker)
            await broker.publish("dev-1/control/reboot", b"{}")
            await probe.receive()
            await probe.close()

    asyncio.run(run())
    assert notes.openings == [1]
    assert [packet[1:3] for packet in notes.packets] == [
        ("client", "CONNECT"),
        ("server", "CONNACK"),
        ("client", "SUBSCRIBE"),
        ("server", "SUBACK"),
        ("server", "PUBLISH"),
    ]
    assert {packet[0] for packet in notes.packets} == {"dev-1"}
    assert notes.packets[0][3] == 19


def test_malformed_bytes_are_recorded_and_others_served(embedded, device, notes):
    async def run():
        async with embedded(observer=notes) as broker:
            healthy = await device(broker, "dev-1")
            broken = await device(broker, "dev-2")
            broken.send_raw(b"\xf0\x00")
            assert await broken.is_closed()
            healthy.send(Pingreq())
            assert await healthy.receive() == Pingresp()

    asyncio.run(run())
    assert notes.malformations == ["MQTT-4.8.0-1"]
    assert notes.closings[0][:2] == ("dev-2", ClosedBy.BROKER)


def test_packets_before_the_malformed_one_are_served(embedded, device):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            probe.send_raw(b"\xc0\x00\xf0\x00")
            assert await probe.receive() == Pingresp()
            assert await probe.is_closed()

    asyncio.run(run())


def test_a_packet_beyond_the_limit_ends_the_connection(embedded, device):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            probe.send(Publish("dev-1/x", bytes(2_000_000)))
            assert await probe.is_closed()

    asyncio.run(run())


def test_a_protocol_of_another_level_is_told_so(embedded):
    async def run():
        async with embedded() as broker:
            probe = await Probe.open(broker.mqtt_url)
            probe.send_raw(b"\x10\x11\x00\x04MQTT\x05\x02\x00\x3c\x00\x05dev-1")
            assert await probe.receive() == Connack(False, 1)
            assert await probe.is_closed()

    asyncio.run(run())


def test_silent_clients_are_ended_by_the_one_timer(embedded, device, notes):
    async def run():
        async with embedded(observer=notes) as broker:
            probe = await device(broker, keep_alive_s=1)
            assert await probe.is_closed()

    asyncio.run(run())
    assert "MQTT-3.1.2-24" in notes.closings[0][2]


def test_disconnect_and_connected_clients_tell_of_the_port(embedded, device):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            assert broker.connected_clients() == {"dev-1"}
            assert await broker.disconnect("dev-1")
            assert await probe.is_closed()
            assert not await broker.disconnect("dev-1")
            assert broker.connected_clients() == frozenset()

    asyncio.run(run())


@pytest.mark.requirement("CMD-31")
def test_a_stopped_broker_takes_no_message(embedded):
    async def run():
        async with embedded() as broker:
            await broker.stop()
            with pytest.raises(BrokerUnavailable):
                await broker.publish("dev-1/control/reboot", b"{}")
            with pytest.raises(BrokerUnavailable):
                broker.set_faults(None)

    asyncio.run(run())


def test_a_restarted_broker_serves_on_the_same_port(embedded, device):
    async def run():
        async with embedded() as broker:
            url = broker.mqtt_url
            probe = await device(broker)
            await broker.stop()
            assert await probe.is_closed()
            await broker.start()
            assert broker.mqtt_url == url
            await device(broker)

    asyncio.run(run())


def test_a_port_that_is_taken_is_an_error_of_the_bench(embedded):
    async def run():
        async with embedded() as broker:
            port = int(broker.mqtt_url.rsplit(":", 1)[1])
            second = EmbeddedBroker(BrokerSettings(port=port), AnyoneMayDoAnything())
            with pytest.raises(BenchError, match=str(port)):
                await second.start()

    asyncio.run(run())


def test_ipv6_stands_in_brackets(embedded, device):
    async def run():
        async with embedded(bind="::1") as broker:
            assert broker.mqtt_url.startswith("mqtt://[::1]:")
            await device(broker)

    asyncio.run(run())


@pytest.mark.slow
def test_a_client_that_never_reads_costs_bounded_memory(embedded, device):
    async def run():
        async with embedded() as broker:
            await device(broker, "dev-1")
            for _ in range(400):
                await broker.publish("dev-1/control/x", bytes(100_000), qos=0)
            assert broker.core.drops.congested > 300

    asyncio.run(run())
