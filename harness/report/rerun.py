"""A run again: what was not green is asked anew, the rest is kept, and no attempt is forgotten."""

from dataclasses import replace

from harness.checks.verdict import CheckResult, RunVerdict, Verdict, run_verdict
from harness.report.attempts import Attempt
from harness.report.package import Report, coverage_of

_KEPT = "kept from run"


def merged(report: Report, earlier: Report) -> Report:
    """The report of a rerun with what it did not ask taken from the earlier one; the verdict is that of all together.

    Evidence of kept checks stands in the earlier package's history, so their line numbers are left out here.
    """
    before = {check.id: check for check in earlier.checks}
    asked_again = {check.id: before[check.id].verdict for check in report.checks if _is_asked(check) and check.id in before}
    checks = tuple(
        check if _is_asked(check) or check.id not in before else _kept(before[check.id], earlier.run.id) for check in report.checks
    )
    # The script of a kept finding stands in the earlier package.
    kept = tuple(replace(finding, script="") for finding in earlier.findings if finding.check not in asked_again)
    return replace(
        report,
        checks=checks,
        verdict=run_verdict(checks, aborted=report.verdict is RunVerdict.ABORTED),
        coverage=coverage_of(checks, report.subject.kind),
        attempts=(*earlier.attempts, Attempt(earlier.run.id, earlier.verdict, asked_again)),
        findings=(*report.findings, *kept),
        images=report.images or earlier.images,
        updates={**earlier.updates, **report.updates},
    )


def _is_asked(check: CheckResult) -> bool:
    return check.verdict is not Verdict.SKIPPED


def _kept(check: CheckResult, run: str) -> CheckResult:
    detail = check.detail if check.detail.startswith(_KEPT) else f"{_KEPT} {run}: {check.detail}"
    return replace(check, detail=detail, evidence=(), example=())
