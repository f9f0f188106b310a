"""Why a run is red, and why it proves nothing: sentences, from its ledger and its counts.

Red is what the target did wrong. Void is what leaves that open: devices that were never there, a target that went away, a program of ours
that crashed. Both can be true; then the run is red, and the sentences name both. Pure.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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


def breaks_of(totals: Totals, facts: Mapping[str, int]) -> Iterator[str]:
    """What the target did wrong. `facts` are counts of the devices, by the names that `Books.facts` gives them."""
    for column in RED_COLUMNS:
        if count := getattr(totals, column):
            yield f"{count} {column}"
    if wrong := facts.get("wrong_images", 0):
        yield f"{wrong} downloaded images are none that was stored"
    if twice := totals.keys.get("used_twice", 0):
        yield f"{twice} download keys gave the whole file more than once"


def voids_of(totals: Totals, facts: Mapping[str, int], crashes: Mapping[str, int], *, is_cut_short: bool) -> Iterator[str]:
    """What leaves the target's promises open. `crashes`: defects of our own programs, and how often they showed."""
    for defect, times in Counter(crashes).most_common(DEFECTS_NAMED_MAX):
        yield f"our own program crashed, {times} times: {defect}"
    if not facts.get("connects"):
        yield "no device was ever connected"
    elif never := facts.get("never_connected", 0):
        yield f"{never} devices were never connected"
    elif facts.get("left", 0) < facts.get("devices", 0) and not facts.get("connected_at_end") and not is_cut_short:
        yield "no device was connected any more at the end: the target has gone"
    if totals.sent and not totals.accepted:
        yield f"none of {totals.sent} commands was accepted"
    if not totals.adds_up():
        yield "the ledger does not add up: a mistake of ours"
    if is_cut_short:
        yield "the run was cut short"
