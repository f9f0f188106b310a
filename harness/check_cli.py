"""`hil check RUN`: judges a recorded history again, with the checks of this version."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.certification import judged
from harness.history.journal import recorded_history
from harness.report.package import as_json, report_of
from harness.report.terminal import show

app = typer.Typer()


@app.command(epilog="Example: hil check reports/RUN")
def check(
    run: Annotated[Path, typer.Argument(help="A report package, or its history.jsonl.")],
    json: Annotated[bool, typer.Option("--json", help="Print report.json on standard output, everything else on standard error.")] = False,
) -> None:
    """Judge a recorded history again; nothing is written."""
    history = recorded_history(run)
    outcome = judged(history)
    report = report_of(history, outcome.results, outcome.verdict)
    show(report, Console(stderr=json))
    if json:
        typer.echo(as_json(report), nl=False)
    raise typer.Exit(outcome.verdict.exit_status)
