"""Small programs that the world's tests run: an echo server and a client on hosts of their own."""

import asyncio
from collections.abc import Callable

import pytest

from simulators.world.world import World


@pytest.fixture
def echo() -> Callable[..., object]:
    """`await echo(world)` starts an echo server on the host `server` and returns its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def start(world: World) -> int:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    return start
