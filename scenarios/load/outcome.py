"""What came out of a load run, and the exit status that says it: 1 for a broken promise or limit, 3 for a run that proves nothing.

Both can be true; then it is 1, and the reasons name both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scenarios.load.thresholds import Figures, Thresholds, broken
from simulators.fleet.judgement import Circumstances, Judgement, breaks_of, voids_of
from simulators.fleet.totals import Totals

SCHEMA = "hil-load/1"
OUTCOME_FILE = "load.json"
"""Its name in the directory of the run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out."""

    totals: Totals
    figures: Mapping[str, Figures]
    facts: Mapping[str, int]
    judgement: Judgement

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "exit_status": self.judgement.exit_status,
            "breaks": list(self.judgement.breaks),
            "voids": list(self.judgement.voids),
            "ledger": self.totals.to_json(),
            "requests": {name: asdict(figures) for name, figures in self.figures.items()},
            "facts": dict(self.facts),
        }


def judge(
    totals: Totals,
    figures: Mapping[str, Figures],
    beside: Circumstances,
    thresholds: Thresholds,
    *,
    dead_workers: Sequence[str] = (),
    mishaps: Sequence[str] = (),
    is_cut_short: bool = False,
) -> Outcome:
    """The outcome of a run whose ledger, request entries and circumstances are these; `mishaps` say what else went wrong with it."""
    breaks = (*breaks_of(totals, beside), *broken(thresholds, figures, totals))
    deaths = (f"worker {worker_id} died; its commands are unknown" for worker_id in dead_workers)
    voids = (*deaths, *mishaps, *voids_of(totals, beside, is_cut_short=is_cut_short), *_idleness(totals, beside.facts))
    return Outcome(totals, figures, beside.facts, Judgement(breaks, voids))


def _idleness(totals: Totals, facts: Mapping[str, int]) -> Iterator[str]:
    """What a load run was to do, and did not."""
    if without := facts.get("without_device", 0):
        yield f"users for whom the target file had no device left: {without}"
    if not totals.sent:
        yield "no command was sent"
