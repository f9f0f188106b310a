"""`report.html`: the whole report as one page that opens from a file, with no network and no library."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.checks.verdict import NEEDS_A_REASON, CheckResult
from harness.history.journal import line_of
from harness.history.timeline import History
from harness.report.families import family_rank, family_title
from harness.report.findings import Finding
from harness.report.package import Report
from harness.report.picture import picture
from harness.report.wording import words
from harness.requirements import CATALOGUE, SOURCES, Requirement

HTML_FILE = "report.html"

_BROKER = "BRK"
_EVIDENCE_OF_A_PASS_MAX = 8
_RECORD_CHARS = 4_000
_CODE = re.compile("`([^`]+)`")
_FILE_CHARS = 20_000  # a target file may name ten thousand devices


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One line of the history as the page shows it. `record` is the journal's line, cut where it is very long."""

    line: int
    after_s: float
    scope: str
    words: str
    record: str


@dataclass(frozen=True, slots=True)
class ShownCheck:
    """A check with all that a reader needs to follow its verdict; `told` is there where it found something broken."""

    check: CheckResult
    requirements: tuple[Requirement, ...]
    evidence: tuple[EvidenceLine, ...]
    picture: Markup
    reproduce: str
    told: Finding | None


@dataclass(frozen=True, slots=True)
class Family:
    """The checks of one requirement family."""

    name: str
    checks: tuple[ShownCheck, ...]

    @property
    def broken(self) -> int:
        return sum(shown.check.verdict in NEEDS_A_REASON for shown in self.checks)


def as_html(report: Report, history: History, *, edition: str = "full") -> str:
    """The page. Pure: the same report and history give the same bytes."""
    shown = {check.id: _shown_check(check, report, history) for check in report.checks}
    return (
        templates()
        .get_template("report.html")
        .render(
            report=report,
            edition=edition,
            counts=report.counts(),
            findings=[shown[check.id] for check in report.not_well],
            families=families(shown.values()),
            broker=[each for each in shown.values() if each.check.family == _BROKER],
            catalogue=CATALOGUE,
            untested=[CATALOGUE[id_] for id_ in report.coverage.untested if id_ in CATALOGUE],
            declaration=_pretty(history.start.declaration),
            target=_pretty(history.start.target),
            sources=SOURCES,
        )
    )


def _shown_check(check: CheckResult, report: Report, history: History) -> ShownCheck:
    """The check with its requirements' texts, its evidence, and a picture where it is not well."""
    is_finding = check.verdict in NEEDS_A_REASON
    shown = check.evidence if is_finding else check.evidence[:_EVIDENCE_OF_A_PASS_MAX]
    return ShownCheck(
        check=check,
        requirements=tuple(CATALOGUE[id_] for id_ in check.requirements if id_ in CATALOGUE),
        evidence=tuple(_evidence(history, shown, with_record=is_finding)),
        picture=Markup(picture(history, check.evidence)) if is_finding else Markup(),
        reproduce=_reproduction(report, check),
        told=report.finding(check.id),
    )


def families(found: Iterable[ShownCheck]) -> list[Family]:
    """The checks by family, in the catalogue's order."""
    ranked = sorted(found, key=lambda shown: family_rank(shown.check.family))
    return [Family(family_title(name), tuple(members)) for name, members in groupby(ranked, key=lambda shown: shown.check.family)]


def _evidence(history: History, lines: Iterable[int], *, with_record: bool) -> Iterable[EvidenceLine]:
    for line in lines:
        if not 0 < line <= len(history.events):
            continue
        event = history.events[line - 1]
        record = line_of(event)[:_RECORD_CHARS] if with_record else ""
        yield EvidenceLine(line, event.at_s - history.events[0].at_s, event.scope, words(event.fact), record)


def _reproduction(report: Report, check: CheckResult) -> str:
    """The command that asks this check alone again, with the same chance, into a directory of its own."""
    words = _without(shlex.split(report.run.command), {"--out": 2, "--only": 2, "--skip": 2, "--rerun": 2, "--budget": 2, "--official": 1})
    seed = [] if "--seed" in words else ["--seed", str(report.run.seed)]
    return shlex.join([*words, "--only", check.id, *seed])


def _without(words: list[str], options: Mapping[str, int]) -> list[str]:
    """A command without these options; the number is how many words one takes, its value included."""
    kept: list[str] = []
    skipped_until = 0
    for index, word in enumerate(words):
        name, _, value = word.partition("=")
        if name in options:
            skipped_until = index + (1 if value else options[name])
        if index >= skipped_until:
            kept.append(word)
    return kept


def _pretty(members: dict[str, Any]) -> str:
    text = json.dumps(members, indent=2, ensure_ascii=False) if members else ""
    return text if len(text) <= _FILE_CHARS else text[:_FILE_CHARS] + "\n… (the whole of it is the first line of history.jsonl)"


@cache
def templates() -> Environment:
    """The pages' templates."""
    environment = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    return environment


def _coded(text: str) -> Markup:
    """A text of the catalogue's, what stands between backticks set as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
