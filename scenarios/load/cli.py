"""`hil load`: the Locust scenarios, in one process or many, ending in the ledger and an honest exit status."""

import contextlib
import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from harness.bench.target import read_target
from harness.cli import EXIT_OK, EXIT_VOID
from harness.clock import SystemClock
from harness.errors import BenchError, OptionError
from harness.outputs import made_directory
from scenarios.durations import duration_s
from scenarios.load.launcher import Launch, Role, ensure_locust, log_tail, run
from scenarios.load.outcome import OUTCOME_FILE
from scenarios.load.plan import SCENARIOS, LoadPlan, check
from scenarios.load.shapes import SHAPES, STEADY
from scenarios.load.thresholds import read_thresholds
from simulators.fleet.capacity import ensure_open_files
from simulators.fleet.view import ledger_lines, print_lines, run_directory
from simulators.platform.process import PlatformProcess

RAMP_S = 8.0
STARTS_PER_S_MIN = 20.0
STARTS_PER_S_MAX = 100.0
"""Of one worker; Locust's own advice."""

SPARE_DEVICES = 50
"""More devices than users for a platform of our own: workers get equal parts, users may not be dealt equally."""

_LOAD = "Load"
_PROCESSES = "Processes and machines"
_OUTPUT = "Verdict and output"

app = typer.Typer()


