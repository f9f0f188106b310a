"""What a CI shows beside the code: GitHub's workflow commands, and GitLab's code-quality report.

Source: GitHub, "Workflow commands for GitHub Actions"; GitLab, "Code Quality report format".
"""

import hashlib
import json
import os
from pathlib import Path

from harness.checks.verdict import CheckResult, Verdict
from harness.history.timeline import History
from harness.report.package import REPORT_FILE, Report

CODE_QUALITY_FILE = "gl-code-quality.json"

_COMMANDS = {
    Verdict.FAIL: "error",
    Verdict.ERROR: "error",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.WARNING: "warning",
    Verdict.DEVIATION: "notice",
}
_SEVERITIES = {
    Verdict.FAIL: "critical",
    Verdict.ERROR: "major",
    Verdict.INCONCLUSIVE: "major",
    Verdict.WARNING: "minor",
    Verdict.DEVIATION: "info",
}


def trouble_as_workflow_command(name: str, trouble: str) -> str:
    """The line for a run, a board's say, that ended without a report."""
    return f"::error title={_property(name)}::{_data(trouble)}"


def as_workflow_commands(report: Report) -> list[str]:
    """A line for each check that is not well, the gravest first, as a step of GitHub Actions prints it to annotate its run."""
    return [f"::{_COMMANDS[check.verdict]} title={_property(_title(check))}::{_data(_message(check))}" for check in report.not_well]


def _title(check: CheckResult) -> str:
    return f"{check.verdict.value}: {check.id} ({', '.join(check.requirements)})"


def _message(check: CheckResult) -> str:
    return f"{check.detail}\nhint: {check.hint}" if check.hint else check.detail


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_code_quality(report: Report, history: History) -> str:
    """The text of `gl-code-quality.json`: an entry for each check that is not well, at the target or device file of the run.

    An entry's fingerprint is the same in every run, so that GitLab can tell what is new from what was there before.
    """
    place = {"path": _file_of(history), "lines": {"begin": 1}}
    entries = [
        {
            "description": f"{check.title}: {_message(check)}",
            "check_name": check.id,
            "fingerprint": hashlib.sha256(f"{report.subject.kind}/{report.subject.name}/{check.id}".encode()).hexdigest(),
            "severity": _SEVERITIES[check.verdict],
            "location": place,
        }
        for check in report.checks
        if check.verdict in _SEVERITIES
    ]
    return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"


def _file_of(history: History) -> str:
    """The file that the run was about, as seen from where it was started; the report itself where there is none."""
    named = [members["file"] for members in (history.start.target, history.start.declaration) if "file" in members]
    if not named:
        return REPORT_FILE
    return Path(os.path.relpath(named[0])).as_posix()
