"""The bench `virtual`: runs what was written for real sockets, unchanged, in a world of its own.

A scenario that waits thirty minutes for a key to die takes as long as its packets need; with the same seed it goes the same way. What must
not happen in a world is importing (it draws entropy and captures clocks): plug-ins are loaded before.
"""

from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from simulators.world.links import LinkShape
from simulators.world.loop import Unhandled
from simulators.world.net import CURRENT_HOST, NetworkTiming
from simulators.world.world import World

T = TypeVar("T")

DAYS_MAX = 40.0  # no scenario keeps anything alive for longer; a run that is not over by then hangs
# As fast as loopback, or what was written for it waits too briefly here and there.
_LOOPBACK = LinkShape(latency_s=0.00005, jitter_s=0.0001)
_TIMING = NetworkTiming(tick_s=0.0005)
_PLUGIN_GROUPS = ("hil.checks", "hil.scenarios", "hil.brokers")


@dataclass(frozen=True, slots=True)
class VirtualRun(Generic[T]):
    """What came of a run: its result, how long it took in virtual seconds, the digest of all its packets, and what nobody caught."""

    result: T
    virtual_s: float
    digest: str
    unhandled: tuple[Unhandled, ...]


def run_virtually(coroutine: Coroutine[Any, Any, T], *, seed: int | str, days_max: float = DAYS_MAX) -> VirtualRun[T]:
    """Runs `coroutine` in a world; all that it starts is on one host, as on loopback.

    Raises what the coroutine raises, and WorldStopped when it spins, can never end, or is not over after `days_max` virtual days.
    """
    _load_plugins()
    with World(seed, timing=_TIMING) as world:
        world.network.host(CURRENT_HOST.get(), _LOOPBACK)
        result = world.run(CURRENT_HOST.get(), coroutine, within_s=days_max * 24 * 3600)
        virtual_s, unhandled = world.now_s, tuple(world.unhandled)
    return VirtualRun(result, virtual_s, world.trace.digest(), unhandled)


def _load_plugins() -> None:
    for group in _PLUGIN_GROUPS:
        for point in entry_points(group=group):
            with suppress(ImportError):  # an optional library is missing: then nothing will use it inside either
                point.load()
