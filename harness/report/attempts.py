"""A run again: what was not green is asked anew, the rest is kept, and no attempt is forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.checks.verdict import CheckResult, RunVerdict, Verdict, run_verdict

if TYPE_CHECKING:
    from harness.report.package import Report


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier run of the same plan: its id, its verdict, and what the checks came to that were asked again."""

    run: str
    verdict: RunVerdict
    checks: Mapping[str, Verdict]


def merged(report: "Report", earlier: "Report") -> "Report":
    """The report of a rerun with what it did not ask taken from the earlier one; the verdict is that of all together.

    Evidence of kept checks stands in the earlier package's history, so their line numbers are left out here.
    """
    before = {check.id: check for check in earlier.checks}
    asked_again = {check.id: before[check.id].verdict for check in report.checks if _is_asked(check) and check.id in before}
    checks = tuple(
        check if _is_asked(check) or check.id not in before else _kept(before[check.id], earlier.run.id) for check in report.checks
    )
    attempts = (*earlier.attempts, Attempt(earlier.run.id, earlier.verdict, asked_again))
    verdict = run_verdict(checks, aborted=report.verdict is RunVerdict.ABORTED)
    # The script of a kept finding stands in the earlier package.
    kept = tuple(replace(finding, script="") for finding in earlier.findings if finding.check not in asked_again)
    return replace(report, checks=checks, verdict=verdict, attempts=attempts, findings=(*report.findings, *kept))


def _is_asked(check: CheckResult) -> bool:
    return check.verdict is not Verdict.SKIPPED


def _kept(check: CheckResult, run: str) -> CheckResult:
    return replace(check, detail=f"kept from run {run}: {check.detail}", evidence=(), example=())
