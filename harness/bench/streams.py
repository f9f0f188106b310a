"""A byte stream to a broker, whatever its URL says: mqtt, mqtts, ws or wss."""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from harness.errors import TargetUnavailable

PORTS = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
READ_BYTES = 65_536


class ByteStream(Protocol):
    """Bytes both ways. `write` never waits; what is written to a stream that has ended is lost."""

    async def read(self) -> bytes:
        """What has come; empty at the end. Raises OSError when the end came without order."""
        ...

    def write(self, data: bytes) -> None: ...

    async def close(self) -> None:
        """Ends the stream in order, when all that was written has left."""
        ...

    def abort(self) -> None:
        """Ends the stream as a failing network does."""
        ...


@dataclass(frozen=True, slots=True)
class Gateway:
    """What stands in front of a WebSocket: a proxy (its URL, or None), and headers that the upgrade request must carry."""

    proxy: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_NO_GATEWAY = Gateway()


async def open_stream(
    url: str, *, deadline_s: float = 5.0, tls: ssl.SSLContext | None = None, gateway: Gateway = _NO_GATEWAY
) -> ByteStream:
    """Connects. Raises TargetUnavailable, and ValueError for a URL of another kind."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is no URL of a broker: mqtt://, mqtts://, ws:// or wss://, and a host")
    is_secure = parts.scheme in ("mqtts", "wss")
    context = (tls or ssl.create_default_context()) if is_secure else None
    try:
        async with asyncio.timeout(deadline_s):
            if parts.scheme in ("ws", "wss"):
                return await WebSocketStream.open(url, context, gateway)
            return TcpStream(*await asyncio.open_connection(parts.hostname, parts.port or PORTS[parts.scheme], ssl=context))
    except (OSError, TimeoutError, aiohttp.ClientError) as error:
        raise TargetUnavailable(f"no connection to {url}: {error or 'timeout'}") from error


class TcpStream:
    """A stream over a socket, with TLS or without."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(READ_BYTES)

    def write(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):  # the other end was faster
            await self._writer.wait_closed()

    def abort(self) -> None:
        self._writer.transport.abort()


class WebSocketStream:
    """A stream in binary messages of a WebSocket.   Source: 6, MQTT-6.0.0-1 to 6.0.0-4."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue()
        self._is_aborted = False
        self._sending = asyncio.create_task(self._send())

    @classmethod
    async def open(cls, url: str, tls: ssl.SSLContext | None, gateway: Gateway) -> "WebSocketStream":
        session = aiohttp.ClientSession()
        try:
            socket = await session.ws_connect(url, protocols=("mqtt",), headers=gateway.headers, proxy=gateway.proxy, ssl=tls or True)
            return cls(session, socket)
        except BaseException:
            await session.close()
            raise

    async def read(self) -> bytes:
        message = await self._socket.receive()
        return message.data if message.type is aiohttp.WSMsgType.BINARY else b""

    def write(self, data: bytes) -> None:
        self._unsent.put_nowait(data)

    async def close(self) -> None:
        if not self._is_aborted:
            await self._unsent.join()
            self._sending.cancel()
            await self._socket.close()
        await self._session.close()

    def abort(self) -> None:
        self._is_aborted = True
        self._sending.cancel()
        response = self._socket._response
        if (transport := response.connection and response.connection.transport) is not None:
            transport.abort()
        response.close()
        self._session.detach()  # It has nothing open any more, and closing it would have to be awaited.

    async def _send(self) -> None:
        while True:
            data = await self._unsent.get()
            with contextlib.suppress(ConnectionError, RuntimeError):  # the socket has ended: reading will tell
                await self._socket.send_bytes(data)
            self._unsent.task_done()
