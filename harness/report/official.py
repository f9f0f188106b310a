"""`--official`: what a certificate needs that others rely on, and the list of what is missing.

The plan is the profile's whole plan; every MUST that applies has passed; the image that was downloaded is named by its hash; the package is
signed and holds nothing else. A rerun belongs to the certificate: it asks again what was not green, of the same device under the same
declaration, and is counted.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.checks.verdict import CheckResult, RunVerdict, Verdict
from harness.errors import OptionError
from harness.history.journal import recorded_history
from harness.report.certificate import Official
from harness.report.package import Report
from harness.report.signature import verify
from harness.wire.commands import DOWNLOADS

_EXCLUDED_OPTIONS = "an official run asks everything that applies, and excuses nothing"


def refuse_options(given: Mapping[str, bool]) -> None:
    """Raises ConfigurationError where an option was given that makes another plan."""
    for option, is_given in given.items():
        if is_given:
            raise OptionError("--official", f"{option} does not go with it: {_EXCLUDED_OPTIONS}")


def official(report: Report, declaration: Mapping[str, Any]) -> Official:
    """What a finished run comes to."""
    return Official(len(report.attempts) + 1, tuple(_missing(report, declaration)))


def _missing(report: Report, declaration: Mapping[str, Any]) -> Iterator[str]:
    if report.verdict is RunVerdict.ABORTED:
        yield "the run was aborted"
    for check in report.checks:
        if check.level == "MUST" and (problem := _problem(check)):
            yield f"{check.id} ({', '.join(check.requirements)}) {problem}"
    if report.verdict not in (RunVerdict.PASS, RunVerdict.PASS_WITH_WARNINGS, RunVerdict.ABORTED):
        yield f"the run's verdict is {report.verdict.value}"
    claims = declaration.get("declares", {}).get("commands", ())
    if any(name in claims for name in DOWNLOADS) and not report.images:
        yield "no image was seen downloaded and installed: its sha256 has no place in the certificate"


def _problem(check: CheckResult) -> str:
    """Why a check of a MUST does not count; a warning is about a SHOULD that it judges besides."""
    if check.verdict in (Verdict.FAIL, Verdict.ERROR, Verdict.INCONCLUSIVE):
        return f"is {check.verdict.value}: {check.detail}"
    return f"was not asked: {check.detail}" if check.verdict is Verdict.SKIPPED else ""


def rerun_problems(report: Report, declaration: Mapping[str, Any], earlier: Report, directory: Path, own: Mapping[str, str]) -> list[str]:
    """Why an earlier package is no attempt at the same certificate. `own` holds the keys of this bench.

    Raises ConfigurationError where its history cannot be read.
    """
    about = f"the earlier attempt {earlier.run.id}"
    problems = [] if earlier.official is not None else [f"{about} was no official run"]
    if not (verification := verify(directory, own)).is_verified:
        problems.append(f"{about} is {verification}")
    if _asked(earlier) != _asked(report) or recorded_history(directory).start.declaration != declaration:
        problems.append(f"{about} asked another device, under another declaration or profile, or with another version of hil")
    return problems


def _asked(report: Report) -> tuple[object, ...]:
    """Whom a run asked, and how."""
    return report.subject, report.run.profile, report.run.version
