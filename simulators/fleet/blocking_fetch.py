"""HTTP for the downloader over sockets that block, as gevent's do for their greenlet only. Same events as `simulators.device.fetch`, same
habits: one request over a fresh connection, no redirect followed, nothing repeated, the URL verbatim.
"""

import http.client
import ssl
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from simulators.device.downloader import Body, BodyEnd, Event, Failed, Request, Response

READ_BYTES = 16 * 1024

Connect: TypeAlias = Callable[[tuple[str, int], float], Any]
"""Opens a connected socket to (host, port), whose operations may take so many seconds."""


def fetch_blocking(
    request: Request, *, connect: Connect, tls: ssl.SSLContext | None, inactivity_s: float, read_bytes: int = READ_BYTES
) -> Generator[Event, None, None]:
    """Sends `request` and yields what comes: `Response`, `Body`s and `BodyEnd`, or `Failed` at the point where it broke."""
    connection: http.client.HTTPConnection | None = None
    try:
        connection = _open(request.url, connect, tls, inactivity_s)
        yield from _exchange(connection, request, read_bytes)
    except TimeoutError:
        yield Failed(f"nothing came for {inactivity_s:g} s")
    except (OSError, http.client.HTTPException, ValueError) as error:
        yield Failed(f"{type(error).__name__}: {error}")
    finally:
        if connection is not None:
            connection.close()


def _open(url: str, connect: Connect, tls: ssl.SSLContext | None, inactivity_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)
    connection = http.client.HTTPConnection(host, port)
    plain = connect((host, port), inactivity_s)
    connection.sock = (tls or ssl.create_default_context()).wrap_socket(plain, server_hostname=host) if is_tls else plain
    return connection


def _exchange(connection: http.client.HTTPConnection, request: Request, read_bytes: int) -> Iterator[Event]:
    parts = urlsplit(request.url)
    target = parts.path or "/"
    connection.putrequest(request.method, f"{target}?{parts.query}" if parts.query else target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", parts.netloc.rpartition("@")[2])
    connection.putheader("Connection", "close")
    for name, value in request.headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    yield Response(response.status, {name.lower(): value for name, value in response.getheaders()})
    if request.method == "HEAD":
        return
    while data := response.read1(read_bytes):
        yield Body(data)
    if response.length:  # what Content-Length still promised when the connection ended
        yield Failed(f"the connection ended {response.length} bytes early")
    else:
        yield BodyEnd()
