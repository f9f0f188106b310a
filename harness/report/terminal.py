"""The report for a reader at a terminal: what is not well comes by name and with its reason, the rest is counted, a line for each family.

Colours follow the console.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.checks.verdict import NEEDS_A_REASON, CheckResult, RunVerdict, Verdict
from harness.report.certificate import Official
from harness.report.families import family_rank, family_title
from harness.report.findings import Finding
from harness.report.package import Report

STYLES = {
    Verdict.PASS: "green",
    Verdict.DEVIATION: "yellow",
    Verdict.WARNING: "yellow",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.ERROR: "bold magenta",
    Verdict.FAIL: "bold red",
    Verdict.SKIPPED: "dim",
    Verdict.NOT_APPLICABLE: "dim",
}
_RUN_STYLES = {RunVerdict.PASS: "bold green", RunVerdict.PASS_WITH_WARNINGS: "bold yellow", RunVerdict.FAIL: "bold red"}
_PLAIN_WIDTH = 160
_IMAGES_MAX = 3
_NAMES_MAX = 6  # of checks that one reason leaves out; `hil report show --all` names every one
_TOLD_MAX = 4  # events of a finding that are told here; the rest stands in the report


def show(report: Report, console: Console, *, everything: bool = False) -> None:
    """Prints the report: every check by name where `everything` is wanted, else those that need a reason, and counts of the rest."""
    if not console.is_terminal:  # a log has no edge: wrapped lines would only be harder to read and to search
        console.width = max(console.width, _PLAIN_WIDTH)
    if report.checks:
        console.print(_table(report.checks, everything=everything))
    for check in report.not_well:
        console.print(_reason(check, report.finding(check.id)), soft_wrap=not console.is_terminal)
    if remaining := scope(report):
        console.print(remaining, soft_wrap=not console.is_terminal)
    console.print(summary(report), soft_wrap=not console.is_terminal)
    if report.official is not None:
        console.print(official(report.official), soft_wrap=not console.is_terminal)


def _table(checks: Sequence[CheckResult], *, everything: bool) -> Table:
    named = [check for check in checks if everything or check.verdict in NEEDS_A_REASON]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), show_header=bool(named))
    table.add_column("check", overflow="fold")
    table.add_column("requirements", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for family, grouped in groupby(sorted(checks, key=lambda check: family_rank(check.family)), key=lambda check: check.family):
        members = list(grouped)
        table.add_row(Text(family_title(family), style="bold"), "", _counts(members))
        for check in members:
            if check in named:
                verdict = Text(check.verdict.value, style=STYLES[check.verdict])
                table.add_row(Text(f"  {check.title}"), Text(" ".join(check.requirements), style="dim"), verdict)
    return table


def _counts(checks: Sequence[CheckResult]) -> Text:
    """How many checks came to what, the best first."""
    counted = Counter(check.verdict for check in checks)
    parts = [Text(f"{counted[verdict]} {verdict.value}", style=style) for verdict, style in STYLES.items() if counted[verdict]]
    return Text(", ").join(parts)


def _reason(check: CheckResult, finding: Finding | None) -> Text:
    text = Text("\n")
    text.append(check.verdict.value.upper(), style=STYLES[check.verdict])
    text.append(f" {check.id} ({', '.join(check.requirements)})\n  {check.detail}")
    for requirement in finding.requirements if finding else ():
        text.append(f"\n  {requirement.id} {requirement.level}: {requirement.statement} (source {requirement.source})", style="dim")
    for name, lines in (("sent", finding.sent), ("came back", finding.came_back)) if finding else ():
        text.append("".join(f"\n  {name}: {line}" for line in _first(lines, _TOLD_MAX)))
    if check.hint:
        text.append(f"\n  hint: {check.hint}", style="italic")
    if check.evidence:
        text.append(f"\n  history.jsonl: {_lines(check.evidence)}", style="dim")
    if finding and finding.script:
        text.append(f"\n  without hil: bash {finding.script}", style="dim")
    return text


def _first(lines: tuple[str, ...], most: int) -> list[str]:
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return [*lines[:most], *more]


def _lines(numbers: tuple[int, ...], *, most: int = 12) -> str:
    listed = ", ".join(str(number) for number in numbers[:most])
    return f"lines {listed}" + (f" and {len(numbers) - most} more" if len(numbers) > most else "")


def summary(report: Report) -> Text:
    """The closing line: the verdict, how many checks came to what, and the coverage."""
    counted = ", ".join(f"{count} {verdict.value}" for verdict, count in report.counts().items())
    coverage = report.coverage
    text = Text("\nverdict: ")
    text.append(report.verdict.value, style=_RUN_STYLES.get(report.verdict, "bold magenta"))
    text.append(f" · {report.subject.kind} {report.subject.name} · {len(report.checks)} checks: {counted or 'none'}")
    text.append(f"\nrequirements: {len(coverage.covered)} covered, {len(coverage.not_applicable)} not applicable")
    text.append(f", {len(coverage.untested)} untested · {report.run.duration_s:.1f} s · seed {report.run.seed}")
    for policy, outcome in report.updates.items():
        text.append(f"\nfrom a platform whose keys end with {policy}: {outcome}")
    for attempt in report.attempts:
        text.append(f"\nearlier attempt: run {attempt.run} was {attempt.verdict.value}, checks asked again: {len(attempt.checks)}")
    for note in report.notes:
        text.append(f"\n{note}")
    return text


def scope(report: Report) -> Text:
    """What a certificate covers: which images; and what remains open, with what would change that."""
    text = Text()
    for image in report.images[:_IMAGES_MAX]:
        name = f"{image.source} (as {image.name})" if image.source else image.name
        text.append(f"\nimage: {name}, {image.size_bytes} bytes, sha256 {image.sha256}, installed as {image.shown_by} shows")
    if len(report.images) > _IMAGES_MAX:
        text.append(f"\nimages: {len(report.images) - _IMAGES_MAX} more in report.json")
    for rest in report.remaining_scope:
        text.append(f"\nnot shown, {rest.verdict.value}: {', '.join(_first(rest.checks, _NAMES_MAX))}: {rest.reason}", style="dim")
    return text


def official(found: Official) -> Text:
    """Whether the certificate is granted, and else all that is missing."""
    runs = f"{found.runs} run{'s' if found.runs > 1 else ''}"
    if found.is_granted:
        return Text(f"\nofficial certificate: granted after {runs}", style="bold green")
    text = Text(f"\nofficial certificate: refused after {runs}; missing:", style="bold red")
    for problem in found.missing:
        text.append(f"\n  - {problem}", style="default")
    return text
