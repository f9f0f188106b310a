"""`report.json`: what a run came to, as data, and its form on disk.

A report is derived from a judged history and nothing else, so judging the same history again gives the same report. The file's members
are fixed in interfaces.md (schema `hil-report/1`); readers must tolerate more.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.checks.device_key_policies import updates_by_key_policy
from harness.checks.verdict import NEEDS_A_REASON, CheckResult, RunVerdict, Verdict
from harness.clock import rfc3339
from harness.errors import ConfigurationError
from harness.history.events import SubjectKind
from harness.history.journal import HISTORY_FILE
from harness.history.timeline import History
from harness.report.attempts import Attempt
from harness.report.certificate import DownloadedImage, Official, Remainder, downloaded_images, remaining_scope
from harness.report.findings import BROKEN, Finding, finding_of
from harness.requirements import CATALOGUE, Requirement, Side

SCHEMA = "hil-report/1"
REPORT_FILE = "report.json"

# Whose requirements a run is about; what of them no check judged is untested.
_SIDES: Mapping[str, frozenset[Side]] = {
    "platform": frozenset({Side.PLATFORM}),
    "device": frozenset({Side.DEVICE}),
    "pair": frozenset({Side.PLATFORM, Side.DEVICE}),
    "broker": frozenset({Side.BROKER}),
}


@dataclass(frozen=True, slots=True)
class Run:
    """Which run. Times are RFC 3339 in UTC; `command` reproduces it."""

    id: str
    started: str
    finished: str
    seed: int
    profile: str
    version: str
    command: str

    @property
    def duration_s(self) -> float:
        return (datetime.fromisoformat(self.finished) - datetime.fromisoformat(self.started)).total_seconds()

    @property
    def started_at(self) -> datetime:
        return datetime.fromisoformat(self.started).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who was judged."""

    kind: SubjectKind
    name: str
    hardening: str = "should"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Requirement ids: judged after a stimulus; ruled out, with the reason; and neither."""

    covered: tuple[str, ...] = ()
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    untested: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A run's verdict with everything that it rests on, except the history."""

    run: Run
    subject: Subject
    verdict: RunVerdict
    checks: tuple[CheckResult, ...]
    coverage: Coverage
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what was expected to fail, and what of that is no longer true
    attempts: tuple[Attempt, ...] = ()  # earlier runs of the same plan, oldest first
    findings: tuple[Finding, ...] = ()  # one for each check that found something broken
    updates: Mapping[str, str] = field(default_factory=dict)  # of a device: what uses up a key (KEY-08) -> what an update came to
    images: tuple[DownloadedImage, ...] = ()  # what a device was seen to download and install
    official: Official | None = None  # of a run with --official
    schema: str = SCHEMA

    def with_verdict(self, *verdicts: Verdict) -> tuple[CheckResult, ...]:
        """The checks that came to one of `verdicts`, in the report's order."""
        return tuple(check for check in self.checks if check.verdict in verdicts)

    @property
    def not_well(self) -> tuple[CheckResult, ...]:
        """The checks that a reader is told by name and with their reason, the gravest first."""
        return tuple(check for verdict in NEEDS_A_REASON for check in self.with_verdict(verdict))

    def finding(self, check_id: str) -> Finding | None:
        """What the check found, if it found something broken."""
        return next((finding for finding in self.findings if finding.check == check_id), None)

    @property
    def remaining_scope(self) -> tuple[Remainder, ...]:
        """What this run could not show, and what would change that."""
        return remaining_scope(self.checks)

    def counts(self) -> dict[Verdict, int]:
        """How many checks came to each verdict; those of no check are left out."""
        found = {verdict: len(self.with_verdict(verdict)) for verdict in Verdict}
        return {verdict: count for verdict, count in found.items() if count}


