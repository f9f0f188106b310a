"""Every backend keeps the port's promises: one suite for all of them."""

import asyncio
import gc
import signal
import warnings
from contextlib import asynccontextmanager

import pytest

from harness.errors import BenchError, ConfigurationError, ResourceMissing
from harness.mqtt.packets import Connect, Publish
from simulators.broker import mosquitto
from simulators.broker.amqtt import AmqttBroker
from simulators.broker.backends import broker_named
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.external import ExternalBroker
from simulators.broker.mosquitto import MosquittoBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings, BrokerUnavailable, Login, LoginTable
from simulators.broker.probe import Probe
from simulators.broker.publisher import Publisher

LOGINS = LoginTable([Login("dev-1", "dev-1", "t-1"), Login("dev-2", "dev-2", "t-2"), Login("op", "op", "p", is_trusted=True)])
BACKENDS = [
    EmbeddedBroker,
    pytest.param(MosquittoBroker, marks=[pytest.mark.slow, pytest.mark.peer("mosquitto")]),
    pytest.param(AmqttBroker, marks=pytest.mark.slow),
]


@asynccontextmanager
async def running(backend, directory=LOGINS, **settings):
    broker = backend(BrokerSettings(**settings), directory)
    await broker.start()
    try:
        yield broker
    finally:
        await broker.stop()


async def device(url: str, name: str = "dev-1", password: str = "t-1", **fields) -> tuple[Probe, int]:
    probe = await Probe.open(url)
    return probe, (await probe.connect(Connect(name, username=name, password=password.encode(), **fields))).return_code


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_published_message_reaches_the_device(backend, qos):
    async def run():
        async with running(backend) as broker:
            probe, code = await device(broker.mqtt_url)
            assert (code, await probe.subscribe(("dev-1/control/+", 2))) == (0, (2,))
            await broker.publish("dev-1/control/reboot", b"{}", qos=qos)
            message = await probe.await_type(Publish)
            assert (message.topic, message.payload, message.retain) == ("dev-1/control/reboot", b"{}", False)

    asyncio.run(run())


@pytest.mark.requirement("CMD-23")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_token_is_refused_and_foreign_topics_are_not_written(backend):
    async def run():
        async with running(backend) as broker:
            assert (await device(broker.mqtt_url, password="wrong"))[1] in (4, 5)
            assert (await device(broker.mqtt_url, name="dev-2", password="t-1"))[1] in (4, 5)
            probe, _ = await device(broker.mqtt_url)
            other, _ = await device(broker.mqtt_url, "dev-2", "t-2")
            await other.subscribe(("dev-2/control/+", 0))
            probe.send(Publish("dev-2/control/reboot", b"{}", 1, packet_id=1))
            await probe.heard(for_s=0.1)
            assert await other.messages(for_s=0.2) == []

    asyncio.run(run())


@pytest.mark.requirement("CMD-31")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_broker_that_does_not_run_takes_nothing(backend):
    async def run():
        broker = backend(BrokerSettings(), LOGINS)
        with pytest.raises(BrokerUnavailable):
            await broker.publish("dev-1/control/reboot", b"{}")
        await broker.stop()

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.peer("mosquitto")
def test_mosquitto_keeps_sessions_in_its_state_directory(tmp_path):
    async def run():
        async with running(MosquittoBroker, state_directory=tmp_path) as broker:
            probe, _ = await device(broker.mqtt_url, clean_session=False)
            await probe.subscribe(("dev-1/control/+", 2))
            await probe.close()
            await broker.publish("dev-1/control/reboot", b"{}")
        async with running(MosquittoBroker, state_directory=tmp_path) as broker:
            probe, _ = await device(broker.mqtt_url, clean_session=False)
            assert (await probe.await_type(Publish)).payload == b"{}"

    asyncio.run(run())


def test_a_missing_mosquitto_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(mosquitto.shutil, "which", lambda name, path: None)
    with pytest.raises(ResourceMissing, match="make peers"):
        asyncio.run(MosquittoBroker(BrokerSettings(), LOGINS).start())


@pytest.mark.slow
@pytest.mark.peer("mosquitto")
def test_mosquitto_on_a_port_that_is_taken_is_an_error_of_the_bench():
    async def run():
        async with running(EmbeddedBroker) as broker:
            port = int(broker.mqtt_url.rpartition(":")[2])
            with pytest.raises(BenchError, match=str(port)):
                await MosquittoBroker(BrokerSettings(port=port), LOGINS).start()

    asyncio.run(run())


def test_an_external_broker_is_reached_with_the_trusted_login():
    async def run():
        async with running(EmbeddedBroker) as broker:
            external = ExternalBroker(BrokerSettings(), LOGINS, url=broker.mqtt_url)
            await external.start()
            probe, _ = await device(broker.mqtt_url)
            await probe.subscribe(("dev-1/control/+", 2))
            await external.publish("dev-1/control/reboot", b"{}")
            assert (await probe.await_type(Publish)).qos == 2
            assert external.connected_clients() is None
            assert not await external.disconnect("dev-1")
            await external.stop()

    asyncio.run(run())


