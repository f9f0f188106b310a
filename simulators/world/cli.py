"""`hil simulate`: the whole system in virtual time, seed by seed.

Exit status: 0 nothing was found, 1 something was (with `--hunt`: a planted race was missed), 2 usage, 130 interrupted with nothing found
by then. Machine output goes to stdout, everything else to stderr.
"""

import contextlib
import json
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

from harness.cli import EXIT_FAIL, EXIT_INTERRUPTED, EXIT_OK
from harness.clock import SystemClock
from harness.errors import OptionError
from harness.outputs import made_directory
from simulators.world.campaign import (
    Campaign,
    SeedResult,
    finding_document,
    hunt,
    replay_command,
    run_seeds,
    smallest_failure,
    write_finding,
)
from simulators.world.plan import kinds_of, plan_to_json, read_plan
from simulators.world.planted import PLANTED
from simulators.world.run import REFERENCE, Outcome, simulate

_VERDICTS = {EXIT_OK: "pass", EXIT_FAIL: "fail", EXIT_INTERRUPTED: "aborted"}
_SHOWN_FAILURES_MAX = 5
_PLAIN_LINE_EVERY = 100

app = typer.Typer()
_err = Console(stderr=True, highlight=False, soft_wrap=True)


@app.command(epilog="Examples: hil simulate --seeds 1000 --jobs 2; hil simulate --replay 17 --json")
def simulate_command(
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds to run.")] = 100,
    first: Annotated[int, typer.Option("--seed", min=0, help="The first seed.")] = 0,
    devices: Annotated[int, typer.Option(min=1, help="Devices in each world.")] = 3,
    minutes: Annotated[float, typer.Option(min=0.1, help="How long commands and faults go on, in virtual time.")] = 2.0,
    faults: Annotated[str, typer.Option(help="all, none, kinds with commas between, or the file of a plan or finding.")] = "all",
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    replay: Annotated[int | None, typer.Option(min=0, help="Run this one seed, with all details.")] = None,
    personality: Annotated[str, typer.Option(help="Which system: `reference`, or one that is wrong by design.")] = REFERENCE.name,
    hunts: Annotated[bool, typer.Option("--hunt", help="Measure on how many seeds each wrong system is found.")] = False,
    list_personalities: Annotated[bool, typer.Option("--list-personalities", help="Print the wrong systems.")] = False,
    out: Annotated[Path, typer.Option(help="Where findings are written.")] = Path("reports/simulation"),
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
) -> None:
    """Simulate platform, broker and devices in virtual time; one seed decides everything."""
    if list_personalities:
        for kind in (REFERENCE, *PLANTED.values()):
            typer.echo(f"{kind.name}: {kind.story}")
        return
    campaign = _campaign(devices, minutes, faults, personality)
    # Like Ctrl-C: else the worker processes would outlive us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if replay is not None:
        status = _replay(campaign, replay, as_json)
    elif hunts:
        status = _hunt(campaign, seeds, jobs, as_json)
    else:
        status = _search(campaign, range(first, first + seeds), jobs, out, as_json)
    raise typer.Exit(status)


def _campaign(devices: int, minutes: float, faults: str, personality: str) -> Campaign:
    if personality != REFERENCE.name and personality not in PLANTED:
        known = ", ".join((REFERENCE.name, *PLANTED))
        raise OptionError("--personality", f"{personality!r} is unknown; there is {known}")
    campaign = Campaign(devices=devices, minutes=minutes, personality=personality)
    if Path(faults).suffix == ".json":
        return replace(campaign, plan=read_plan(Path(faults)))
    return replace(campaign, kinds=kinds_of(faults))


# --- one seed


def _replay(campaign: Campaign, seed: int, as_json: bool) -> int:
    outcome = simulate(campaign.plan_of(seed), campaign.kind)
    if as_json:
        document = finding_document(campaign, outcome, "")
        del document["replay"]
        typer.echo(json.dumps({**document, "verdict": outcome.verdict, "virtual_s": outcome.virtual_s, "steps": outcome.steps}))
    else:
        _tell(outcome)
        typer.echo(f"seed {seed}: {outcome.verdict}, digest {outcome.digest}")
    return EXIT_FAIL if outcome.findings else EXIT_OK


