"""A throw-away certificate authority, and a server certificate of it, for benches that want TLS (`--tls-self-signed`)."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.clock import Clock
from simulators.broker.port import TlsFiles

LIFETIME = timedelta(days=397)
CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hil throw-away CA")])
_EARLIER = timedelta(days=1)  # for peers whose clock is behind


def self_signed(directory: Path, hosts: list[str], clock: Clock) -> tuple[TlsFiles, Path]:
    """The server's files and the CA's certificate in `directory`; made at the first time, and where a host has come since."""
    ca_path, files = directory / "ca.pem", TlsFiles(directory / "server.pem", directory / "server.key")
    if not ca_path.exists() or _lacks_a_host(files.certificate, hosts):
        directory.mkdir(parents=True, exist_ok=True)
        _make(ca_path, files, hosts, datetime.fromtimestamp(clock.utc_s(), UTC))
    return files, ca_path


def _lacks_a_host(path: Path, hosts: list[str]) -> bool:
    """Whether the certificate is one of ours, and does not hold all hosts; the user's own are the user's business."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:  # none of ours; whoever uses it says what is wrong with it
        return False
    if certificate.issuer != CA_NAME:
        return False
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return any(_alternative(host) not in held for host in hosts)


def _make(ca_path: Path, files: TlsFiles, hosts: list[str], now: datetime) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(CA_NAME, CA_NAME, ca_key.public_key(), now, is_ca=True)
    ca = authority.add_extension(_key_usage(is_ca=True), critical=True).sign(ca_key, hashes.SHA256())
    server = (
        _certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]), CA_NAME, key.public_key(), now, is_ca=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files.key.touch(mode=0o600)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files.key.write_bytes(private)
    files.certificate.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    ca_path.write_bytes(ca.public_bytes(serialization.Encoding.PEM))


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca, key_cert_sign=is_ca, crl_sign=is_ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, *, is_ca: bool
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
