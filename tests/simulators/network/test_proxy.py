"""The proxies on real sockets: transparent without a plan, exact with one."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from harness.errors import BenchError
from harness.faults import (
    Answer,
    BodyEvent,
    BodyFault,
    Coalesce,
    Corrupt,
    Cut,
    Delay,
    Drop,
    FaultPlan,
    Hold,
    PacketEvent,
    PacketFault,
    Split,
    Throttle,
)
from harness.mqtt.packets import Connack, Connect, Pingreq, Pingresp, Pubcomp, Publish, Pubrec, Pubrel
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.broker.probe import Probe
from simulators.network.proxy import HttpProxy, MqttProxy

IMAGE = bytes(range(256)) * 40


class Notes:
    def __init__(self) -> None:
        self.packets: list[tuple[int, str, str]] = []
        self.faults: list[tuple[str, str]] = []

    def packet(self, connection, side, packet, size_bytes):
        self.packets.append((connection, side, packet.packet_type.name))

    def fault(self, fired):
        self.faults.append((fired.name, fired.client_id))


def packet_plan(action, **event) -> FaultPlan:
    return FaultPlan(packets=(PacketFault(name="fault", at=PacketEvent(**event), action=action),))


def body_plan(action, **event) -> FaultPlan:
    return FaultPlan(bodies=(BodyFault(name="fault", at=BodyEvent(**event), action=action),))


@asynccontextmanager
async def broker_behind_proxy(notes: Notes | None = None):
    broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
    await broker.start()
    proxy = MqttProxy(broker.mqtt_url, observer=notes)
    await proxy.start()
    try:
        yield broker, proxy
    finally:
        await proxy.stop()
        await broker.stop()


async def device(proxy, *, clean_session: bool = False) -> tuple[Probe, Connack]:
    probe = await Probe.open(proxy.url)
    connack = await probe.connect(Connect("dev-1", clean_session))
    if not connack.session_present:
        await probe.subscribe(("dev-1/control/+", 2))
    return probe, connack


def test_without_a_plan_the_exchange_passes_unchanged():
    notes = Notes()

    async def run():
        async with broker_behind_proxy(notes) as (broker, proxy):
            probe, _ = await device(proxy)
            await broker.publish("dev-1/control/reboot", b"{}")
            assert await probe.receive() == Publish("dev-1/control/reboot", b"{}", 2, packet_id=1)
            probe.send(Pubrec(1))
            assert await probe.receive() == Pubrel(1)
            probe.send(Pubcomp(1))
            probe.send(Pingreq())
            assert await probe.receive() == Pingresp()

    asyncio.run(run())
    assert (1, "client", "PUBREC") in notes.packets
    assert (1, "server", "PUBREL") in notes.packets


def test_clients_that_connect_at_the_same_time_are_told_apart():
    notes = Notes()

    async def run():
        async with broker_behind_proxy(notes) as (_, proxy):
            probes = await asyncio.gather(*(Probe.open(proxy.url) for _ in range(3)))
            for number, probe in enumerate(probes):
                await probe.connect(Connect(f"dev-{number}"))

    asyncio.run(run())
    assert sorted(number for number, _, packet in notes.packets if packet == "CONNECT") == [1, 2, 3]


def test_bytes_that_are_no_mqtt_reach_the_broker_as_they_are():
    async def run():
        async with broker_behind_proxy() as (_, proxy):
            probe, _ = await device(proxy)
            probe.send_raw(b"\xf0\x00")
            assert await probe.is_closed()
            probe, _ = await device(proxy)
            probe.send_raw(b"\x30\xff\xff\xff\xff\xff\xff")
            assert await probe.is_closed()

    asyncio.run(run())


@pytest.mark.requirement("BRK-04")
def test_a_cut_after_pubrel_leads_to_pubrel_first_on_the_resumed_session():
    notes = Notes()

    async def run():
        async with broker_behind_proxy(notes) as (broker, proxy):
            probe, _ = await device(proxy)
            proxy.set_faults(packet_plan(Cut(when="after"), packet="PUBREL", sent_by="server"))
            await broker.publish("dev-1/control/reboot", b"{}")
            await probe.receive()
            probe.send(Pubrec(1))
            assert await probe.receive() == Pubrel(1)
            assert await probe.is_closed()
            probe, connack = await device(proxy)
            assert connack.session_present
            assert await probe.receive() == Pubrel(1)

    asyncio.run(run())
    assert notes.faults == [("fault", "dev-1")]


def test_a_dropped_connack_never_arrives():
    async def run():
        async with broker_behind_proxy() as (_, proxy):
            proxy.set_faults(packet_plan(Drop(), packet="CONNACK"))
            probe = await Probe.open(proxy.url)
            probe.send(Connect("dev-1"))
            assert await probe.heard(for_s=0.1) == []

    asyncio.run(run())


def test_coalesced_packets_leave_in_one_segment():
    async def run():
        async with broker_behind_proxy() as (broker, proxy):
            probe, _ = await device(proxy)
            proxy.set_faults(packet_plan(Coalesce(packets=2, seconds_max=30), packet="PUBLISH", sent_by="server"))
            await broker.publish("dev-1/control/a", b"")
            assert await probe.heard(for_s=0.1) == []
            await broker.publish("dev-1/control/b", b"")
            data = await probe._stream.read()
            assert data.count(b"dev-1/control/") == 2

    asyncio.run(run())


def test_a_change_of_plan_lets_go_what_was_held():
    async def run():
        async with broker_behind_proxy() as (broker, proxy):
            probe, _ = await device(proxy)
            proxy.set_faults(packet_plan(Hold(until=PacketEvent(packet="DISCONNECT"), seconds_max=3_600), packet="PUBLISH"))
            await broker.publish("dev-1/control/a", b"")
            assert await probe.heard(for_s=0.1) == []
            proxy.set_faults(packet_plan(Split(), packet="PINGRESP"))
            assert isinstance(await probe.receive(), Publish)
            probe.send(Pingreq())
            assert await probe.receive() == Pingresp()

    asyncio.run(run())


def test_a_proxy_without_its_server_refuses_as_the_server_would():
    async def run():
        proxy = MqttProxy("mqtt://127.0.0.1:1")
        await proxy.start()
        probe = await Probe.open(proxy.url)
        assert await probe.is_closed()
        await proxy.stop()

    asyncio.run(run())


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:21", "127.0.0.1:1883"])
def test_a_url_of_another_kind_is_refused(url):
    with pytest.raises(BenchError, match="mqtt://host:port"):
        MqttProxy(url)


# --- HTTP ----------------------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def files_behind_proxy(notes: Notes | None = None):
    requests: list[tuple[str, bytes]] = []

    async def download(request: web.Request) -> web.Response:
        requests.append((request.method, await request.read()))
        return web.Response(body=IMAGE)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", download)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    proxy = HttpProxy(f"http://127.0.0.1:{port}", observer=notes)
    await proxy.start()
    async with aiohttp.ClientSession(proxy.url) as session:
        yield session, proxy, requests
    await proxy.stop()
    await runner.cleanup()


async def read_into(received: bytearray, session: aiohttp.ClientSession, path: str) -> None:
    async with session.get(path) as response:
        async for chunk in response.content.iter_any():
            received += chunk


def test_without_a_plan_exchanges_pass_one_after_another():
    async def run():
        async with files_behind_proxy() as (session, _, requests):
            for _ in range(3):
                async with session.post("/upload", data=b"x" * 100_000) as response:
                    assert await response.read() == IMAGE
            async with session.head("/file") as response:
                assert response.headers["Content-Length"] == str(len(IMAGE))
            async with session.get("/file") as response:
                assert await response.read() == IMAGE
        assert [(method, len(body)) for method, body in requests] == [("POST", 100_000)] * 3 + [("HEAD", 0), ("GET", 0)]

    asyncio.run(run())


@pytest.mark.requirement("DEV-12")
def test_a_cut_at_a_byte_delivers_exactly_the_bytes_before_it():
    notes = Notes()

    async def run():
        async with files_behind_proxy(notes) as (session, proxy, _):
            proxy.set_faults(body_plan(Cut(), path="/v2/*", at_byte=4_711))
            received = bytearray()
            with pytest.raises(aiohttp.ClientError):
                await read_into(received, session, "/v2/device/download?key=k")
            assert received == IMAGE[:4_711]
            async with session.get("/v2/device/download?key=k") as response:
                assert await response.read() == IMAGE

    asyncio.run(run())
    assert notes.faults == [("fault", "")]


def test_a_corrupted_byte_is_the_only_one_that_differs():
    async def run():
        async with files_behind_proxy() as (session, proxy, _):
            proxy.set_faults(body_plan(Corrupt(at=0, xor=0x01), at_byte=5_000))
            async with session.get("/file") as response:
                body = await response.read()
            assert [place for place, (got, sent) in enumerate(zip(body, IMAGE, strict=True)) if got != sent] == [5_000]

    asyncio.run(run())


def test_a_cut_before_the_answer_leaves_the_client_without_a_status():
    async def run():
        async with files_behind_proxy() as (session, proxy, requests):
            proxy.set_faults(body_plan(Cut()))
            with pytest.raises(aiohttp.ClientError):
                await session.post("/file", data=b"x")
            # The client may repeat it by itself, as GETs on a kept connection are; POST it does not.
            assert len(requests) == 1

    asyncio.run(run())


def test_a_cut_request_never_reaches_the_server():
    async def run():
        async with files_behind_proxy() as (session, proxy, requests):
            proxy.set_faults(body_plan(Cut(), part="request"))
            with pytest.raises(aiohttp.ClientError):
                await session.post("/file", data=b"x")
            assert requests == []

    asyncio.run(run())


def test_the_proxy_can_answer_by_itself():
    async def run():
        async with files_behind_proxy() as (session, proxy, requests):
            proxy.set_faults(body_plan(Answer(status=503, headers=(("Retry-After", "1"),), body="busy"), skip=1))
            async with session.get("/file") as response:
                assert response.status == 200
            async with session.get("/file") as response:
                assert (response.status, response.headers["Retry-After"], await response.text()) == (503, "1", "busy")
            assert len(requests) == 1

    asyncio.run(run())


@pytest.mark.parametrize("action", [Delay(seconds=0.01), Throttle(bytes_per_s=1_000_000)])
def test_a_slow_body_arrives_whole(action):
    notes = Notes()

    async def run():
        async with files_behind_proxy(notes) as (session, proxy, _):
            proxy.set_faults(body_plan(action, at_byte=100))
            async with session.get("/file") as response:
                assert await response.read() == IMAGE

    asyncio.run(run())
    assert notes.faults == [("fault", "")]
