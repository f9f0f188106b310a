"""The eight verdicts of a check, and how several become one. Source: interfaces.md, "Verdict of a check"."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """From best to worst; the last two exclude a check from judging at all."""

    PASS = "pass"
    DEVIATION = "deviation"
    WARNING = "warning"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    FAIL = "fail"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not-applicable"

    @property
    def is_judged(self) -> bool:
        """Whether the check saw at least one stimulus and its outcome: only then does it cover its requirements."""
        return self in (Verdict.PASS, Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION)


BADNESS = (Verdict.PASS, Verdict.DEVIATION, Verdict.WARNING, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL)
"""The verdicts that say something of their subject or of the run, the best first."""

NEEDS_A_REASON = (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.WARNING, Verdict.DEVIATION)
"""What a reader is told by name and with its reason, the gravest first."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of them; no verdict at all is INCONCLUSIVE. Excluded checks do not belong in here."""
    return max(verdicts, key=BADNESS.index, default=Verdict.INCONCLUSIVE)


class RunVerdict(Enum):
    """The words of `report.json` for a run as a whole."""

    PASS = "pass"
    PASS_WITH_WARNINGS = "pass-with-warnings"
    FAIL = "fail"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"
    ABORTED = "aborted"

    @property
    def exit_status(self) -> int:
        """Source: interfaces.md, "Exit status"."""
        return {RunVerdict.PASS: 0, RunVerdict.PASS_WITH_WARNINGS: 0, RunVerdict.FAIL: 1}.get(self, 3)


RUN_BADNESS = (
    RunVerdict.PASS,
    RunVerdict.PASS_WITH_WARNINGS,
    RunVerdict.INCONCLUSIVE,
    RunVerdict.ERROR,
    RunVerdict.ABORTED,
    RunVerdict.FAIL,
)
"""From best to worst, as `run_verdict` decides: a FAIL is told even where not everything was asked."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check's verdict with its reasons.

    `evidence` holds line numbers of `history.jsonl`, from 1; `example` those of the worst finding alone.
    """

    id: str
    title: str
    requirements: tuple[str, ...]
    level: str  # MUST, SHOULD or READ: the strictest of its requirements
    verdict: Verdict
    detail: str
    hint: str = ""
    evidence: tuple[int, ...] = ()
    duration_s: float = 0.0
    example: tuple[int, ...] = ()

    @property
    def family(self) -> str:
        """The family of its first requirement: `CMD`, `DEV`, …, `MQT` for a statement of the standard; "" where it cites none."""
        return self.requirements[0][:3] if self.requirements else ""


def run_verdict(results: Iterable[CheckResult], *, aborted: bool = False) -> RunVerdict:
    """The run's verdict: the worst wins in the order fail, error, inconclusive; nothing judged is never green.

    An inconclusive check makes the run inconclusive only where it stands for a MUST.
    """
    judged = [result for result in results if result.verdict in BADNESS]
    verdicts = {result.verdict for result in judged}
    if Verdict.FAIL in verdicts:
        return RunVerdict.FAIL
    if aborted:
        return RunVerdict.ABORTED
    if Verdict.ERROR in verdicts:
        return RunVerdict.ERROR
    must_unseen = any(result.verdict is Verdict.INCONCLUSIVE and result.level == "MUST" for result in judged)
    if must_unseen or not any(verdict.is_judged for verdict in verdicts):
        return RunVerdict.INCONCLUSIVE
    if verdicts & {Verdict.WARNING, Verdict.DEVIATION}:
        return RunVerdict.PASS_WITH_WARNINGS
    return RunVerdict.PASS
