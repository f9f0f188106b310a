"""A PEM file that cannot be used is a mistake of the user's file: one line that names file, table, key and value."""

import shutil

import pytest

from harness.bench.tls import Tls, ssl_context, with_pem_files
from harness.clock import SystemClock
from harness.errors import ConfigurationError
from simulators.platform.tls import self_signed


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """`ca.pem`, `server.pem` with `server.key`, `other.key` of another certificate, and `none.pem`, which is no PEM."""
    directory, other = tmp_path_factory.mktemp("pem"), tmp_path_factory.mktemp("other")
    for each in (directory, other):
        self_signed(each, ["localhost"], SystemClock())
    shutil.copyfile(other / "server.key", directory / "other.key")
    (directory / "none.pem").write_text("no certificate")
    return directory


def read(directory, files):
    return with_pem_files(directory / "target.toml", "platform.tls", Tls(**files), authority="ca", pair=("client_cert", "client_key"))


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        ({"ca": "missing.pem"}, "ca"),
        ({"ca": "none.pem"}, "ca"),
        ({"ca": "server.key"}, "ca"),
        ({"client_cert": "none.pem"}, "client_cert"),
        ({"client_cert": "server.pem"}, "client_cert"),
        ({"client_cert": "server.pem", "client_key": "missing.key"}, "client_key"),
        ({"client_cert": "server.pem", "client_key": "other.key"}, "client_cert, client_key"),
    ],
)
def test_a_pem_file_that_cannot_be_used_is_named(directory, files, keys):
    with pytest.raises(ConfigurationError) as caught:
        read(directory, files)

    assert str(caught.value).startswith(f"{directory / 'target.toml'}: [platform.tls] {keys}: ")
    assert all(repr(str(directory / files[key])) in caught.value.problem for key in keys.split(", "))
    assert "\n" not in str(caught.value)


def test_files_that_can_be_used_become_a_context(directory):
    tls = read(directory, {"ca": "ca.pem", "client_cert": "server.pem", "client_key": "server.key"})

    assert len(ssl_context(tls).get_ca_certs()) > len(ssl_context(Tls()).get_ca_certs())
