"""What a target file says of TLS, as a context of the standard library."""

import ssl

from harness.bench.target import Tls
from harness.errors import BenchError


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """A client's context: the system's authorities and the file's own, our certificate where one is named.

    Raises BenchError where a file holds no certificate or key.
    """
    context = ssl.create_default_context()
    try:
        if tls.ca is not None:
            context.load_verify_locations(cafile=tls.ca)
        if tls.client_cert is not None:
            context.load_cert_chain(tls.client_cert, tls.client_key)
    except ssl.SSLError as error:
        raise BenchError(f"[platform.tls]: {error}") from error
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
