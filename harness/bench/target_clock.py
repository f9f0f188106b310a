"""The target's test clock: moved by one POST. Source: interfaces.md, `[platform.clock]`."""

import asyncio

import aiohttp

from harness.bench.target import Platform
from harness.bench.tls import ssl_context
from harness.errors import BenchError
from harness.history.events import ClockAdvanced
from harness.history.recorder import Recorder
from harness.wire.json_values import pointed_at, read_json

_WITHIN_S = 10.0
_SHOWN_CHARACTERS = 100


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
            status, text = response.status, await response.text(errors="replace")
    except (aiohttp.ClientError, TimeoutError) as error:
        problem = str(error) or f"no answer within {_WITHIN_S:g} s"
        raise BenchError(f"the test clock {url} cannot be moved: {problem}") from error
    now = pointed_at(read_json(text), "/now")
    if status != 200 or not isinstance(now, str):
        problem = f"answered {status} {text[:_SHOWN_CHARACTERS]!r}, allowed: 200 and the new time as `now` of an object"
        raise BenchError(f"the test clock {url} {problem}")
    recorder.record(ClockAdvanced(seconds, now, trace))
