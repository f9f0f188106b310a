"""`[device.prepare]`: the user's commands that put the firmware onto a device, and set it up again after a factory reset.

`{url}` and `{port}` name the board's serial line: the URL that the device file gives, and the port behind it as flashing tools want it. A
device without a serial line gets the URL and the port of our broker instead. Whatever else a command needs stands in its environment, as
for `[device.run] exec`.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.bench.device_file import Prepare
from harness.bench.hooks import filled_in
from harness.bench.shell import run_shell
from harness.errors import BenchError
from harness.history.events import HookRun
from harness.history.recorder import Recorder

_WITHIN_S = 600.0  # a large image over a slow line
_RECORDED_CHARACTERS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """How the device is reached: what `{url}` and `{port}` stand for."""

    url: str
    port: str


FindLine = Callable[[], Line]


class Preparation:
    """Runs the commands for one instance of the device, whose `environment` they share.

    `find_line` says where its serial line is now; None where it has none.
    `one_at_a_time` is shared by all instances: two of them must not build or flash beside each other.
    """

    def __init__(
        self, prepare: Prepare, environment: Mapping[str, str], recorder: Recorder, find_line: FindLine | None, one_at_a_time: asyncio.Lock
    ) -> None:
        self._prepare = prepare
        self._environment = environment
        self._recorder = recorder
        self._find_line = find_line
        self._one_at_a_time = one_at_a_time
        self._is_flashed = False
        self._failure: BenchError | None = None

    @property
    def uses_the_line(self) -> bool:
        """Whether the commands need the board's serial line for themselves."""
        return self._find_line is not None

    @property
    def follows_a_reset(self) -> bool:
        return self._prepare.after_reset is not None

    async def flash(self) -> None:
        """Runs `flash` before the device has power for the first time. Raises BenchError, the same one each time, where it failed."""
        if self._failure is not None:
            raise self._failure
        if self._prepare.flash is None or self._is_flashed:
            return
        try:
            await self._run("flash", self._prepare.flash)
        except BenchError as failure:
            self._failure = failure
            raise
        self._is_flashed = True

    async def after_reset(self) -> None:
        """Runs `after_reset`, if there is one. Raises BenchError where it failed."""
        if self._prepare.after_reset is not None:
            await self._run("after_reset", self._prepare.after_reset)

    async def _run(self, name: str, template: str) -> None:
        command = self._filled_in(template)
        async with self._one_at_a_time:
            directory = self._prepare.directory_of(template)
            ended = await run_shell(command, within_s=_WITHIN_S, environment=self._environment, directory=directory)
        self._recorder.record(HookRun(name, command, ended.status, ended.said[:_RECORDED_CHARACTERS]))
        if ended.status:
            raise BenchError(f"[device.prepare] {name} ended with status {ended.status}: {ended.last_words}")

    def _filled_in(self, template: str) -> str:
        line = self._find_line() if self._find_line is not None else _broker(self._environment)
        return filled_in(template, {"url": line.url, "port": line.port})


def _broker(environment: Mapping[str, str]) -> Line:
    url = environment["HIL_MQTT_URL"]
    return Line(url, str(urlsplit(url).port))
