"""What one simulated run is asked to do, as data: the seed, the size, the faults. The same plan gives the same trace.

Everything else (links, operations, delays) is drawn from the seed in streams by name, so a fault more or less shifts no other draw: that is
what makes shrinking work. `draw_plan` is swarm testing: each seed has whole kinds of faults switched on or off, because a run with
everything in it hides what only happens when something is absent.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from harness.entropy import SeededEntropy
from harness.errors import ConfigurationError, OptionError

EVERY_DEVICE = 0


class FaultKind(Enum):
    """What can go wrong between and below the programs."""

    RESET = "reset"  # all connections of a device get an RST
    SEVER = "sever"  # they are dead, and nobody is told
    PARTITION = "partition"  # nothing passes between device and server for a while
    LATENCY = "latency"  # the device's link is slower for a while
    POWER_CUT = "power cut"  # the device loses its power, and gets it back
    CLOCK_STEP = "clock step"  # the server's wall clock jumps
    PLATFORM_RESTART = "platform restart"


# What a fault's `amount_s` is drawn from, in seconds: how long it lasts, how much it adds, how far the clock jumps.
_AMOUNTS_S: dict[FaultKind, tuple[float, float]] = {
    FaultKind.RESET: (0.0, 0.0),
    FaultKind.SEVER: (0.0, 0.0),
    FaultKind.PARTITION: (0.5, 60.0),
    FaultKind.LATENCY: (0.1, 6.0),
    FaultKind.POWER_CUT: (0.5, 90.0),
    FaultKind.CLOCK_STEP: (-3_600.0, 3_600.0),
    FaultKind.PLATFORM_RESTART: (0.0, 0.0),
}
_FAULTS_PER_KIND_MAX = 3  # in small worlds; in large ones as many as there are devices, but for what strikes all of them
_OF_ALL = frozenset({FaultKind.CLOCK_STEP, FaultKind.PLATFORM_RESTART})
# Half of the faults that strike a device wait for one of its first moments and come within so many seconds of it: the windows in which
# an exchange, a save or a download is half done are too short to be met by chance.
_STRIKES_AT_MOMENTS = frozenset({FaultKind.RESET, FaultKind.SEVER, FaultKind.PARTITION, FaultKind.POWER_CUT, FaultKind.CLOCK_STEP})
_MOMENTS_MAX = 8
_AFTER_MOMENT_S_MAX = 0.4
LATENCY_LASTS_S = 30.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `device` counts from 1, 0 is all of them.

    `at_s` counts from when all devices are connected; with `moment` above 0 it counts from the device's moment of that number, where a
    moment is a command that it executed or a download that it finished.
    """

    kind: FaultKind
    at_s: float
    device: int = EVERY_DEVICE
    amount_s: float = 0.0
    moment: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `minutes`: how long operations and faults go on, in virtual time. `tick_s`: the grid of deliveries."""

    seed: int
    devices: int = 3
    minutes: float = 2.0
    tick_s: float = 0.01
    faults: tuple[Fault, ...] = field(default=())

    def without(self, fault: Fault) -> "Plan":
        """The same run with one fault less."""
        return replace(self, faults=tuple(item for item in self.faults if item is not fault))


def draw_plan(seed: int, *, devices: int = 3, minutes: float = 2.0, kinds: Iterable[FaultKind] = tuple(FaultKind)) -> Plan:
    """The plan of a seed: each of `kinds` is on in half of all seeds, then with one to three faults (more in large worlds)."""
    entropy = SeededEntropy(f"plan/{seed}")
    tick_s = entropy.stream("tick").choice((0.0, 0.01, 0.05))
    faults: list[Fault] = []
    for kind in kinds:
        own = entropy.stream(kind.value)
        if own.integer(0, 1):
            most = _FAULTS_PER_KIND_MAX if kind in _OF_ALL else max(_FAULTS_PER_KIND_MAX, devices)
            faults += [_draw_fault(kind, own, devices, minutes * 60) for _ in range(own.integer(1, most))]
    return Plan(seed, devices, minutes, tick_s, tuple(sorted(faults, key=lambda fault: (fault.moment, fault.at_s))))


def _draw_fault(kind: FaultKind, entropy: SeededEntropy, devices: int, within_s: float) -> Fault:
    amount_s = round(entropy.uniform(*_AMOUNTS_S[kind]), 3)
    device = entropy.integer(1, devices)
    if kind in _STRIKES_AT_MOMENTS and entropy.integer(0, 1):
        at_s = round(entropy.uniform(0.0, _AFTER_MOMENT_S_MAX), 3)
        return Fault(kind, at_s, device, amount_s, entropy.integer(1, _MOMENTS_MAX))
    return Fault(kind, round(entropy.uniform(0.0, within_s), 3), device, amount_s)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON members; `plan_from_json` reads it."""
    return {**asdict(plan), "faults": [{**asdict(fault), "kind": fault.kind.value} for fault in plan.faults]}


def plan_from_json(members: dict[str, Any]) -> Plan:
    """Raises KeyError, TypeError or ValueError for what is no plan."""
    faults = tuple(Fault(**{**item, "kind": FaultKind(item["kind"])}) for item in members.get("faults", ()))
    return Plan(**{**members, "faults": faults})


def read_plan(path: Path) -> Plan:
    """A plan from a file: a plan, or a finding that `hil simulate` wrote (its member `plan`). Raises ConfigurationError."""
    try:
        members = json.loads(path.read_text())
        return plan_from_json(members.get("plan", members))
    except OSError as error:
        raise ConfigurationError(str(path), "", "", f"cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(str(path), "", "", f"is no fault plan: {error}") from error


def kinds_of(words: str) -> tuple[FaultKind, ...]:
    """The kinds that `all`, `none` or a comma-separated list names. Raises ConfigurationError for an unknown one."""
    if words in ("all", "none"):
        return tuple(FaultKind) if words == "all" else ()
    try:
        return tuple(FaultKind(word.strip()) for word in words.split(","))
    except ValueError as error:
        known = ", ".join(kind.value for kind in FaultKind)
        raise OptionError("--faults", f"{error}; there is all, none, a file, or some of: {known}") from error
