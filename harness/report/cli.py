"""`hil report`: reads, verifies, compares and follows report packages. Nothing here judges anything again; that is `hil check`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from harness.cli import EXIT_FAIL, EXIT_OK
from harness.errors import ConfigurationError
from harness.history.journal import recorded_history
from harness.outputs import write_file
from harness.report.difference import Change, Difference, difference
from harness.report.edition import redacted
from harness.report.keys import keys_directory, known_keys, signing_key, wanted_fingerprint
from harness.report.package import as_json, read_report
from harness.report.signature import MANIFEST_FILE, verify
from harness.report.terminal import show
from harness.report.writer import write_package

app = typer.Typer(help="Read, verify and compare report packages; follow them over nights.", no_args_is_help=True)

Package = Annotated[Path, typer.Argument(metavar="RUN", help="A report package: its directory, or its report.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Machine output on stdout.")]

_CHANGE_STYLES = {Change.WORSE: "bold red", Change.BETTER: "green", Change.NEW: "cyan", Change.GONE: "yellow", Change.OTHER: "dim"}


@app.command("show", epilog="Example: hil report show reports/RUN --all")
def show_package(
    run: Package,
    everything: Annotated[
        bool, typer.Option("--all", help="Every check by name, also what passed, was skipped or does not apply.")
    ] = False,
    wants_json: AsJson = False,
) -> None:
    """Prints a report: what is not well with its reason, and counts of the rest. The exit status is that of the run."""
    report = read_report(run)
    if wants_json:
        typer.echo(as_json(report), nl=False)
    else:
        show(report, Console(highlight=False), everything=everything)
    raise typer.Exit(report.verdict.exit_status)


@app.command("verify", epilog="Example: hil report verify reports/RUN --key vendor.pem")
def verify_package(
    run: Package,
    key: Annotated[str, typer.Option("--key", help="Who must have signed: a fingerprint, or a file with the public key.")] = "",
    wants_json: AsJson = False,
) -> None:
    """Says whether a package is as it was signed, and by whom. Works offline. Exit status 0 only if a known key signed it."""
    directory = _directory(run)
    known = {wanted_fingerprint(key): "the key that --key names"} if key else known_keys(keys_directory())
    verification = verify(directory, known)
    if wants_json:
        typer.echo(json.dumps({"verified": verification.is_verified, **asdict(verification)}, ensure_ascii=False, indent=1))
    else:
        typer.echo(str(verification))
        for name in verification.unlisted:
            typer.echo(f"note: {name} is no part of the signed package")
    raise typer.Exit(EXIT_OK if verification.is_verified else EXIT_FAIL)


@app.command("diff", epilog="Example: hil report diff reports/MONDAY reports/TUESDAY")
def diff_packages(
    before: Annotated[Path, typer.Argument(metavar="A", help="The earlier package.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The later package.")],
    wants_json: AsJson = False,
) -> None:
    """Says what changed from A to B. Exit status 1 if anything got worse."""
    earlier, later = read_report(before), read_report(after)
    subjects = [f"{report.subject.kind} {report.subject.name}" for report in (earlier, later)]
    if len(set(subjects)) > 1:
        typer.echo(f"note: A is about {subjects[0]}, B about {subjects[1]}", err=True)
    found = difference(earlier, later)
    if wants_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False, indent=1))
    else:
        _print_difference(found, Console(highlight=False))
    raise typer.Exit(EXIT_FAIL if found.is_regression else EXIT_OK)


@app.command("redact", epilog="Example: hil report redact reports/RUN --out for-customers")
def redact_package(
    run: Package,
    out: Annotated[Path, typer.Option("--out", help="Where the redacted package goes: a directory that does not exist yet.")],
) -> None:
    """Writes an edition that may leave the house: no ids, hosts, bodies or payloads; the verdicts stay. Signed like any other."""
    directory = _directory(run)
    if out.exists():
        raise ConfigurationError(str(out), "", "", "exists already; a package is never mixed with another")
    write_package(out, *redacted(read_report(directory), recorded_history(directory)), key=signing_key(), edition="redacted")
    typer.echo(str(out))


@app.command("trend", epilog="Example: hil report trend reports")
def trend_of_packages(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the packages stand, each in a directory of its own.")],
) -> None:
    """Follows packages over nights: writes trend.html and metrics.openmetrics into DIR, and prints their paths."""
    # The charts' libraries are of no use to the other commands.
    from harness.report.trend import METRICS_FILE, TREND_FILE, as_openmetrics, as_trend_page, read_runs

    runs, problems = read_runs(directory)
    for problem in problems:
        typer.echo(f"left out: {problem}", err=True)
    for name, text in ((TREND_FILE, as_trend_page(runs)), (METRICS_FILE, as_openmetrics(runs))):
        write_file("DIR", directory / name, text)
        typer.echo(str(directory / name))


def _directory(run: Path) -> Path:
    directory = run if run.is_dir() else run.parent
    if not (directory / MANIFEST_FILE).is_file():
        raise ConfigurationError(str(run), "", "", f"is no report package: there is no {MANIFEST_FILE}")
    return directory


def _print_difference(found: Difference, console: Console) -> None:
    if found.is_empty:
        console.print("nothing changed")
        return
    console.print(f"verdict: {found.verdicts[0].value} → {found.verdicts[1].value}")
    for change in sorted(found.checks, key=lambda change: list(Change).index(change.change)):
        line = Text(f"{change.change.value:7}", style=_CHANGE_STYLES[change.change])
        line.append(f"{change.id}: {change.words()}", style="default")
        if change.after and change.after.detail and change.change is not Change.BETTER:
            line.append(f"\n       {change.after.detail}", style="dim")
        console.print(line, soft_wrap=not console.is_terminal)
    for word, ids in (("no longer covered", found.uncovered), ("newly covered", found.newly_covered)):
        if ids:
            console.print(f"{word}: {', '.join(ids)}", soft_wrap=not console.is_terminal)
