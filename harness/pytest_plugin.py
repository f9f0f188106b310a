"""Tests of a firmware or platform team in ten lines: `hil` as a pytest plugin.

Fixtures `platform`, `virtual_device`, `board`, `fleet`, `clock` and `history`, plain and synchronous: the bench lives on an event loop in
a thread of its own. The marker `requirement("DEV-04")` says what a test is about. The history of each red test is kept.

What stands behind the fixtures is found by entry point (group `hil.benches`), as everything that plays a part is: this module knows no
simulator.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import pytest

from harness import __version__
from harness.clock import SystemClock
from harness.device_operations import Boot, CutConnection, Interfere, PowerCut, Store, StoredFile, Tell, Until
from harness.faults import FaultPlan
from harness.history.events import SCHEMA, Fact, MqttPacket, RunStarted
from harness.history.journal import line_of
from harness.history.recorder import Recorder
from harness.history.timeline import History
from harness.requirements import find
from harness.wire.files import FileType
from harness.wire.json_values import read_json
from harness.wire.topics import result_topic

T = TypeVar("T")

BENCH_GROUP = "hil.benches"
HISTORIES = "hil-histories"
_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a bench is made from. `target` and `device` are the files of `--hil-target` and `--hil-device`."""

    recorder: Recorder
    seed: int
    target: Path | None = None
    device: Path | None = None


MakeBench = Callable[[Wanted], AbstractAsyncContextManager[Any]]


def find_bench(name: str) -> MakeBench:
    """What an installed package offers under that name. Skips the test where none does."""
    for entry in entry_points(group=BENCH_GROUP, name=name):
        maker: MakeBench = entry.load()
        return maker
    pytest.skip(f"no installed package offers the bench {name!r} (entry point group {BENCH_GROUP})")


class BenchLoop:
    """An event loop in a thread, for fixtures that tests call like ordinary functions."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hil bench", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Does `work` on the loop and waits for its outcome."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    @contextmanager
    def entered(self, bench: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """The bench, started; stopped at the end."""
        ready: threading.Event = threading.Event()
        over = asyncio.Event()
        found: list[T] = []

        async def live() -> None:
            # One task enters and leaves: cancel scopes inside a bench belong to the task that made them.
            try:
                async with bench as started:
                    found.append(started)
                    ready.set()
                    await over.wait()
            finally:
                ready.set()

        living = asyncio.run_coroutine_threadsafe(live(), self._loop)
        ready.wait()
        if not found:
            living.result()
        try:
            yield found[0]
        finally:
            self._loop.call_soon_threadsafe(over.set)
            living.result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class DeviceUnderTest:
    """A device on a bench of its own: its platform, its broker and its power are ours."""

    def __init__(self, loop: BenchLoop, bench: Any) -> None:
        self._loop = loop
        self._bench = bench
        self._cast = bench.any_cast()
        self.device_id: str = self._cast.device_id

    def perform(self, operation: Any) -> Any:
        """Does any operation of `harness.device_operations`."""
        return self._loop.run(self._bench.perform(self._cast, operation))

    def boot(self) -> None:
        """Brings the device to its entry state: running, connected, subscribed."""
        self.perform(Boot())

    def tell(self, command: str, data: dict[str, Any] | None = None) -> int:
        """Sends a command through the platform's API; the HTTP status."""
        return int(self.perform(Tell(command, data or {})))

    def result(self, command: str, *, within_s: float = _WITHIN_S) -> dict[str, Any] | None:
        """The next result of that command; None where none came in time. Raises ValueError for one that is no JSON object."""
        topic = result_topic(self.device_id, command)
        events = self.perform(Until(lambda fact: _is_published(fact, topic), within_s))
        return _json_object(events[0].fact.payload or "") if events else None

    def ask(self, command: str, data: dict[str, Any] | None = None, *, within_s: float = _WITHIN_S) -> dict[str, Any] | None:
        """Sends a command and gives its result."""
        self.tell(command, data)
        return self.result(command, within_s=within_s)

    def store(self, size_bytes: int = 20_000, *, file_type: FileType = FileType.FIRMWARE) -> StoredFile:
        """Puts a file into the platform's storage."""
        stored: StoredFile = self.perform(Store(file_type, size_bytes))
        return stored

    def interfere(self, plan: FaultPlan) -> None:
        """Puts a fault plan in force on the device's MQTT connections."""
        self.perform(Interfere(plan))

    def cut_connection(self) -> None:
        """Ends the device's MQTT connection without a word."""
        self.perform(CutConnection())

    def cut_power(self) -> None:
        """Cuts the device's power and gives it back."""
        self.perform(PowerCut())


def _is_published(fact: Fact, topic: str) -> bool:
    return isinstance(fact, MqttPacket) and fact.sent_by == "client" and fact.type == "PUBLISH" and fact.topic == topic


