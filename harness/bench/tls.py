"""What a target file says of TLS, as a context of the standard library."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.bench.target import Tls
from harness.errors import ConfigurationError


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """A client's context: the system's authorities and the file's own, our certificate where one is named.

    Raises ConfigurationError, which names the file, where it holds no certificate or key.
    """
    context = ssl.create_default_context()
    if tls.ca is not None:
        with _as_mistake(tls.ca, "no certificate of an authority"):
            context.load_verify_locations(cafile=tls.ca)
    if tls.client_cert is not None:
        with _as_mistake(tls.client_cert, "no certificate whose key it or `client_key` holds"):
            context.load_cert_chain(tls.client_cert, tls.client_key, password="")
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _as_mistake(file: Path, lacks: str) -> Iterator[None]:
    try:
        yield
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(str(file), "", "", f"holds {lacks}: {error}") from error
