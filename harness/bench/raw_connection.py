"""A connection over which a request can be written byte by byte: straight to the target, or through the proxy of the target file."""

import asyncio
import base64
import ssl
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from harness.errors import TargetUnavailable

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RawConnection:
    """An open connection. `base` is what stands before the path in a request line, and `headers` what a proxy on the way demands."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    base: str = ""
    headers: tuple[str, ...] = ()


async def open_raw(api_url: str, proxy: str | None, tls: ssl.SSLContext | None, *, within_s: float) -> RawConnection:
    """Connects to the host of `api_url`. Raises TargetUnavailable.

    A proxy forwards plain HTTP when it is asked with the whole URL, and opens a tunnel for https.   Source: RFC 9112 3.2.2, RFC 9110 9.3.6.
    """
    url = urlsplit(api_url)
    try:
        async with asyncio.timeout(within_s):
            if proxy is None:
                return RawConnection(*await asyncio.open_connection(url.hostname, _port(url), ssl=tls))
            via = urlsplit(proxy)
            reader, writer = await asyncio.open_connection(via.hostname, _port(via), ssl=True if via.scheme == "https" else None)
            if tls is None:
                return RawConnection(reader, writer, f"{url.scheme}://{url.netloc}", _login(via))
            await _tunnel(reader, writer, url, via)
            await writer.start_tls(tls, server_hostname=url.hostname)
            return RawConnection(reader, writer)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise TargetUnavailable(f"no connection to {api_url}: {error or 'timeout'}") from error


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, url: SplitResult, via: SplitResult) -> None:
    name = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname  # an IPv6 address
    host = f"{name}:{_port(url)}"
    writer.write("\r\n".join([f"CONNECT {host} HTTP/1.1", f"Host: {host}", *_login(via), "", ""]).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    status = head.split(b"\r\n")[0].decode("latin-1")
    if status.split()[1:2] != ["200"]:
        writer.close()
        raise TargetUnavailable(f"the proxy {via.hostname}:{_port(via)} opens no tunnel to {host}: {status}")


def _login(via: SplitResult) -> tuple[str, ...]:
    """The header that names us to a proxy whose URL holds a user."""
    if via.username is None:
        return ()
    user = f"{unquote(via.username)}:{unquote(via.password or '')}"
    return (f"Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}",)


def _port(url: SplitResult) -> int:
    return url.port or _PORTS.get(url.scheme, 80)
