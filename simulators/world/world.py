"""A world: one seed, one loop, one network, and everything of the process that could differ between two runs held still.

    with World(7) as world:
        world.network.host("dev-1", SLOW, skew_s=-40)
        world.spawn("dev-1", device())
        world.run("server", main())
        world.trace.digest()

Leaving a world ends what still runs in it: a coroutine of one run must not die in the next.
"""

import asyncio
import contextlib
import contextvars
import gc
import importlib
import importlib.util
import sys
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from simulators.world.loop import LoopLimits, SimulatedLoop, Unhandled, WorldStopped
from simulators.world.net import CURRENT_HOST, NetworkTiming, SimulatedNetwork
from simulators.world.substitution import Substitution
from simulators.world.trace import Trace

T = TypeVar("T")

EPOCH_UTC_S = 1_700_000_000.0  # the wall clock of a host without skew when the world begins
_START_S = 1_000.0
_WIND_DOWN_S = 60.0
_WIND_DOWN_STEPS_PER_INSTANT = 5_000

# Modules that libraries import when first used: importing draws entropy and captures clocks, so it must not happen inside a world.
_PRELOAD = (
    "amqtt.broker",
    "amqtt.client",
    "amqtt.plugins.authentication",
    "amqtt.plugins.logging_amqtt",
    "amqtt.plugins.topic_checking",
    "amqtt.plugins.persistence",
    "aiohttp.web",
    "encodings.idna",
    "stringprep",
)


class World:
    """One simulated run. Use it as a context manager, once. Hosts' wall clocks and chance come from here while it is entered."""

    def __init__(
        self, seed: int | str, *, timing: NetworkTiming | None = None, limits: LoopLimits | None = None, keep_trace_lines: int = 0
    ) -> None:
        self.seed = seed
        self.entropy = SeededEntropy(f"world/{seed}")
        self.clock = SystemClock()  # asks `time`, which the world has under control
        self.trace = Trace(keep_lines=keep_trace_lines)
        self.limits = limits if limits is not None else LoopLimits()
        self.network = SimulatedNetwork(self.entropy.stream("network"), self.trace, timing if timing is not None else NetworkTiming())
        self.late_imports: tuple[str, ...] = ()

    def __enter__(self) -> "World":
        _preload()
        self.loop = SimulatedLoop(self.network, self.entropy, self.limits, start_s=_START_S)
        self.network.loop = self.loop
        self._substitution = Substitution(self.loop.time, self._wall_s, self.entropy)
        self._substitution.enter()
        self._modules = set(sys.modules)
        _forget_task_history()
        self._collector_was_on = gc.isenabled()
        gc.disable()
        asyncio.set_event_loop(self.loop)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        try:
            self._wind_down()
        finally:
            self.late_imports = tuple(sorted(set(sys.modules) - self._modules))
            self._substitution.leave()
            asyncio.set_event_loop(None)
            self.loop.close()
            _forget_handlers()
            if self._collector_was_on:
                gc.enable()

    @property
    def now_s(self) -> float:
        """Virtual seconds since the world began."""
        return self.loop.time() - _START_S

    @property
    def unhandled(self) -> list[Unhandled]:
        """Exceptions that nobody caught, so far."""
        return self.loop.unhandled

    def spawn(self, host: str, coroutine: Coroutine[Any, Any, T], *, name: str | None = None) -> "asyncio.Task[T]":
        """Starts a task on a host: its connections use that host's link, its wall clock is that host's."""
        self.network.host(host)
        context = contextvars.copy_context()
        context.run(CURRENT_HOST.set, host)
        return self.loop.create_task(coroutine, name=name or host, context=context)

    def run(self, host: str, coroutine: Coroutine[Any, Any, T], *, within_s: float | None = None) -> T:
        """Runs until the coroutine is done. Raises WorldStopped when it cannot be, or not `within_s` virtual seconds."""
        if within_s is not None:
            self.limits.deadline_s = self.loop.time() + within_s
        task = self.spawn(host, coroutine)
        try:
            return self.loop.run_until_complete(task)
        except WorldStopped:
            task.cancel()
            raise

    def at(self, at_s: float, action: Any, *args: Any) -> None:
        """Calls `action(*args)` so many virtual seconds after the world's beginning."""
        self.loop.call_at(_START_S + at_s, action, *args)

    def wall_s(self, host: str) -> float:
        """The wall clock of a host, in seconds UTC."""
        return EPOCH_UTC_S + self.now_s + self.network.host(host).skew_s

    def _wall_s(self) -> float:
        return self.wall_s(CURRENT_HOST.get())

    def _wind_down(self) -> None:
        """Cancels what still runs, oldest first, and lets it end here."""
        self.limits.steps_per_instant_max = _WIND_DOWN_STEPS_PER_INSTANT
        for _ in range(2):
            pending = sorted(asyncio.all_tasks(self.loop), key=hash)
            if not pending:
                break
            self._cancel(pending)
        gc.collect()

    def _cancel(self, tasks: "list[asyncio.Task[Any]]") -> None:
        self.limits.deadline_s = self.loop.time() + _WIND_DOWN_S
        unfinished = set(tasks)

        def finished(task: "asyncio.Task[Any]") -> None:
            unfinished.discard(task)
            if not unfinished:
                self.loop.stop()

        for task in tasks:
            task.add_done_callback(finished)
            task.cancel()
        self.loop.call_later(_WIND_DOWN_S / 2, self.loop.stop)
        # A task that ignores its cancellation and spins is left behind; the run was judged before.
        with contextlib.suppress(WorldStopped):
            self.loop.run_forever()


def _preload() -> None:
    for name in _PRELOAD:
        if name not in sys.modules and _is_installed(name.partition(".")[0]):
            importlib.import_module(name)


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _forget_handlers() -> None:
    """aiohttp keeps the last thousand handlers with all that hangs on them: three hundred whole worlds."""
    web_app = sys.modules.get("aiohttp.web_app")
    for value in list(vars(web_app).values()) if web_app is not None else ():
        if hasattr(value, "cache_clear"):
            value.cache_clear()


def _forget_task_history() -> None:
    """The set of all tasks keeps its table's size from earlier loops in this process, and with it another order."""
    for name in ("_all_tasks", "_scheduled_tasks"):
        tasks = getattr(asyncio.tasks, name, None)
        data = getattr(tasks, "data", None)
        if isinstance(data, set):
            data.clear()
