"""Puts a world's clock and chance under the libraries, for as long as the world runs.

Our own code gets `Clock` and `Entropy` handed in; aiohttp, amqtt, uuid and logging look for theirs in `time`, `os`, `random` and
`datetime`, or hold copies of those functions in their own modules: all modules are searched for the function objects once, and whenever
modules have been added. asyncio is left alone (it asks the loop), and so is what watches the tests.
"""

import datetime as datetime_module
import gc
import os
import random  # noqa: TID251  # the libraries' chance is put under control here
import sys
import time  # noqa: TID251  # and their clocks
from collections.abc import Callable
from types import ModuleType
from typing import Any

from harness.entropy import SeededEntropy
from harness.errors import ScenarioError

_ASYNCIO_AND_THREADS = {
    "asyncio",
    "threading",
    "queue",
    "concurrent",
    "selectors",
    "multiprocessing",
    "subprocess",
    "gc",
    "datetime",
    "zoneinfo",
}
_WATCHERS = {
    "pytest",
    "_pytest",
    "pluggy",
    "hypothesis",
    "coverage",
    "pytest_timeout",
    "execnet",
    "xdist",
    "cProfile",
    "pstats",
    "rich",
    "tqdm",
}
_OURS = {"simulators", "harness", "scenarios", "tests"}  # they look `time` up at each call, if at all (TID251 sees to it)
_LEFT_ALONE = frozenset(_ASYNCIO_AND_THREADS | _WATCHERS | _OURS | {"pydantic", "pydantic_core"})
# datetime is a class: replaced in modules that only call now() on it, elsewhere isinstance and schemas depend on it.
_TAKES_DATETIME_FROM_WORLD = "amqtt"

_Hit = tuple[ModuleType, str, Any]


class _Search:
    """Where copies of the functions were found, and how many modules there were then."""

    hits: tuple[_Hit, ...] = ()
    modules = 0


def _originals() -> dict[Any, str]:
    return {
        time.time: "time",
        time.time_ns: "time_ns",
        time.monotonic: "monotonic",
        time.monotonic_ns: "monotonic_ns",
        time.sleep: "sleep",
        os.urandom: "urandom",
        datetime_module.datetime: "datetime",
    }


def _search() -> tuple[_Hit, ...]:
    if _Search.modules != len(sys.modules):
        originals = _originals()
        _Search.hits = tuple(
            (module, name, value)
            for module in list(sys.modules.values())
            if _is_searched(module)
            for name, value in _copies_in(module, originals)
        )
        _Search.modules = len(sys.modules)
        # Imported code out of the collector's way: a collection costs 1 ms afterwards instead of 100.
        gc.collect()
        gc.freeze()
    return _Search.hits


def _is_searched(module: Any) -> bool:
    name = getattr(module, "__name__", "")
    return isinstance(module, ModuleType) and name.split(".")[0] not in _LEFT_ALONE


def _copies_in(module: ModuleType, originals: dict[Any, str]) -> list[tuple[str, Any]]:
    is_datetime_user = module.__name__.split(".")[0] == _TAKES_DATETIME_FROM_WORLD
    found = []
    for name, value in list(vars(module).items()):
        try:
            what = originals.get(value)
        except (TypeError, ValueError):  # no hash: none of ours
            continue
        if what is not None and (what != "datetime" or is_datetime_user):
            found.append((name, value))
    return found


def _refuse_sleep(seconds: float) -> None:
    raise ScenarioError(f"time.sleep({seconds}) would block the simulated loop")


def _datetime_on(wall_s: Callable[[], float]) -> type[datetime_module.datetime]:
    class SimulatedDatetime(datetime_module.datetime):
        @classmethod
        def now(cls, tz: datetime_module.tzinfo | None = None) -> Any:
            return datetime_module.datetime.fromtimestamp(wall_s(), tz)

    return SimulatedDatetime


class Substitution:
    """Substituted while entered. `monotonic_s` and `wall_s` are asked for the time at each call."""

    def __init__(self, monotonic_s: Callable[[], float], wall_s: Callable[[], float], entropy: SeededEntropy) -> None:
        self._replacements: dict[str, Any] = {
            "time": wall_s,
            "time_ns": lambda: int(wall_s() * 1e9),
            "monotonic": monotonic_s,
            "monotonic_ns": lambda: int(monotonic_s() * 1e9),
            "sleep": _refuse_sleep,
            "urandom": entropy.stream("urandom").random_bytes,
            "datetime": _datetime_on(wall_s),
        }
        self._seed = entropy.stream("random").integer(0, 2**63)
        self._undo: tuple[_Hit, ...] = ()

    def enter(self) -> None:
        self._random_state = random.getstate()
        self._undo = _search()
        originals = _originals()
        for module, name, value in self._undo:
            setattr(module, name, self._replacements[originals[value]])
        random.seed(self._seed)

    def leave(self) -> None:
        for module, name, value in self._undo:
            setattr(module, name, value)
        self._undo = ()
        random.setstate(self._random_state)
