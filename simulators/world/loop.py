"""An asyncio event loop whose time is a number: it jumps to the next timer as soon as nothing can run.

Order is decided here and nowhere else: callbacks run first in, first out; timers of one instant likewise; deliveries of the network of one
instant come in a seeded order (see `net`). Tasks and futures carry numbers as their hashes, because sets of them would else be walked in
the order of memory addresses. Everything that would reach the operating system is refused or answered by the `SimulatedNetwork`.
"""

import asyncio
import collections
import contextvars
import gc
import heapq
import itertools
import socket
from asyncio import events
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, cast

from harness.entropy import SeededEntropy
from harness.errors import HarnessError

if TYPE_CHECKING:
    from simulators.world.net import SimulatedNetwork

_Args = TypeVarTuple("_Args")
_Result = TypeVar("_Result")

# Timers come in the middle of an instant, deliveries at a drawn place in [0, 1): a timer may fire before or after what arrives with it.
_TIMER_PLACE = 0.5
_SENDFILE_BLOCK_BYTES = 16_384


class WorldStopped(HarnessError):
    """The world cannot go on; the message says where it stands."""


class Deadlock(WorldStopped):
    """Nothing can run and no timer is set, but the run has not ended."""


class Livelock(WorldStopped):
    """Callbacks run for ever without virtual time passing: somebody spins."""


class DeadlinePassed(WorldStopped):
    """The virtual deadline came before the run ended."""


@dataclass(frozen=True, slots=True)
class Unhandled:
    """An exception that nobody caught: of a callback, or of a task whose result nobody asked for."""

    at_s: float  # since the world began
    message: str
    exception: BaseException | None

    def __str__(self) -> str:
        return f"at {self.at_s:.3f} s: {self.message}: {self.exception!r}"


@dataclass(slots=True)
class LoopLimits:
    """What keeps a world from running for ever. Steps are callbacks; times are virtual seconds."""

    deadline_s: float = 10_000_000.0
    steps_per_instant_max: int = 500_000
    # The collector runs finalizers, that is code: it may do so at fixed steps only.
    steps_per_collection: int = 60_000


class _Step(events.Handle):
    """A handle without the debugging parts: half of all steps are made of these."""

    __slots__ = ()

    def __init__(self, callback: Any, args: Any, loop: Any, context: Context) -> None:
        self._context = context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Timer(events.TimerHandle):
    __slots__ = ()

    def __init__(self, when: float, callback: Any, args: Any, loop: Any, context: Context) -> None:
        self._context = context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = True


class _NumberedTask(asyncio.Task[Any]):
    __slots__ = ("_number",)

    def __init__(self, coroutine: Any, *, loop: "SimulatedLoop", **options: Any) -> None:
        # Before super().__init__, which puts the task into a set and so hashes it.
        self._number = next(loop.numbers)
        super().__init__(coroutine, loop=loop, **options)

    def __hash__(self) -> int:
        return self._number


class _NumberedFuture(asyncio.Future[Any]):
    __slots__ = ("_number",)

    def __init__(self, *, loop: "SimulatedLoop") -> None:
        self._number = next(loop.numbers)
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