def report_of(
    history: History, results: Iterable[CheckResult], verdict: RunVerdict, *, environment: Mapping[str, str] | None = None
) -> Report:
    """The report of a judged history. Raises JournalError where the history does not start with its run."""
    start, checks = history.start, tuple(results)
    return Report(
        run=Run(
            id=start.run_id,
            started=rfc3339(history.events[0].utc_s, fraction_digits=3),
            finished=rfc3339(history.events[-1].utc_s, fraction_digits=3),
            seed=start.seed,
            profile=start.profile,
            version=start.version,
            command=start.command,
        ),
        subject=Subject(start.subject_kind, start.subject_name, start.hardening),
        verdict=verdict,
        checks=checks,
        coverage=coverage_of(checks, start.subject_kind),
        environment=environment or {},
        findings=tuple(finding_of(check, history) for check in checks if check.verdict in BROKEN),
        updates=updates_by_key_policy(history),
        images=downloaded_images(history),
    )


def coverage_of(results: Iterable[CheckResult], subject_kind: SubjectKind) -> Coverage:
    """What the results say of each requirement of the subject's sides, and of any other that they cite.

    A requirement is covered when one of its checks was judged; a mere citation does not cover. It is not applicable when all of its
    checks are, for the reason of the first, or when no check can judge it from outside.
    """
    by_requirement: dict[str, list[CheckResult]] = {}
    for result in results:
        for requirement in result.requirements:
            by_requirement.setdefault(requirement, []).append(result)
    covered = {id_ for id_, judges in by_requirement.items() if any(judge.verdict.is_judged for judge in judges)}
    ruled_out = {
        id_: judges[0].detail for id_, judges in by_requirement.items() if all(judge.verdict is Verdict.NOT_APPLICABLE for judge in judges)
    }
    ruled_out |= {id_: requirement.unjudged for id_, requirement in CATALOGUE.items() if requirement.unjudged and id_ not in covered}
    concerned = {id_ for id_, requirement in CATALOGUE.items() if _concerns(requirement, subject_kind)} | set(by_requirement)
    in_order = [id_ for id_ in CATALOGUE if id_ in concerned] + sorted(concerned - set(CATALOGUE))
    return Coverage(
        covered=tuple(id_ for id_ in in_order if id_ in covered),
        not_applicable={id_: ruled_out[id_] for id_ in in_order if id_ in ruled_out},
        untested=tuple(id_ for id_ in in_order if id_ not in covered and id_ not in ruled_out),
    )


def _concerns(requirement: Requirement, subject_kind: SubjectKind) -> bool:
    return not _SIDES[subject_kind].isdisjoint(requirement.sides)


_ADAPTER = TypeAdapter(Report)
_SCOPE_ADAPTER = TypeAdapter(tuple[Remainder, ...])


def as_json(report: Report) -> str:
    """The text of `report.json`: the report as plain JSON members, the schema first."""
    members = _ADAPTER.dump_python(report, mode="json")
    scope = _SCOPE_ADAPTER.dump_python(report.remaining_scope, mode="json")
    whole = {"schema": members.pop("schema"), **members, "remaining_scope": scope}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def read_report(place: Path) -> Report:
    """The report at `place`, a package's directory or its `report.json`.

    Raises ConfigurationError, naming the file, where there is none, or none of this schema.
    """
    path = place / REPORT_FILE if place.is_dir() else place
    try:
        members = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        way_out = "; the run was interrupted: `hil check` judges its history" if (place / HISTORY_FILE).is_file() else ""
        raise ConfigurationError(str(path), "", "", f"cannot be read: {error.strerror or error}{way_out}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(str(path), "", "", f"is no JSON: {error}") from error
    schema = members.get("schema") if isinstance(members, dict) else None
    if schema != SCHEMA:
        raise ConfigurationError(str(path), "", "schema", f"is {schema!r}, this version reads {SCHEMA!r}")
    try:
        return _ADAPTER.validate_python(members)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(str(path), "", where, first["msg"]) from error
