"""Writes the package: every form of one report, the history beside it, and the manifest over all."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.history.journal import HISTORY_FILE, line_of
from harness.history.timeline import History
from harness.report.annotations import CODE_QUALITY_FILE, as_code_quality
from harness.report.capture import CAPTURE_FILE, as_capture
from harness.report.html import HTML_FILE, as_html
from harness.report.junit import JUNIT_FILE, as_junit
from harness.report.package import REPORT_FILE, Report, as_json
from harness.report.shell_script import shell_script
from harness.report.signature import sign, write_manifest

_LIBRARIES = ("aiohttp", "amqtt", "cryptography", "pydantic", "uvloop")


def write_package(directory: Path, report: Report, history: History, *, key: Ed25519PrivateKey | None, edition: str = "full") -> None:
    """Writes all files of a package into `directory`, which it makes if needed; signed where there is a `key`.

    A history that the run has already written there is left as it is: it is what happened.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / HISTORY_FILE).exists():
        _write(directory / HISTORY_FILE, "".join(f"{line_of(event)}\n" for event in history.events))
    _write(directory / REPORT_FILE, as_json(report))
    _write(directory / JUNIT_FILE, as_junit(report))
    _write(directory / CODE_QUALITY_FILE, as_code_quality(report, history))
    _write(directory / HTML_FILE, as_html(report, history, edition=edition))
    _write(directory / CAPTURE_FILE, as_capture(history))
    _write_scripts(directory, report, history)
    write_manifest(directory, {"run": report.run.id, "verdict": report.verdict.value, "edition": edition})
    if key is not None:
        sign(directory, key)


def _write_scripts(directory: Path, report: Report, history: History) -> None:
    """For each finding that says so, the script that shows it again without hil."""
    checks = {check.id: check for check in report.checks}
    for finding in report.findings:
        script = shell_script(checks[finding.check], history) if finding.script else None
        if script is not None:
            path = directory / finding.script
            path.parent.mkdir(exist_ok=True)
            _write(path, script)
            path.chmod(0o755)


def environment() -> Mapping[str, str]:
    """On what this process runs: what a reader needs to know when a run on another machine came out differently."""
    return {
        "operating system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cores": str(os.cpu_count()),
        **{name: installed for name in _LIBRARIES if (installed := _version(name))},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _write(path: Path, content: str | bytes) -> None:
    """Replaces the file as a whole: a reader never sees half of it, and a kill leaves the old one."""
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode())
    beside.replace(path)
