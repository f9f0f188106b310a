"""The target's test clock: moved by one POST. Source: interfaces.md, `[platform.clock]`."""

import asyncio

import aiohttp

from harness.bench.target import Platform
from harness.bench.tls import ssl_context
from harness.errors import BenchError
from harness.history.events import ClockAdvanced
from harness.history.recorder import Recorder

_WITHIN_S = 10.0


async def advance_test_clock(platform: Platform, seconds: float, recorder: Recorder, *, trace: str) -> None:
    """Moves the clock forward by `seconds`. `trace` is the call's traceparent.

    Raises BenchError where there is no such clock, or it does not answer 200 with its new time.
    """
    if platform.clock is None:
        raise BenchError("the target file has no [platform.clock]")
    url = platform.clock.advance_url
    headers = {**platform.http.headers, "traceparent": trace}
    connector = aiohttp.TCPConnector(force_close=True, ssl=ssl_context(platform.tls))
    try:
        async with (
            asyncio.timeout(_WITHIN_S),
            aiohttp.ClientSession(connector=connector) as session,
            session.post(url, json={"seconds": seconds}, headers=headers, proxy=platform.http.proxy) as response,
        ):
            body = await response.json(content_type=None)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise BenchError(f"the test clock {url} cannot be moved: {type(error).__name__} {error}") from error
    if status != 200 or not isinstance(body, dict) or not isinstance(body.get("now"), str):
        raise BenchError(f"the test clock {url} answered {status} {body!r}, allowed: 200 with now")
    recorder.record(ClockAdvanced(seconds, body["now"], trace))
