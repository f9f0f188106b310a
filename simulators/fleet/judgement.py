"""Why a run is red, and why it proves nothing: sentences, from its ledger and its counts.

Red is what the target did wrong. Void is what leaves that open: devices that were never there, a target that went away, a program of ours
that crashed. Both can be true; then the run is red, and the sentences name both. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from harness.cli import EXIT_FAIL, EXIT_OK, EXIT_VOID
from simulators.fleet.totals import RED_COLUMNS, Totals

DEFECTS_NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Judgement:
    """`breaks` and `voids` are sentences; a run without any is green."""

    breaks: tuple[str, ...] = ()
    voids: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        if self.breaks:
            return EXIT_FAIL
        return EXIT_VOID if self.voids else EXIT_OK


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What stands beside a ledger. `facts` are counts of the devices, `crashes` defects of our own programs with how often they showed,
    `last_failure` is why a device could not connect ("" where all could).
    """

    facts: Mapping[str, int] = field(default_factory=dict)
    crashes: Mapping[str, int] = field(default_factory=dict)
    last_failure: str = ""


def together(parts: Iterable[Circumstances]) -> Circumstances:
    """Those of several processes as one."""
    facts: Counter[str] = Counter()
    crashes: Counter[str] = Counter()
    last_failure = ""
    for part in parts:
        facts.update(part.facts)
        crashes.update(part.crashes)
        last_failure = part.last_failure or last_failure
    return Circumstances(facts, crashes, last_failure)


def breaks_of(totals: Totals, beside: Circumstances) -> Iterator[str]:
    """What the target did wrong."""
    for column in RED_COLUMNS:
        if count := getattr(totals, column):
            yield f"{count} {column}"
    if wrong := beside.facts.get("wrong_images", 0):
        yield f"downloaded images that were never stored: {wrong}"
    if twice := totals.keys.get("used_twice", 0):
        yield f"download keys that gave the whole file more than once: {twice}"


def voids_of(totals: Totals, beside: Circumstances, *, is_cut_short: bool) -> Iterator[str]:
    """What leaves the target's promises open."""
    for defect, times in Counter(beside.crashes).most_common(DEFECTS_NAMED_MAX):
        yield f"our own program crashed ({times} ×): {defect}"
    yield from _absences(beside, is_cut_short=is_cut_short)
    if totals.sent and not totals.accepted:
        yield f"none of {totals.sent} commands was accepted"
    if not totals.adds_up():
        yield "the ledger does not add up: a mistake of ours"
    if is_cut_short:
        yield "the run was cut short"


def _absences(beside: Circumstances, *, is_cut_short: bool) -> Iterator[str]:
    """Devices that were not there. Those that left by themselves need no target any more."""
    facts = beside.facts
    why = f" ({beside.last_failure})" if beside.last_failure else ""
    if not facts.get("connects"):
        yield f"no device was ever connected{why}"
    elif never := facts.get("never_connected", 0):
        yield f"devices that were never connected: {never}{why}"
    elif facts.get("left", 0) < facts.get("devices", 0) and not facts.get("connected_at_end") and not is_cut_short:
        yield f"no device was connected any more at the end{why}"