def _tell(outcome: Outcome) -> None:
    """What happened, line by line, and what of it must not."""
    for line in outcome.record.lines():
        facts = ", ".join(f"{name} {value}" for name, value in line.items() if name not in ("at_s", "what") and value not in ("", None))
        _err.print(f"{line['at_s']:>12.3f} s  {line['what']}: {facts}", markup=False)
    for finding in outcome.findings:
        _err.print(f"FAIL {finding.requirement} {finding.rule}: {finding.detail}", style="red", markup=False)


# --- many seeds


def _search(campaign: Campaign, seeds: range, jobs: int, out: Path, as_json: bool) -> int:
    """Runs the seeds and tells of those that fail; returns the exit status. Ctrl-C ends it early, with what was found by then."""
    made_directory("--out", out)  # Whoever waited for a finding must be able to keep it.
    clock = SystemClock()
    begun_s = clock.monotonic_s()
    run: list[SeedResult] = []
    with contextlib.suppress(KeyboardInterrupt):
        for result in _with_progress(run_seeds(campaign, seeds, jobs=jobs), len(seeds), as_json):
            run.append(result)
    took_s = clock.monotonic_s() - begun_s
    failures = [result for result in run if result.is_failure]
    status = EXIT_FAIL if failures else EXIT_OK if len(run) == len(seeds) else EXIT_INTERRUPTED
    summary = {
        "seeds": len(run),
        "first_seed": seeds.start,
        "personality": campaign.personality,
        "verdict": _VERDICTS[status],
        "failed_seeds": [result.seed for result in failures],
        "findings": [_report(campaign, result, out) for result in failures[:_SHOWN_FAILURES_MAX]],
        "virtual_hours": round(sum(result.virtual_s for result in run) / 3600, 3),
        "seeds_per_s": round(len(run) / took_s, 2),
    }
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        found = f"{len(failures)} failed, first of them {failures[0].seed}" if failures else "nothing found"
        cut_short = "" if len(run) == len(seeds) else f" (interrupted, {len(seeds)} were wanted)"
        typer.echo(f"{len(run)} seeds, {summary['virtual_hours']} virtual hours in {took_s:.1f} s: {found}{cut_short}")
    return status


def _report(campaign: Campaign, result: SeedResult, out: Path) -> dict[str, Any]:
    """Makes a failure small, writes it down, says how to replay it."""
    outcome = smallest_failure(campaign, result.seed)
    path = write_finding(campaign, outcome, out)
    command = replay_command(campaign, result.seed, str(path))
    _err.print(f"seed {result.seed} fails; with {len(outcome.plan.faults)} faults still:", style="bold red")
    for finding in outcome.findings[:_SHOWN_FAILURES_MAX]:
        _err.print(f"  {finding.requirement} {finding.rule}: {finding.detail}", markup=False)
    for fault in outcome.plan.faults:
        _err.print(f"  fault: {json.dumps({**asdict(fault), 'kind': fault.kind.value})}", markup=False)
    _err.print(f"  history: {path}\n  replay: {command}", markup=False)
    members = plan_to_json(outcome.plan)
    return {"seed": result.seed, "rules": list(result.rules), "plan": members, "file": str(path), "replay": command}


def _with_progress(results: Iterable[SeedResult], total: int, quiet: bool) -> Iterator[SeedResult]:
    """A bar on a terminal, a line now and then elsewhere."""
    if _err.is_terminal and not quiet:
        yield from track(results, "simulating", total=total, console=_err)
        return
    for number, result in enumerate(results, 1):
        if number % _PLAIN_LINE_EVERY == 0 and sys.stderr is not None:
            _err.print(f"{number} of {total} seeds")
        yield result


# --- wrong systems


def _hunt(campaign: Campaign, seeds: int, jobs: int, as_json: bool) -> int:
    def progress(name: str, result: SeedResult) -> None:
        if result.seed + 1 == seeds:
            _err.print(f"{name}: done")

    results = hunt(seeds, campaign=campaign, jobs=jobs, progress=progress)
    rows = {name: _hits(name, items) for name, items in results.items()}
    if as_json:
        typer.echo(json.dumps({"seeds": seeds, "found": rows}))
    else:
        for name, hits in rows.items():
            first = f", first on seed {hits[0]}" if hits else ""
            typer.echo(f"{name}: found on {len(hits)} of {seeds} seeds ({100 * len(hits) / seeds:.1f} %){first}")
    return EXIT_OK if all(rows.values()) else EXIT_FAIL


def _hits(name: str, results: list[SeedResult]) -> list[int]:
    """Seeds on which one of the rules that must catch this system did."""
    return [result.seed for result in results if set(result.rules) & set(PLANTED[name].finds)]
