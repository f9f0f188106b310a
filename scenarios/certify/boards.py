"""`hil certify device --inventory FILE --all`: a whole bench, side by side, each board in a process of its own, ending in one matrix page.

A process each keeps boards apart whatever one of them does; its lease is the one that every user of the bench takes, and it ends with us,
even where we are killed. A board that is leased, absent or broken has no report: it is an error in the matrix, with the sentence that its
process said, and never a FAIL.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from harness.bench.serial.inventory import BoardEntry, choose_board, read_inventory
from harness.certification import RunOptions
from harness.errors import ConfigurationError, OptionError
from harness.outputs import made_directory
from harness.report.annotations import as_workflow_commands, trouble_as_workflow_command
from harness.report.matrix import MATRIX_FILE, MATRIX_PAGE, Column, Matrix, as_matrix_json, as_matrix_page
from harness.report.package import REPORT_FILE, read_report
from scenarios.certify.options import CommonOptions


@dataclass(frozen=True, slots=True)
class _Job:
    """What one board's process is told."""

    inventory: Path
    board: str
    out: Path
    arguments: tuple[str, ...]

    @property
    def log(self) -> Path:
        """What the process prints: beside the package, which is signed while it still prints."""
        return self.out.with_name(f"{self.out.name}.log")

    @property
    def command(self) -> list[str]:
        place = ["--inventory", str(self.inventory), "--board", self.board, "--out", str(self.out)]
        return [sys.executable, "-m", "scenarios.certify.board_process", "certify", "device", *place, *self.arguments]


def chosen_board(inventory: Path, name: str) -> tuple[Path, BoardEntry]:
    """The device file and the entry of a board. Raises ConfigurationError where it is unknown or claims nothing."""
    entry = choose_board(inventory, name)
    return _claims_of(inventory, entry), entry


def _claims_of(inventory: Path, entry: BoardEntry) -> Path:
    if entry.device is None:
        raise ConfigurationError(str(inventory), f"boards.{entry.name}", "device", "the device file is missing: what does the board claim?")
    return entry.device


def certify_all(inventory: Path, board: str, jobs: int, wait_for_board: str, run: RunOptions, options: CommonOptions) -> int:
    """Certifies every board, `jobs` at a time, writes the matrix into the run's directory and returns the exit status: the worst.

    `wait_for_board` is the option's text, for each board's process. Raises ConfigurationError before any board is touched.
    """
    if board or options.rerun is not None:
        raise OptionError("--all", "neither --board nor --rerun goes with it")
    entries = read_inventory(inventory).boards
    for entry in entries:
        _claims_of(inventory, entry)
        if (run.out / entry.name / REPORT_FILE).exists():  # It would be taken for this run's.
            raise OptionError("--out", f"{str(run.out / entry.name)!r} holds a report already; name another directory")
    arguments = tuple(_passed_on(wait_for_board, run, options))
    queue = [_Job(inventory, entry.name, run.out / entry.name, arguments) for entry in entries]
    if options.plan:
        return max(map(_print_plan, queue))
    made_directory("--out", run.out)
    columns = asyncio.run(_side_by_side(queue, jobs))
    matrix = Matrix(tuple(columns))
    (run.out / MATRIX_PAGE).write_text(as_matrix_page(matrix), encoding="utf-8")
    (run.out / MATRIX_FILE).write_text(as_matrix_json(matrix), encoding="utf-8")
    typer.echo(f"verdict: {matrix.verdict.value} · {len(columns)} boards\nmatrix: {run.out / MATRIX_PAGE}", err=options.json)
    for line in _annotations(columns) if options.annotates_github else ():
        typer.echo(line, err=options.json)
    if options.json:
        typer.echo(as_matrix_json(matrix), nl=False)
    return matrix.verdict.exit_status


def _annotations(columns: Iterable[Column]) -> Iterator[str]:
    """What is not well on any board, as workflow commands."""
    for column in columns:
        if column.report is None:
            yield trouble_as_workflow_command(column.name, column.trouble)
        else:
            yield from as_workflow_commands(column.report)


def _passed_on(wait_for_board: str, run: RunOptions, options: CommonOptions) -> list[str]:
    """The options that every board's process gets: the same questions, the same seed."""
    words = ["--profile", options.profile, "--seed", str(run.seed), "--annotate", "none"]
    given = {"--only": options.only, "--skip": options.skip, "--budget": options.budget, "--expect": str(options.expect or "")}
    given |= {"--wait-for-board": wait_for_board}
    words += [word for name, value in given.items() if value for word in (name, value)]
    switches = {"--plan": options.plan, "--official": options.official}
    return [*words, *(name for name, is_on in switches.items() if is_on)]


def _print_plan(job: _Job) -> int:
    """Lets a board's process print its plan; returns its exit status."""
    typer.echo(f"{job.board}:")
    with subprocess.Popen(job.command, stdin=subprocess.PIPE) as process:
        return process.wait()


async def _side_by_side(queue: list[_Job], jobs: int) -> list[Column]:
    """Runs the jobs; Ctrl-C ends those that run with partial reports, and starts no more."""
    free = asyncio.Semaphore(jobs)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return await asyncio.gather(*(_one(job, free, stopped) for job in queue))


async def _one(job: _Job, free: asyncio.Semaphore, stopped: asyncio.Event) -> Column:
    async with free:
        if stopped.is_set():
            return Column(job.board, Path(job.board), trouble="not asked: the run was aborted")
        job.out.mkdir(parents=True, exist_ok=True)
        with job.log.open("w+b") as log:
            process = await asyncio.create_subprocess_exec(
                *job.command, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )
            await _until_end(process, stopped)
        column = _column(job, process.returncode)
    typer.echo(f"{column.name}: {column.verdict.value}{'  ! ' + column.trouble if column.trouble else ''}", err=True)
    return column


async def _until_end(process: asyncio.subprocess.Process, stopped: asyncio.Event) -> None:
    ending = asyncio.ensure_future(process.wait())
    stopping = asyncio.ensure_future(stopped.wait())
    await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not ending.done():
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    await ending


def _column(job: _Job, status: int | None) -> Column:
    try:
        return Column(job.board, Path(job.board), read_report(job.out / REPORT_FILE))
    except ConfigurationError:
        said = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line for line in reversed(said) if line.strip()), "")
        return Column(job.board, Path(job.board), trouble=last.removeprefix("hil: ") or f"ended with status {status}")