def _numbered_task(loop: Any, coroutine: Any, **options: Any) -> "asyncio.Future[Any]":
    return _NumberedTask(coroutine, loop=loop, **options)


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop of one world. Time starts at `start_s`, so that differences of large monotonic values are exercised too."""

    # Parts of BaseEventLoop that its type stubs do not show.
    _ready: "collections.deque[Any]"
    _stopping: bool
    _closed: bool

    def __init__(self, network: "SimulatedNetwork", entropy: SeededEntropy, limits: LoopLimits, *, start_s: float = 0.0) -> None:
        super().__init__()
        # Also under PYTHONASYNCIODEBUG or -X dev: the debug mode compares real durations.
        self.set_debug(False)
        self.network = network
        self.limits = limits
        self.numbers = itertools.count(1)
        self.steps = 0
        self.unhandled: list[Unhandled] = []
        self._now_s = start_s
        self._start_s = start_s
        self._heap: list[tuple[float, float, int, _Timer]] = []
        self._timer_numbers = itertools.count()
        self._cancelled_timers = 0
        self._instant_steps = 0
        self._next_collection = limits.steps_per_collection
        self._executor_entropy = entropy.stream("executor")
        self.set_task_factory(_numbered_task)
        self.set_exception_handler(self._note_unhandled)

    # --- time and timers

    def time(self) -> float:
        return self._now_s

    def call_at(
        self, when: float, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _Timer(when, callback, args, self, contextvars.copy_context() if context is None else context)
        heapq.heappush(self._heap, (when, _TIMER_PLACE, next(self._timer_numbers), timer))
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def deliver_at(self, when_s: float, place: float, callback: Callable[..., object], argument: object, context: Context) -> None:
        """Runs `callback(argument)` at `when_s`; within that instant in the order of `place`, equal places first in, first out."""
        timer = _Timer(when_s, callback, (argument,), self, context)
        heapq.heappush(self._heap, (when_s, place, next(self._timer_numbers), timer))

    def call_soon(self, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None) -> asyncio.Handle:
        step = _Step(callback, args, self, contextvars.copy_context() if context is None else context)
        self._ready.append(step)
        return step

    def call_soon_threadsafe(self, callback: Callable[[*_Args], object], *args: *_Args, context: Context | None = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        return _NumberedFuture(loop=self)

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        self._cancelled_timers += 1
        if self._cancelled_timers > 1_000 and self._cancelled_timers * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[3]._cancelled]
            heapq.heapify(self._heap)
            self._cancelled_timers = 0

    # --- the scheduler

    def _run_once(self) -> None:
        ready = self._ready
        while not self._stopping:
            if not ready:
                self._advance()
            self._gather_due()
            count = len(ready)
            self._count_steps(count)
            for _ in range(count):
                step = ready.popleft()
                if step._cancelled:
                    continue
                # What Handle._run does, without its frame: a tenth of the time of a small step.
                try:
                    step._context.run(step._callback, *step._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self._step_failed(step, error)

    def _step_failed(self, step: Any, error: BaseException) -> None:
        name = getattr(step._callback, "__qualname__", type(step._callback).__name__)
        self.call_exception_handler({"message": f"callback {name} failed", "exception": error, "handle": step})

    def _advance(self) -> None:
        heap = self._heap
        while heap and heap[0][3]._cancelled:
            heapq.heappop(heap)
            self._cancelled_timers -= 1
        if not heap:
            raise Deadlock(f"at {self._now_s:.6f} s nothing can run and no timer is set; waiting: {self._waiting_tasks()}")
        when_s = heap[0][0]
        if when_s > self._now_s:
            if when_s > self.limits.deadline_s:
                raise DeadlinePassed(f"the virtual deadline of {self.limits.deadline_s} s has passed; waiting: {self._waiting_tasks()}")
            self._now_s = when_s
            self._instant_steps = 0

    def _gather_due(self) -> None:
        heap, ready, now_s = self._heap, self._ready, self._now_s
        while heap and heap[0][0] <= now_s:
            timer = heapq.heappop(heap)[3]
            timer._scheduled = False
            if timer._cancelled:
                self._cancelled_timers -= 1
            else:
                ready.append(timer)

    def _count_steps(self, count: int) -> None:
        self.steps += count
        self._instant_steps += count
        if self._instant_steps > self.limits.steps_per_instant_max:
            raise Livelock(f"at {self._now_s:.6f} s {self._instant_steps} steps ran without time passing; tasks: {self._waiting_tasks()}")
        if self.steps >= self._next_collection:
            self._next_collection = self.steps + self.limits.steps_per_collection
            gc.collect()

    def _waiting_tasks(self) -> str:
        names = sorted(task.get_name() for task in asyncio.all_tasks(self))
        return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")

    def _note_unhandled(self, _loop: asyncio.AbstractEventLoop, details: dict[str, Any]) -> None:
        exception = details.get("exception")
        self.unhandled.append(Unhandled(self._now_s - self._start_s, str(details.get("message")), exception))
        self.network.trace.add(f"{self._now_s:.9f} unhandled {type(exception).__name__}")

    # --- what would reach the operating system

    def _process_events(self, event_list: Any) -> None:
        return

    def _write_to_self(self) -> None:
        return

    def add_signal_handler(self, sig: int, callback: Callable[[*_Args], Any], *args: *_Args) -> None:
        raise NotImplementedError("a simulated world gets no signals")

    def remove_signal_handler(self, sig: int) -> bool:
        return False

    def run_in_executor(self, executor: Any, func: Callable[[*_Args], _Result], *args: *_Args) -> "asyncio.Future[_Result]":
        """Runs `func` here and now; its result arrives a drawn moment later: threads cannot be scheduled by a seed."""
        future = self.create_future()
        delay_s = self._executor_entropy.uniform(0.0002, 0.004)
        try:
            self.call_later(delay_s, _succeed, future, func(*args))
        except Exception as problem:  # travels to whoever awaits the result, as with a real executor
            self.call_later(delay_s, _fail, future, problem)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  # asyncio's signature
        return

    async def getaddrinfo(self, host: Any, port: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (self.network.address_of(host), int(port or 0)))]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        return str(sockaddr[0]), str(sockaddr[1])

    # --- the network's door

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """aiohttp's connector makes a real socket and connects it here: it serves as a token, and its descriptor is freed at once."""
        sock.close()
        await self.network.connect_token(sock, (str(address[0]), int(address[1])))

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, *, ssl: Any = None, sock: Any = None, **_options: Any
    ) -> tuple[Any, Any]:
        if ssl:
            raise NotImplementedError("TLS is not simulated; it is covered on loopback")
        if sock is not None:
            return self.network.establish(protocol_factory, self.network.redeem_token(sock))
        address = (self.network.address_of(host), int(port))
        await self.network.handshake(address)
        return self.network.establish(protocol_factory, address)

    async def create_server(
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, *, ssl: Any = None, sock: Any = None, **_options: Any
    ) -> Any:
        if ssl or sock is not None:
            raise NotImplementedError("TLS and sockets made elsewhere are not simulated; they are covered on loopback")
        first = host[0] if isinstance(host, list | tuple) else host
        return self.network.listen(protocol_factory, first, int(port or 0))

    async def sendfile(
        self, transport: asyncio.WriteTransport, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool | None = None
    ) -> int:
        """As the real one: returns the bytes sent, waits while the peer is slow."""
        sent = 0
        file.seek(offset)
        while count is None or sent < count:
            block = file.read(_SENDFILE_BLOCK_BYTES if count is None else min(_SENDFILE_BLOCK_BYTES, count - sent))
            if not block:
                break
            transport.write(block)
            sent += len(block)
            await cast(Any, transport).drained()
        return sent


def _succeed(future: "asyncio.Future[Any]", result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
