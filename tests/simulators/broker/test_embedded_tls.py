"""The embedded broker behind TLS."""

import asyncio
import datetime
import ipaddress
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.errors import BenchError
from harness.mqtt.packets import Connack, Connect
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings, TlsFiles
from simulators.broker.probe import Probe


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory) -> TlsFiles:
    """A self-signed certificate for 127.0.0.1, made for this run."""
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


def test_the_tls_listener_serves_beside_the_plain_one(embedded, tls_files, device):
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
