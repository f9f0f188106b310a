"""The target's test clock is believed only where it says its new time."""

import asyncio
from dataclasses import dataclass

import pytest
from aiohttp import web

from harness.bench.target import ApiKeys, Platform
from harness.bench.target import TestClock as ClockTable
from harness.bench.target_clock import advance_test_clock
from harness.clock import SystemClock
from harness.errors import BenchError
from harness.history.events import ClockAdvanced
from harness.history.recorder import Recorder


@dataclass
class Clock:
    """A test clock that answers so."""

    status: int = 200
    text: str = '{"now": "2026-01-01T00:30:00Z"}'

    async def advanced(self, seconds):
        """What is on the record once it was asked to move."""
        application = web.Application()
        application.router.add_post("/advance", self._answer)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            clock = ClockTable(advance_url=f"{url}/advance")
            platform = Platform(name="p", api_url=url, mqtt_url="mqtt://127.0.0.1:1", api_keys=ApiKeys(full="k"), clock=clock)
            recorder = Recorder(SystemClock())
            await advance_test_clock(platform, seconds, recorder, trace="t")
            return [event.fact for event in recorder.history().events]
        finally:
            await runner.cleanup()

    async def _answer(self, request):
        return web.Response(status=self.status, text=self.text)


def test_a_clock_that_says_its_new_time_has_moved():
    assert asyncio.run(Clock().advanced(1800.0)) == [ClockAdvanced(1800.0, "2026-01-01T00:30:00Z", "t")]


@pytest.mark.parametrize(
    ("clock", "shown"),
    [
        (Clock(status=404, text="<html>\nno such page\n</html>"), r"answered 404 '<html>\\nno such page"),
        (Clock(status=500), "answered 500 '{"),
        (Clock(text="moved"), "answered 200 'moved'"),
        (Clock(text='{"now": 1800}'), "answered 200 '{"),
    ],
)
def test_a_clock_that_answers_anything_else_is_told_with_its_answer(clock, shown):
    with pytest.raises(BenchError, match=shown) as caught:
        asyncio.run(clock.advanced(1800.0))
    assert "\n" not in str(caught.value)