@app.command(epilog="Example: hil load mixed --users 1000 --workers 2 --run-time 5m --thresholds limits.toml")
def load(
    scenario: Annotated[str, typer.Argument(help=f"One of {', '.join(SCENARIOS)}.")] = "mixed",
    target: Annotated[Path | None, typer.Option(help="The target file; without it a reference platform is started for the run.")] = None,
    users: Annotated[int, typer.Option(min=1, help="How many devices.", rich_help_panel=_LOAD)] = 100,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Devices started a second; without it all within some seconds.", rich_help_panel=_LOAD)
    ] = None,
    commands_per_s: Annotated[
        float | None, typer.Option("--command-rate", min=0.01, help="Commands a second, of all operators.", rich_help_panel=_LOAD)
    ] = None,
    operators: Annotated[
        int, typer.Option(min=1, help="How many send commands; rounded up to equal numbers for all workers.", rich_help_panel=_LOAD)
    ] = 8,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes that play devices; 1 is one process without a master.", rich_help_panel=_PROCESSES)
    ] = 1,
    run_time: Annotated[
        str, typer.Option(help="As 90, 90s, 15m or 1h30m; 0 is until Ctrl-C. Default: the shape's own.", rich_help_panel=_LOAD)
    ] = "",
    shape: Annotated[str, typer.Option(help=f"How the load changes: {', '.join(SHAPES)}.", rich_help_panel=_LOAD)] = STEADY,
    mix: Annotated[
        str, typer.Option(help="Behaviours and personalities by weight, instead of the scenario's own.", rich_help_panel=_LOAD)
    ] = "",
    personality: Annotated[str, typer.Option(help="All devices have this personality, as `delivers-twice`.", rich_help_panel=_LOAD)] = "",
    thresholds: Annotated[Path | None, typer.Option(help="A TOML file of limits that make the run fail.", rich_help_panel=_OUTPUT)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where ledger.json, load.json and logs go (default: reports/load-<time>).", rich_help_panel=_OUTPUT)
    ] = None,
    settle: Annotated[
        float, typer.Option(min=0, help="Wait at most so many seconds at the end for what is on its way.", rich_help_panel=_LOAD)
    ] = 60.0,
    keep_alive: Annotated[int, typer.Option(min=0, max=65_535, help="Keep-alive in seconds.", rich_help_panel=_LOAD)] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Which device behaves how; 0: drawn and said.", rich_help_panel=_LOAD)] = 0,
    master: Annotated[bool, typer.Option("--master", help="Only lead; --workers come from elsewhere.", rich_help_panel=_PROCESSES)] = False,
    worker: Annotated[
        bool, typer.Option("--worker", help="Only work for the master at --master-host.", rich_help_panel=_PROCESSES)
    ] = False,
    master_host: Annotated[str, typer.Option(help="Where the master is.", rich_help_panel=_PROCESSES)] = "127.0.0.1",
    master_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The master's port; 0: 5557, or any where all are here.", rich_help_panel=_PROCESSES)
    ] = 0,
    wait: Annotated[
        float, typer.Option(min=1, help="Master and workers wait at most so many seconds for each other.", rich_help_panel=_PROCESSES)
    ] = 30.0,
    web_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Locust's web page on this port, instead of headless.", rich_help_panel=_PROCESSES)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The outcome as JSON on stdout.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """Load a platform with devices and operators, and account for every command."""
    ensure_locust()
    if scenario not in SCENARIOS:
        raise OptionError("SCENARIO", f"there is no scenario {scenario!r}; there is {', '.join(SCENARIOS)}")
    if master and worker:
        raise OptionError("--master", "cannot be had together with --worker")
    if (master or worker) and target is None:
        raise OptionError("--target", "is missing: master and workers, wherever they are, need the file of one target")
    if shape not in SHAPES:
        raise OptionError("--shape", f"{shape!r} is no shape: {', '.join(SHAPES)}")
    console = Console(stderr=True)
    run_time_s = duration_s("--run-time", run_time) if run_time else SHAPES[shape].run_time_s
    if shape != STEADY and not run_time_s:
        raise OptionError("--run-time", f"must be above 0 for the shape {shape!r}")
    directory = run_directory(out, "load")
    with _interruptible(), _target(target, users, console) as target_path:
        plan = LoadPlan(
            target=target_path.absolute(),
            scenario=scenario,
            users=users,
            operators=-(-operators // workers) * workers,  # Else some workers would be dealt more devices than they have.
            commands_per_s=commands_per_s or 0.0,
            mix=mix,
            personality=personality,
            shape=shape,
            run_time_s=run_time_s,
            rate=rate or min(STARTS_PER_S_MAX * workers, max(STARTS_PER_S_MIN, users / RAMP_S)),
            settle_s=settle,
            keep_alive_s=keep_alive,
            seed=seed,
            thresholds=str(thresholds.absolute()) if thresholds else "",
            out=str(directory.absolute()),
        )
        role = Role.MASTER if master else Role.WORKERS if worker else Role.EVERYTHING
        launch = Launch(plan, run_time_s, workers, role, master_host, master_port, wait, web_port)
        raise typer.Exit(_conducted(_checked(launch), directory, console, as_json=as_json))


def _checked(launch: Launch) -> Launch:
    """The launch, once what can be known before it has been found good. Raises ConfigurationError or BenchError."""
    platform = read_target(launch.plan.target).platform
    # A worker's part is the master's affair.
    check(replace(launch.plan, users=1) if launch.role is Role.WORKERS else launch.plan, platform)
    if launch.plan.thresholds:
        read_thresholds(Path(launch.plan.thresholds))
    ensure_open_files(launch.plan.connections())
    return launch


def _conducted(launch: Launch, directory: Path, console: Console, *, as_json: bool) -> int:
    """Runs it and shows what came out; returns the exit status."""
    made_directory("--out", directory)
    result = directory / OUTCOME_FILE
    result.unlink(missing_ok=True)
    with _progress(console, launch.run_time_s) as say:
        status = run(launch, directory, say)
    if launch.role is Role.WORKERS:
        return EXIT_VOID if status else EXIT_OK
    if not result.exists():
        raise BenchError(f"the run has no outcome; Locust ended with status {status}: {log_tail(directory)}")
    outcome: dict[str, Any] = json.loads(result.read_text())
    _show(outcome, directory, console)
    if as_json:
        typer.echo(json.dumps(outcome))
    return int(outcome["exit_status"])


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT and SIGTERM end this process tidily, even where a script's shell has them ignored; `run` does better while it lasts."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _progress(console: Console, run_time_s: float) -> Iterator[Callable[[str], None]]:
    """What shows the run's lines: below them a bar on a terminal, nothing elsewhere."""
    clock = SystemClock()
    started_s = clock.monotonic_s()
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("load", total=run_time_s or None)

        def say(line: str) -> None:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
            progress.update(task, completed=clock.monotonic_s() - started_s)

        yield say


def _show(outcome: dict[str, Any], directory: Path, console: Console) -> None:
    """The requests and the ledger on one screen."""
    for name, entry in outcome["requests"].items():
        print_lines(console, [f"{name}: {', '.join(f'{figure} {value:g}' for figure, value in entry.items())}"])
    print_lines(console, ledger_lines(outcome["ledger"]))
    print_lines(console, (Text(reason, style="red") for reason in (*outcome["breaks"], *outcome["voids"])))
    print_lines(console, [f"ledger: {directory / 'ledger.json'}"])


@contextlib.contextmanager
def _target(path: Path | None, users: int, console: Console) -> Iterator[Path]:
    """The user's target file, or that of a platform which lives as long as the run."""
    if path is not None:
        yield path
        return
    with (
        tempfile.TemporaryDirectory(prefix="hil-load-") as state,
        PlatformProcess(Path(state), "--provision", str(users + SPARE_DEVICES)) as platform,
    ):
        console.print(f"reference platform: {platform.target()['api_url']}", highlight=False)
        yield platform.target_path
