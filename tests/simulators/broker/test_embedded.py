"""The embedded broker on real sockets: what the core's tests cannot see."""

import asyncio
import socket
import ssl
from dataclasses import dataclass, field

import pytest

from harness.errors import BenchError, TargetUnavailable
from harness.faults import Corrupt, Cut, Delay, Duplicate, FaultPlan, Hold, PacketEvent, PacketFault, Rewrite, Split
from harness.mqtt.packets import Connack, Connect, Pingreq, Pingresp, Pubcomp, Publish, Pubrec, Pubrel, Suback, Subscribe, Will
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings, BrokerUnavailable, ClosedBy, TlsFiles
from simulators.broker.probe import Probe


@dataclass
class Notes:
    """An observer that writes everything down."""

    packets: list[tuple[str, str, str, int]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    malformations: list[str] = field(default_factory=list)
    closings: list[tuple[str, ClosedBy, str]] = field(default_factory=list)
    openings: list[int] = field(default_factory=list)

    def opened(self, connection, peer):
        self.openings.append(connection)

    def packet(self, connection, client_id, direction, packet, size_bytes):
        self.packets.append((client_id, direction.value, packet.packet_type.name, size_bytes))

    def malformed(self, connection, client_id, error):
        self.malformations.append(error.statement)

    def fault(self, connection, client_id, name, detail):
        self.faults.append((client_id, name))

    def closed(self, connection, client_id, closed_by, reason):
        self.closings.append((client_id, closed_by, reason))


def plan(action, **event) -> FaultPlan:
    return FaultPlan(packets=(PacketFault(name="fault", at=PacketEvent(**event), action=action),))


async def device(broker, client_id: str = "dev-1", *, clean_session: bool = True, **fields) -> Probe:
    probe = await Probe.open(broker.mqtt_url)
    assert (await probe.connect(Connect(client_id, clean_session, **fields))).return_code == 0
    assert await probe.subscribe((f"{client_id}/control/+", 2)) == (2,)
    return probe


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


def test_a_broker_that_was_stopped_has_nobody_connected(embedded):
    async def run():
        async with embedded() as broker:
            await device(broker)
            assert broker.connected_clients() == {"dev-1"}
            await broker.stop()
            assert broker.connected_clients() == frozenset()

    asyncio.run(run())


@pytest.mark.requirement("CMD-03")
def test_a_command_of_the_platform_takes_four_packets_to_the_device(embedded):
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


def test_the_observer_sees_each_packet_in_both_directions(embedded):
    notes = Notes()

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


def test_malformed_bytes_are_recorded_and_others_served(embedded):
    notes = Notes()

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


def test_packets_before_the_malformed_one_are_served(embedded):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            probe.send_raw(b"\xc0\x00\xf0\x00")
            assert await probe.receive() == Pingresp()
            assert await probe.is_closed()

    asyncio.run(run())


def test_a_packet_beyond_the_limit_ends_the_connection(embedded):
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


def test_silent_clients_are_ended_by_the_one_timer(embedded):
    notes = Notes()

    async def run():
        async with embedded(observer=notes) as broker:
            probe = await device(broker, keep_alive_s=1)
            assert await probe.is_closed()

    asyncio.run(run())
    assert "MQTT-3.1.2-24" in notes.closings[0][2]


def test_disconnect_and_connected_clients_tell_of_the_port(embedded):
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


def test_a_restarted_broker_serves_on_the_same_port(embedded):
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


def test_ipv6_stands_in_brackets(embedded):
    async def run():
        async with embedded(bind="::1") as broker:
            assert broker.mqtt_url.startswith("mqtt://[::1]:")
            await device(broker)

    asyncio.run(run())


@pytest.mark.slow
def test_a_client_that_never_reads_costs_bounded_memory(embedded):
    async def run():
        async with embedded() as broker:
            await device(broker, "dev-1")
            for _ in range(400):
                await broker.publish("dev-1/control/x", bytes(100_000), qos=0)
            assert broker.core.drops.congested > 300

    asyncio.run(run())


# --- faults --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("BRK-03")
def test_a_cut_after_publish_leads_to_redelivery_on_the_next_connection(embedded):
    notes = Notes()

    async def run():
        async with embedded(observer=notes) as broker:
            probe = await device(broker, clean_session=False)
            broker.set_faults(plan(Cut(when="after"), packet="PUBLISH", sent_by="server"))
            await broker.publish("dev-1/control/reboot", b"{}")
            assert (await probe.receive()).packet_id == 1
            assert await probe.is_closed()
            probe = await Probe.open(broker.mqtt_url)
            assert await probe.connect(Connect("dev-1", False)) == Connack(True, 0)
            assert await probe.receive() == Publish("dev-1/control/reboot", b"{}", 2, dup=True, packet_id=1)

    asyncio.run(run())
    assert notes.faults == [("dev-1", "fault")]
    assert notes.closings[0][1] is ClosedBy.FAULT


def test_a_cut_before_an_incoming_packet_hides_it_from_the_broker(embedded):
    async def run():
        async with embedded() as broker:
            watcher = await Probe.open(broker.mqtt_url)
            await watcher.connect(Connect("watcher"))
            await watcher.subscribe(("#", 0))
            probe = await device(broker, will=Will("dev-1/gone", b"", 0))
            broker.set_faults(plan(Cut(when="before"), packet="PUBLISH", sent_by="client"))
            probe.send(Publish("dev-1/x", b"never"))
            assert await probe.is_closed()
            assert [message.topic for message in await watcher.messages()] == ["dev-1/gone"]

    asyncio.run(run())


def test_bytes_spoilt_on_their_way_in_are_malformed_for_the_broker(embedded):
    notes = Notes()

    async def run():
        async with embedded(observer=notes) as broker:
            probe = await device(broker)
            broker.set_faults(plan(Corrupt(at=0, xor=0x0F), packet="PINGREQ"))
            probe.send(Pingreq())
            assert await probe.is_closed()

    asyncio.run(run())
    assert notes.malformations == ["MQTT-2.2.2-2"]


def test_split_and_duplicate_reach_the_wire(embedded):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            broker.set_faults(
                FaultPlan(
                    packets=(
                        PacketFault(name="twice", at=PacketEvent(packet="PUBLISH"), action=Duplicate(dup=True)),
                        PacketFault(name="split", at=PacketEvent(packet="PUBLISH"), action=Split()),
                    )
                )
            )
            await broker.publish("dev-1/control/reboot", b"{}")
            first, second = await probe.receive(), await probe.receive()
            assert (first.packet_id, first.dup) == (1, False)
            assert (second.packet_id, second.dup) == (1, True)

    asyncio.run(run())


def test_a_held_packet_waits_for_the_event_and_keeps_the_order(embedded):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            broker.set_faults(plan(Hold(until=PacketEvent(packet="PINGREQ")), packet="PUBLISH", sent_by="server"))
            await broker.publish("dev-1/control/reboot", b"{}")
            assert await probe.heard(for_s=0.1) == []
            probe.send(Pingreq())
            assert [type(packet) for packet in (await probe.receive(), await probe.receive())] == [Publish, Pingresp]

    asyncio.run(run())


def test_the_end_of_a_plan_lets_go_what_it_held(embedded):
    async def run():
        async with embedded() as broker:
            probe = await device(broker)
            broker.set_faults(plan(Delay(seconds=3_600), packet="PUBLISH"))
            await broker.publish("dev-1/control/reboot", b"{}")
            assert await probe.heard(for_s=0.05) == []
            broker.set_faults(None)
            assert isinstance(await probe.receive(), Publish)

    asyncio.run(run())


def test_a_refused_suback_and_a_session_that_is_not_present_can_be_scripted(embedded):
    async def run():
        async with embedded() as broker:
            broker.set_faults(plan(Rewrite(return_codes=(0x80,)), packet="SUBACK", client_id="dev-*"))
            probe = await Probe.open(broker.mqtt_url)
            await probe.connect(Connect("dev-1", False))
            probe.send(Subscribe(1, (("a", 2),)))
            assert await probe.receive() == Suback(1, (0x80,))
            broker.set_faults(plan(Rewrite(session_present=False), packet="CONNACK"))
            again = await Probe.open(broker.mqtt_url)
            assert await again.connect(Connect("dev-1", False)) == Connack(False, 0)

    asyncio.run(run())


# --- TLS -----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory) -> TlsFiles:
    """A self-signed certificate for 127.0.0.1, made for this run."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    directory = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return TlsFiles(directory / "cert.pem", directory / "key.pem")


def test_the_tls_listener_serves_beside_the_plain_one(embedded, tls_files):
    async def run():
        async with embedded(tls_port=0, tls=tls_files) as broker:
            context = ssl.create_default_context(cafile=tls_files.certificate)
            probe = await Probe.open(broker.mqtts_url, tls=context)
            assert await probe.connect(Connect("dev-1")) == Connack(False, 0)
            await device(broker, "dev-2")

    asyncio.run(run())


def test_with_a_client_ca_only_clients_with_its_certificate_come_in(embedded, tls_files):
    async def run():
        files = TlsFiles(tls_files.certificate, tls_files.key, client_ca=tls_files.certificate)
        async with embedded(tls_port=0, tls=files) as broker:
            context = ssl.create_default_context(cafile=tls_files.certificate)
            stranger = await Probe.open(broker.mqtts_url, tls=context)
            stranger.send(Connect("dev-1"))
            assert await stranger.is_closed()
            context.load_cert_chain(tls_files.certificate, tls_files.key)
            probe = await Probe.open(broker.mqtts_url, tls=context)
            assert await probe.connect(Connect("dev-1")) == Connack(False, 0)

    asyncio.run(run())


def test_tls_files_that_cannot_be_used_are_an_error_of_the_bench(tmp_path):
    async def run():
        missing = TlsFiles(tmp_path / "no.pem", tmp_path / "no.key")
        broker = EmbeddedBroker(BrokerSettings(tls_port=0, tls=missing), AnyoneMayDoAnything())
        with pytest.raises(BenchError, match=r"no\.pem"):
            await broker.start()
        await broker.stop()

    asyncio.run(run())
