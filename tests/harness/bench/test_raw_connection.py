"""A raw connection to an https target goes through the tunnel that its proxy opens."""

import asyncio
import ssl

import pytest

from harness.bench.raw_connection import open_raw
from harness.errors import TargetUnavailable


async def refused_by_a_proxy(api_url):
    """What a proxy that refuses every tunnel is asked, and what comes of it."""
    asked = []

    async def refuse(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with proxy:
        url = f"http://ada:open%20sesame@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        with pytest.raises(TargetUnavailable, match=r"opens no tunnel to .*: HTTP/1\.1 403 Forbidden"):
            await open_raw(api_url, url, ssl.create_default_context(), within_s=10.0)
    return asked[0].decode().split("\r\n")


@pytest.mark.parametrize(
    ("api_url", "host"), [("https://api.example.test/base", "api.example.test:443"), ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443")]
)
def test_a_proxy_is_asked_for_the_targets_host_and_told_who_asks(api_url, host):
    lines = asyncio.run(refused_by_a_proxy(api_url))

    assert lines[:2] == [f"CONNECT {host} HTTP/1.1", f"Host: {host}"]
    assert "Proxy-Authorization: Basic YWRhOm9wZW4gc2VzYW1l" in lines
