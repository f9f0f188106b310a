"""What came out of a load run, and the exit status that says it: 1 for a broken promise or limit, 3 for a run that proves nothing.

Both can be true; then it is 1, and the reasons name both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.cli import EXIT_FAIL, EXIT_OK, EXIT_VOID
from scenarios.load.thresholds import Figures, Thresholds, broken
from simulators.fleet.totals import RED_COLUMNS, Totals

SCHEMA = "hil-load/1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`breaks` and `voids` are sentences; a run without any is green."""

    totals: Totals
    figures: Mapping[str, Figures]
    facts: Mapping[str, int]
    breaks: tuple[str, ...]
    voids: tuple[str, ...]

    @property
    def exit_status(self) -> int:
        if self.breaks:
            return EXIT_FAIL
        return EXIT_VOID if self.voids else EXIT_OK

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "exit_status": self.exit_status,
            "breaks": list(self.breaks),
            "voids": list(self.voids),
            "ledger": self.totals.to_json(),
            "requests": {name: asdict(figures) for name, figures in self.figures.items()},
            "facts": dict(self.facts),
        }


def judge(
    totals: Totals,
    figures: Mapping[str, Figures],
    facts: Mapping[str, int],
    thresholds: Thresholds,
    *,
    dead_workers: Sequence[str] = (),
    is_cut_short: bool = False,
) -> Outcome:
    """The outcome of a run whose ledger, request entries and counts are these."""
    breaks = [f"{count} {column}" for column in RED_COLUMNS if (count := getattr(totals, column))]
    if wrong := facts.get("wrong_images", 0):
        breaks.append(f"{wrong} downloaded images are none that was stored")
    breaks += broken(thresholds, figures, totals)
    return Outcome(totals, figures, facts, tuple(breaks), tuple(_voids(totals, facts, dead_workers, is_cut_short)))


def _voids(totals: Totals, facts: Mapping[str, int], dead_workers: Sequence[str], is_cut_short: bool) -> list[str]:
    voids = [f"worker {worker_id} died; its commands are unknown" for worker_id in dead_workers]
    if not facts.get("connects"):
        voids.append("no device was ever connected")
    elif never := facts.get("never_connected", 0):
        voids.append(f"{never} devices were never connected")
    if without := facts.get("without_device", 0):
        voids.append(f"{without} users found no device left for them in the target file")
    if not totals.sent:
        voids.append("no command was sent")
    elif not totals.accepted:
        voids.append(f"none of {totals.sent} commands was accepted")
    if not totals.adds_up():
        voids.append("the ledger does not add up: a mistake of ours")
    if is_cut_short:
        voids.append("the run was cut short")
    return voids
