"""HTTP for the downloader: one request over a fresh connection, told as the downloader's events.

A skin: no status is judged here. Two habits of aiohttp are switched off because they would send what the downloader did not ask for:
following redirects (the token would travel), and repeating a GET whose connection broke (the one-time key is used by then).
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
from yarl import URL

from simulators.device.downloader import Body, BodyEnd, Event, Failed, Request, Response
from simulators.device.settings import CONNECT_S_MAX

_READ_BYTES = 64 * 1024  # how far aiohttp reads ahead
_SLOW_READ_BYTES = 2 * 1024  # little, so that a slow reader slows the sender


class _OneShotConnector(aiohttp.TCPConnector):
    """Connects once: aiohttp repeats an idempotent request by itself when its connection breaks, and a second connect ends that."""

    _is_spent = False

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        if self._is_spent:
            raise aiohttp.ClientConnectionError("the connection was lost before an answer came")
        self._is_spent = True
        return await super().connect(*args, **kwargs)


async def fetch(
    request: Request, *, tls: ssl.SSLContext | None, inactivity_s: float, bytes_per_s: float | None = None
) -> AsyncGenerator[Event, None]:
    """Sends `request` and yields what comes: `Response`, `Body`s and `BodyEnd`, or `Failed` at the point where it broke.

    `inactivity_s` bounds each wait for the peer; `bytes_per_s` slows the reading of the body. The URL goes out verbatim. Closing the
    generator closes the connection.
    """
    connector = _OneShotConnector(force_close=True, limit=1, ssl=tls if tls is not None else True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S_MAX)
    jar = aiohttp.DummyCookieJar()
    ahead_bytes = _READ_BYTES if bytes_per_s is None else _SLOW_READ_BYTES
    session = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar, auto_decompress=False, read_bufsize=ahead_bytes)
    async with session:
        try:
            async for event in _exchange(session, request, inactivity_s):
                yield event
                if bytes_per_s is not None and isinstance(event, Body):
                    await asyncio.sleep(len(event.data) / bytes_per_s)
        except TimeoutError:
            yield Failed(f"nothing came for {inactivity_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            yield Failed(f"{type(error).__name__}: {error}")


async def _exchange(session: aiohttp.ClientSession, request: Request, inactivity_s: float) -> AsyncGenerator[Event, None]:
    url = URL(request.url, encoded=True)
    async with asyncio.timeout(inactivity_s):
        response = await session.request(request.method, url, headers=dict(request.headers), allow_redirects=False)
    async with response:
        yield Response(response.status, {name.lower(): response.headers[name] for name in response.headers})
        if request.method == "HEAD":
            return
        while True:
            async with asyncio.timeout(inactivity_s):
                data = await response.content.readany()
            if not data:
                break
            yield Body(data)
    yield BodyEnd()
