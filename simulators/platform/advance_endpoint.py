"""The test clock over HTTP: `POST /_test/clock/advance {"seconds": N}`, there only when it was asked for (interfaces.md)."""

import json
from collections.abc import Callable

from aiohttp import web

from harness.clock import AdvanceableClock, rfc3339
from harness.wire.responses import ErrorBody
from simulators.platform.answers import json_answer, read_body
from simulators.platform.refusals import Refusal

ADVANCE_PATH = "/_test/clock/advance"
ADVANCE_SECONDS_MAX = 100 * 366 * 24 * 3600.0


class AdvanceEndpoint:
    """Moves the platform's clock and tells `advanced` by how much, so that it can be kept."""

    def __init__(self, clock: AdvanceableClock, advanced: Callable[[float], None]) -> None:
        self._clock = clock
        self._advanced = advanced

    async def advance(self, request: web.Request) -> web.StreamResponse:
        body = await read_body(request, 1_024)
        seconds = None if isinstance(body, Refusal) else _seconds(body)
        if seconds is None:
            return json_answer(400, ErrorBody("'seconds' must be a number of at least 0", "advance clock").body())
        self._clock.advance(seconds)
        self._advanced(seconds)
        return json_answer(200, {"now": rfc3339(self._clock.utc_s(), fraction_digits=6)})


def _seconds(body: bytes) -> float | None:
    try:
        seconds = json.loads(body)["seconds"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= ADVANCE_SECONDS_MAX:
        return None
    return float(seconds)