def test_a_publisher_comes_back_after_its_connection_was_lost():
    async def run():
        async with running(EmbeddedBroker, AnyoneMayDoAnything()) as broker:
            publisher = Publisher(broker.mqtt_url, "platform")
            await publisher.publish("a", b"1")
            await broker.disconnect("platform")
            first = publisher._connection
            await asyncio.wait_for(first._tasks[0], 5)
            await publisher.publish("a", b"2")
            assert publisher._connection is not first
            await publisher.stop()

    asyncio.run(run())


def test_a_publisher_gives_the_connections_back_that_it_has_lost():
    async def run():
        async with running(EmbeddedBroker, AnyoneMayDoAnything()) as broker:
            publisher = Publisher(broker.mqtt_url, "platform")
            for number in range(3):
                await publisher.publish("a", b"%d" % number)
                await broker.disconnect("platform")
                await asyncio.wait_for(publisher._connection._tasks[0], 5)
            await publisher.stop()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        asyncio.run(run())
        gc.collect()
    assert [str(warning.message) for warning in caught if "unclosed" in str(warning.message)] == []


def test_a_mosquitto_whose_start_is_cancelled_leaves_no_process_and_no_files(monkeypatch, tmp_path):
    program = tmp_path / "mosquitto"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setattr(mosquitto, "SEARCH_PATH", str(tmp_path))
    monkeypatch.setattr(mosquitto.tempfile, "tempdir", str(tmp_path))

    async def run():
        broker = MosquittoBroker(BrokerSettings(), LOGINS)
        starting = asyncio.create_task(broker.start())
        while broker.process_id is None:
            await asyncio.sleep(0)
        process = broker._process
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return process.returncode

    assert asyncio.run(run()) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == [program]


def test_a_message_without_acknowledgement_fails_as_unknown():
    async def mute(reader, writer):
        await reader.read(1_000)
        writer.write(b"\x20\x02\x00\x00")
        await reader.read(1_000)
        writer.close()

    async def run():
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        publisher = Publisher(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", "platform")
        with pytest.raises(BrokerUnavailable, match="outcome unknown"):
            await publisher.publish("a", b"1")
        await publisher.stop()
        server.close()

    asyncio.run(run())


@pytest.mark.parametrize("url", ["mqtt://127.0.0.1:1", "ws://127.0.0.1:1/mqtt"])
def test_a_broker_that_is_not_there_is_unavailable(url):
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        asyncio.run(ExternalBroker(BrokerSettings(), LOGINS, url=url).start())


def test_a_refused_login_is_unavailable():
    async def run():
        async with running(EmbeddedBroker) as broker:
            with pytest.raises(BrokerUnavailable, match="CONNACK 5"):
                await Publisher(broker.mqtt_url, "stranger").publish("a", b"1")

    asyncio.run(run())


@pytest.mark.parametrize("name", ["embedded", "mosquitto", "amqtt", "mqtt://host", "wss://host/mqtt"])
def test_brokers_are_found_by_name_and_url(name):
    assert hasattr(broker_named(name, BrokerSettings(), AnyoneMayDoAnything()), "publish")


@pytest.mark.parametrize("name", ["nobody", "http://host", "mqtt://"])
def test_names_that_mean_nothing_are_refused(name):
    with pytest.raises(ConfigurationError, match="--broker"):
        broker_named(name, BrokerSettings(), AnyoneMayDoAnything())


def test_an_external_broker_is_reached_over_websockets():
    async def run():
        async with running(EmbeddedBroker, websocket_port=0) as broker:
            external = ExternalBroker(BrokerSettings(), LOGINS, url=broker.ws_url)
            await external.start()
            probe, _ = await device(broker.ws_url)
            await probe.subscribe(("dev-1/control/+", 2))
            await external.publish("dev-1/control/reboot", bytes(200_000))
            assert (await probe.await_type(Publish)).payload == bytes(200_000)
            probe.abort()
            await external.stop()
            async with asyncio.timeout(5):
                while broker.connected_clients():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_websocket_client_that_breaks_the_protocol_is_ended(embedded):
    async def run():
        async with embedded(websocket_port=0) as broker:
            probe = await Probe.open(broker.ws_url)
            await probe.connect(Connect("dev-1"))
            probe.send_raw(b"\xf0\x00")
            assert await probe.is_closed()
            await probe.close()

    asyncio.run(run())


def test_a_websocket_client_that_does_not_read_loses_qos_0(embedded):
    async def run():
        async with embedded(websocket_port=0) as broker:
            probe = await Probe.open(broker.ws_url)
            await probe.connect(Connect("dev-1"))
            await probe.subscribe(("a", 0))
            for _ in range(400):
                await broker.publish("a", bytes(100_000), qos=0)
            assert broker.core.drops.congested > 300
            probe.abort()

    asyncio.run(run())
