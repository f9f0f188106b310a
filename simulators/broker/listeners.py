"""The sockets on which the embedded broker waits for connections: plain, TLS, WebSocket."""

import asyncio
import ssl
from collections.abc import Callable

from harness.errors import BenchError
from simulators.broker.connection import Connection
from simulators.broker.port import BrokerSettings
from simulators.broker.websocket import WebSocketListener

BACKLOG = 4_096
"""Connections that may wait to be accepted: a fleet arrives all at once."""


class Listeners:
    """All listeners of one broker. Opened again after `close` they have the ports that they got the first time."""

    def __init__(self, settings: BrokerSettings, made: Callable[[], Connection]) -> None:
        """`made` makes the protocol object of each new connection."""
        self._settings = settings
        self._made = made
        self._port = settings.port
        self._tls_port = settings.tls_port
        self._servers: list[asyncio.Server] = []
        self._websockets: WebSocketListener | None = None

    async def open(self) -> None:
        """Listens when it returns. Raises BenchError when a port is taken or a TLS file is wrong."""
        self._port = await self._listen(self._port, None)
        if self._tls_port is not None and self._settings.tls is not None:
            self._tls_port = await self._listen(self._tls_port, self._settings.tls.server_context())
        if self._settings.websocket_port is not None:
            await self._listen_for_websockets(self._settings.websocket_port)

    def close(self) -> None:
        """Accepts nobody any more."""
        for server in self._servers:
            server.close()

    async def closed(self) -> None:
        """Waits until everything is given back; connections must have been ended before."""
        if self._websockets is not None:
            await self._websockets.stop()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    @property
    def mqtt_url(self) -> str:
        return f"mqtt://{self._settings.url_host}:{self._port}"

    @property
    def mqtts_url(self) -> str | None:
        return None if self._tls_port is None else f"mqtts://{self._settings.url_host}:{self._tls_port}"

    @property
    def ws_url(self) -> str | None:
        return f"ws://{self._settings.url_host}:{self._websockets.port}/mqtt" if self._websockets else None

    async def _listen(self, port: int, tls: ssl.SSLContext | None) -> int:
        """Listens, and tells on which port."""
        try:
            server = await asyncio.get_running_loop().create_server(self._made, self._settings.bind, port, backlog=BACKLOG, ssl=tls)
        except OSError as error:
            raise BenchError(f"the broker cannot listen on {self._settings.bind}:{port}: {error}") from error
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _listen_for_websockets(self, port: int) -> None:
        if self._websockets is None:
            self._websockets = WebSocketListener(self._made, self._settings.bind, port, self._settings.limits.packet_bytes_max)
        try:
            await self._websockets.start()
        except OSError as error:
            raise BenchError(f"the broker cannot listen on {self._settings.bind}:{port}: {error}") from error
