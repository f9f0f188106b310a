"""A certificate that is none is a mistake of the user's file, not of the bench."""

import pytest

from harness.bench.target import Tls
from harness.bench.tls import ssl_context
from harness.errors import ConfigurationError


@pytest.mark.parametrize("key", ["ca", "client_cert"])
def test_a_file_that_holds_no_certificate_is_named(tmp_path, key):
    (tmp_path / "x.pem").write_text("no certificate")

    with pytest.raises(ConfigurationError, match=r"x\.pem: holds no certificate"):
        ssl_context(Tls(**{key: tmp_path / "x.pem"}))
