"""How a certification is conducted on a terminal: the plan, progress, the package, the verdict, the exit status."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import typer
from rich.console import Console

from harness.certification import Certification, Outcome, Part, RunOptions
from harness.cli import EXIT_OK, EXIT_VOID
from harness.report.annotations import as_workflow_commands
from harness.report.expectations import read_expectations, weigh
from harness.report.keys import keys_directory, known_keys, signing_key
from harness.report.official import official, rerun_problems
from harness.report.package import Report, as_json, read_report, report_of
from harness.report.rerun import merged
from harness.report.terminal import show
from harness.report.writer import environment, write_package
from harness.runner import Plan
from scenarios.certify.options import CommonOptions
from scenarios.certify.progress import progress_of


def conduct(certify: Callable[[], Awaitable[Outcome | None]], run: RunOptions, options: CommonOptions) -> None:
    """Runs a certification on an event loop of its own, writes the package and ends the command with the verdict's status."""
    with asyncio.Runner() as runner:
        outcome = runner.run(_until_signal(certify))
        if outcome is None:
            return  # Only the plan was asked for.
        # Before the loop is closed, which keeps signals away: an impatient Ctrl-C costs no report.
        finish(outcome, run.out, options)


async def _until_signal(certify: Callable[[], Awaitable[Outcome | None]]) -> Outcome | None:
    """A first Ctrl-C or SIGTERM ends the run early, with a valid partial report; a second one must not spoil it.

    Raises typer.Abort where nothing had been asked yet: then there is nothing to report.
    """
    task = asyncio.ensure_future(certify())

    def end_early() -> None:
        if not task.cancelling():
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end_early)
    try:
        return await task
    except asyncio.CancelledError as error:
        raise typer.Abort from error


def finish(outcome: Outcome, out: Path, options: CommonOptions) -> None:
    """Writes the package, shows the report, and raises the exit status of interfaces.md."""
    report = report_of(outcome.history, outcome.results, outcome.verdict, environment=environment())
    if options.rerun is not None:
        report = merged(report, read_report(options.rerun))
    if options.expect is not None:
        today = report.run.started_at.date()
        weighed = weigh(report.checks, report.verdict, read_expectations(options.expect), today)
        report = replace(report, verdict=weighed.verdict, notes=weighed.notes)
    if options.official:
        report = _as_official(report, outcome, options.rerun)
    write_package(out, report, outcome.history, key=signing_key())
    show(report, Console(stderr=options.json))
    for line in as_workflow_commands(report) if options.annotates_github else ():
        typer.echo(line, err=options.json)
    typer.echo(f"every check by name: hil report show {out} --all", err=options.json)
    typer.echo(f"report: {out}", err=options.json)
    if options.json:
        typer.echo(as_json(report), nl=False)
    is_refused = report.official is not None and not report.official.is_granted
    raise typer.Exit(report.verdict.exit_status or (EXIT_VOID if is_refused else EXIT_OK))


def _as_official(report: Report, outcome: Outcome, rerun: Path | None) -> Report:
    """The report with what it lacks of an official certificate."""
    declaration = outcome.history.start.declaration
    found = official(report, declaration)
    if rerun is not None:
        own = known_keys(keys_directory())
        problems = rerun_problems(report, declaration, read_report(rerun), rerun if rerun.is_dir() else rerun.parent, own)
        found = replace(found, missing=(*found.missing, *problems))
    return replace(report, official=found)


async def run_parts(certification: Certification, parts: tuple[Part, ...], options: CommonOptions) -> Outcome | None:
    """Plans, and runs the plan unless only the plan is wanted."""
    plan = certification.plan(parts)
    if options.plan:
        show_plan(plan)
        return None
    with progress_of(plan, Console(stderr=True)) as ended:
        return await certification.run(parts, plan, on_end=ended)


def show_plan(plan: Plan) -> None:
    """Prints what would be asked, what would not and why, and how long it would take."""
    for check in plan.checks:
        reason = f"  ({check.reason})" if check.reason else ""
        typer.echo(f"{check.status:15} {check.id}{reason}")
    asked = sum(check.status == "planned" for check in plan.checks)
    typer.echo(f"{asked} of {len(plan.checks)} checks, {len(plan.scenarios)} scenarios, about {plan.duration_s:.0f} s")