def _json_object(payload: str) -> dict[str, Any]:
    value = read_json(payload)
    if not isinstance(value, dict):
        raise ValueError(f"the result is {payload[:80]!r}, no JSON object")
    return value


class Remote:
    """Something on the bench's loop, called from a test: its coroutine functions become ordinary ones."""

    def __init__(self, loop: BenchLoop, thing: Any) -> None:
        self._loop = loop
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        if not asyncio.iscoroutinefunction(value):
            return value
        return lambda *arguments, **options: self._loop.run(value(*arguments, **options))


class LiveHistory:
    """What was recorded in this test so far."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    @property
    def now(self) -> History:
        """All of it, up to this moment."""
        return self.recorder.history()

    def save(self, path: Path) -> None:
        """Writes it as a journal, which `hil` reads."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line_of(event) + "\n" for event in self.now.events), encoding="utf-8")


# --- options, marker, red tests -------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hil")
    group.addoption("--hil-target", type=Path, default=None, help="Target file of the platform behind the fixture `platform`.")
    group.addoption("--hil-device", type=Path, default=None, help="Device file of the device behind the fixture `board`.")
    group.addoption("--hil-seed", type=int, default=0, help="Seed of all chance in the benches.")
    group.addoption("--hil-histories", type=Path, default=None, help=f"Where histories of red tests are kept (default: {HISTORIES}).")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requirement(id): the requirement of the catalogue that the test is about")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that cites a requirement which does not exist would prove nothing."""
    for item in items:
        for marker in item.iter_markers("requirement"):
            for name in marker.args:
                if not find(str(name)):
                    raise pytest.UsageError(f"{item.nodeid}: the catalogue has no requirement {name!r}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    live = getattr(item, "funcargs", {}).get("history")
    if report.when == "call" and report.failed and isinstance(live, LiveHistory):
        directory = item.config.getoption("--hil-histories") or item.config.rootpath / HISTORIES
        path = directory / (re.sub(r"[^A-Za-z0-9_.-]+", "_", item.nodeid) + ".jsonl")
        live.save(path)
        report.sections.append(("hil history", str(path)))
    return report


# --- fixtures -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def hil_loop() -> Iterator[BenchLoop]:
    """The event loop of all benches."""
    loop = BenchLoop()
    yield loop
    loop.close()


@pytest.fixture
def history(request: pytest.FixtureRequest) -> LiveHistory:
    """What is recorded in this test; kept where the test is red."""
    recorder = Recorder(SystemClock())
    seed = request.config.getoption("--hil-seed")
    recorder.record(RunStarted(SCHEMA, request.node.name, __version__, "pytest", seed, "quick", "device", "pytest", "should", {}, {}, ()))
    return LiveHistory(recorder)


@pytest.fixture
def hil_wanted(request: pytest.FixtureRequest, history: LiveHistory) -> Wanted:
    """What the benches of this test are made from."""
    option = request.config.getoption
    return Wanted(history.recorder, option("--hil-seed"), option("--hil-target"), option("--hil-device"))


@pytest.fixture
def virtual_device(hil_loop: BenchLoop, hil_wanted: Wanted) -> Iterator[DeviceUnderTest]:
    """The virtual device of this product, on a bench of its own."""
    with hil_loop.entered(find_bench("virtual-device")(hil_wanted)) as bench:
        yield DeviceUnderTest(hil_loop, bench)


@pytest.fixture
def board(hil_loop: BenchLoop, hil_wanted: Wanted) -> Iterator[DeviceUnderTest]:
    """The device of `--hil-device`: a board, a program, or one that connects by itself."""
    if hil_wanted.device is None:
        pytest.skip("no device: name its file with --hil-device")
    with hil_loop.entered(find_bench("device")(hil_wanted)) as bench:
        yield DeviceUnderTest(hil_loop, bench)


@pytest.fixture
def platform(hil_loop: BenchLoop, hil_wanted: Wanted) -> Iterator[Any]:
    """The platform of `--hil-target`, or the reference platform: `send_command`, `fetch`, `devices`, `files`."""
    with hil_loop.entered(find_bench("platform")(hil_wanted)) as bench:
        yield Remote(hil_loop, bench)


@pytest.fixture
def clock(platform: Any) -> Any:
    """The platform's test clock: `advance(seconds)`."""
    if not platform.has_clock:
        pytest.skip("the target file has no [platform.clock]")
    return platform


@pytest.fixture
def fleet(hil_loop: BenchLoop, hil_wanted: Wanted, platform: Any) -> Iterator[Any]:
    """Virtual devices for every MQTT device of the platform, connected: `devices`, `connected`."""
    with hil_loop.entered(platform.fleet()) as bench:
        yield Remote(hil_loop, bench)
