"""The throw-away certificate of a state directory, from start to start."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.clock import SystemClock
from simulators.platform.tls import self_signed


def hosts_of(path):
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in names}


@pytest.fixture
def start(tmp_path):
    """A start of the platform under some hosts: its certificate's path."""
    return lambda *hosts: self_signed(tmp_path / "tls", list(hosts), SystemClock())[0].certificate


def test_the_same_hosts_keep_their_certificate(start):
    before = start("localhost", "127.0.0.1").read_bytes()
    assert start("127.0.0.1").read_bytes() == before


def test_a_host_that_the_certificate_does_not_name_gets_a_new_one(start):
    start("localhost")
    assert hosts_of(start("bench.example", "localhost")) == {"bench.example", "localhost"}


def test_a_certificate_of_the_users_own_is_left_alone(start, tmp_path):
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=theirs")
    validity = x509.load_pem_x509_certificate(start("localhost").read_bytes())
    own = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(validity.not_valid_before_utc)
        .not_valid_after(validity.not_valid_after_utc)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (tmp_path / "tls" / "server.pem").write_bytes(own)
    assert start("localhost").read_bytes() == own
