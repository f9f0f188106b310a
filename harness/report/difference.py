"""What changed between two reports: check by check, with a direction."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from harness.checks.verdict import BADNESS, RUN_BADNESS, CheckResult, RunVerdict, Verdict
from harness.report.package import Report


class Change(Enum):
    """In which direction a check, or a requirement's coverage, went."""

    WORSE = "worse"
    BETTER = "better"
    NEW = "new"
    GONE = "gone"
    OTHER = "other"  # neither: one of both is excluded, or the detail alone changed


@dataclass(frozen=True, slots=True)
class CheckChange:
    """One check in both reports; None where a report does not have it."""

    id: str
    change: Change
    before: CheckResult | None
    after: CheckResult | None

    def words(self) -> str:
        """`fail → pass`, with a dash for a missing side."""
        return f"{self.before.verdict.value if self.before else '–'} → {self.after.verdict.value if self.after else '–'}"

    def to_json(self) -> dict[str, Any]:
        """The check as a member of `Difference.to_json`."""
        return {
            "id": self.id,
            "change": self.change.value,
            "before": self.before.verdict.value if self.before else None,
            "after": self.after.verdict.value if self.after else None,
            "detail": self.after.detail if self.after else "",
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed from one report to another. `uncovered` are requirements that were covered and are no longer."""

    verdicts: tuple[RunVerdict, RunVerdict]
    checks: tuple[CheckChange, ...]
    newly_covered: tuple[str, ...]
    uncovered: tuple[str, ...]

    @property
    def is_regression(self) -> bool:
        """Whether the later report is worse somewhere: a check, the run as a whole, or what was looked at."""
        worse_run = RUN_BADNESS.index(self.verdicts[1]) > RUN_BADNESS.index(self.verdicts[0])
        new_trouble = any(change.change is Change.NEW and _is_trouble(change.after) for change in self.checks)
        return worse_run or new_trouble or bool(self.uncovered) or any(change.change is Change.WORSE for change in self.checks)

    @property
    def is_empty(self) -> bool:
        return self.verdicts[0] is self.verdicts[1] and not (self.checks or self.newly_covered or self.uncovered)

    def to_json(self) -> dict[str, Any]:
        """What `hil report diff --json` prints."""
        return {
            "regression": self.is_regression,
            "verdicts": [verdict.value for verdict in self.verdicts],
            "checks": [change.to_json() for change in self.checks],
            "newly_covered": list(self.newly_covered),
            "uncovered": list(self.uncovered),
        }


def difference(before: Report, after: Report) -> Difference:
    """What changed from `before` to `after`."""
    return Difference(
        verdicts=(before.verdict, after.verdict),
        checks=tuple(_changes(before, after)),
        newly_covered=_missing_from(before.coverage.covered, after.coverage.covered),
        uncovered=_missing_from(after.coverage.covered, before.coverage.covered),
    )


def _changes(before: Report, after: Report) -> Iterator[CheckChange]:
    earlier = {check.id: check for check in before.checks}
    later = {check.id: check for check in after.checks}
    for id_ in dict.fromkeys((*earlier, *later)):
        change = _direction(earlier.get(id_), later.get(id_))
        if change is not None:
            yield CheckChange(id_, change, earlier.get(id_), later.get(id_))


def _direction(before: CheckResult | None, after: CheckResult | None) -> Change | None:
    if before is None or after is None:
        return Change.NEW if before is None else Change.GONE
    if before.verdict is after.verdict:
        # The same failure for another reason is a change; the wording of a pass is not.
        return Change.OTHER if _is_trouble(after) and before.detail != after.detail else None
    if before.verdict not in BADNESS or after.verdict not in BADNESS:
        # A check that is no longer asked is neither better nor worse.
        return Change.WORSE if _is_trouble(after) else Change.OTHER
    return Change.WORSE if BADNESS.index(after.verdict) > BADNESS.index(before.verdict) else Change.BETTER


def _is_trouble(check: CheckResult | None) -> bool:
    return check is not None and check.verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE)


def _missing_from(there: tuple[str, ...], here: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(id_ for id_ in here if id_ not in set(there))
