"""MQTT over WebSocket for the embedded broker: each socket looks like a transport to the connection that it carries.

aiohttp does the handshake and the framing; binary messages are the byte stream, cut anywhere.   Source: MQTT-6.0.0-1 to 6.0.0-4.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

CONGESTED_BYTES = 65_536
"""So much unsent data makes a connection congested, as asyncio's own transports do."""


class WebSocketTransport(asyncio.Transport):
    """The part of a transport that a connection of the broker uses."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        super().__init__()
        self._socket = socket
        self._request = request
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._wake = asyncio.Event()
        self._is_closing = False
        self._protocol: asyncio.Protocol | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._request.transport.get_extra_info(name, default) if self._request.transport else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closing:
            return
        self._unsent.append(bytes(data))
        self._unsent_bytes += len(data)
        if self._unsent_bytes > CONGESTED_BYTES and self._protocol:
            self._protocol.pause_writing()
        self._wake.set()

    def get_write_buffer_size(self) -> int:
        return self._unsent_bytes

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        self._wake.set()

    def abort(self) -> None:
        self._is_closing = True
        self._unsent.clear()
        if self._request.transport is not None:
            self._request.transport.abort()
        self._wake.set()

    async def send_until_closed(self) -> None:
        """Sends what is written; at the end closes the socket in order."""
        while self._unsent or not self._is_closing:
            if not self._unsent:
                self._wake.clear()
                await self._wake.wait()
                continue
            data = b"".join(self._unsent)
            self._unsent.clear()
            try:
                await self._socket.send_bytes(data)
            except (ConnectionError, RuntimeError):
                break  # the client has gone: receiving ends as well
            self._unsent_bytes -= len(data)
            if self._protocol and self._unsent_bytes <= CONGESTED_BYTES:
                self._protocol.resume_writing()
        await self._socket.close()


class WebSocketListener:
    """Serves MQTT on any path of one port."""

    def __init__(self, make_connection: Callable[[], asyncio.Protocol], bind: str, port: int, packet_bytes_max: int) -> None:
        self._make_connection = make_connection
        self._bind = bind
        self.port = port
        self._packet_bytes_max = packet_bytes_max
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Serves when it returns. Raises OSError when the port is taken."""
        application = web.Application()
        application.router.add_get("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._bind, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Closes the port and its connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("mqtt",), max_msg_size=self._packet_bytes_max)
        if not socket.can_prepare(request):
            return web.Response(status=426, headers={"Upgrade": "websocket"}, text="MQTT over WebSocket only\n")
        await socket.prepare(request)
        transport = WebSocketTransport(socket, request)
        connection = self._make_connection()
        transport.set_protocol(connection)
        sending = asyncio.create_task(transport.send_until_closed())
        connection.connection_made(transport)
        try:
            async for message in socket:
                if message.type is not WSMsgType.BINARY:
                    break  # MQTT-6.0.0-1
                connection.data_received(message.data)
        finally:
            connection.connection_lost(None)
            transport.close()
            await sending
        return socket
