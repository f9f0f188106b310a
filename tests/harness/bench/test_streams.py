"""A stream to a broker leaves nothing open, however it ends."""

import asyncio
import gc

import pytest
from aiohttp import web

from harness.bench.streams import open_stream


async def websocket_stream(end):
    """Opens a stream to a server that listens until it ends, ends it so, and forgets it."""

    async def listen(request):
        socket = web.WebSocketResponse(protocols=("mqtt",))
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    application = web.Application()
    application.router.add_get("/", listen)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        stream = await open_stream(f"ws://127.0.0.1:{runner.addresses[0][1]}/")
        await end(stream)
        del stream
    finally:
        await runner.cleanup()


async def close(stream):
    await stream.close()


async def abort(stream):
    stream.abort()


async def abort_and_close(stream):
    stream.abort()
    await stream.close()


@pytest.mark.parametrize("end", [close, abort, abort_and_close])
def test_a_websocket_that_has_ended_leaves_nothing_open(end, recwarn):
    asyncio.run(websocket_stream(end))
    gc.collect()
    assert [str(warning.message) for warning in recwarn if issubclass(warning.category, ResourceWarning)] == []
