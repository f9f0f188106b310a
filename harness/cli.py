"""The command `hil`: one door, behind which every command is a plug-in.

Each entry point of the group `hil.commands` is a `typer.Typer()`. One with a single command becomes that command under the entry point's
name, one with several becomes a group. A plug-in is imported only when its command is asked for (or listed by `--help`), and one that
cannot be imported does not break the others: its command says what failed.

What the exit status means stands in interfaces.md: 2 for a mistake of the user (one line, no traceback), 3 for a void run. Status 1 is
reserved for a FAIL, so nothing that goes wrong in the harness itself may end with it. Commands say their own verdicts by `typer.Exit`.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
import typer.core
import typer.main

from harness import __version__
from harness.errors import ConfigurationError, HarnessError
from harness.extras import missing_extra

COMMAND_GROUP = "hil.commands"
EXIT_OK = 0
EXIT_FAIL = 1  # at least one FAIL
EXIT_USAGE = 2  # usage or configuration
EXIT_VOID = 3  # equipment or harness error, or a MUST that stayed inconclusive
EXIT_INTERRUPTED = 130  # Ctrl-C where the command had nothing to hand over
EXIT_UNREAD = 141  # whoever read our output left before its end
EXIT_STATUS = "Exit status: 0 nothing failed, 1 a FAIL, 2 usage or configuration, 3 the run is void, 130 interrupted."


class PluginGroup(typer.core.TyperGroup):
    """A group whose commands are entry points, each imported at its first use."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted({point.name for point in entry_points(group=COMMAND_GROUP)})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        points = [point for point in entry_points(group=COMMAND_GROUP) if point.name == cmd_name]
        if not points:
            return None
        return mounted(cmd_name, points)


def mounted(name: str, points: Sequence[EntryPoint]) -> Any:
    """The command `name` made of its entry point; a command that reports the trouble where there is none to be had."""
    if len({point.value for point in points}) > 1:
        return _broken(name, "two plug-ins claim it: " + ", ".join(sorted(point.value for point in points)))
    try:
        plugin = points[0].load()
        if not isinstance(plugin, typer.Typer):
            return _broken(name, f"{points[0].value} is a {type(plugin).__name__}, not a typer.Typer")
        plugin._add_completion = False  # completion is installed for `hil` as a whole
        command = typer.main.get_command(plugin)
    except Exception as error:  # whatever a plug-in's import does, the other commands stay usable
        logging.getLogger(__name__).debug("plug-in %s", points[0].value, exc_info=True)
        return _broken(name, missing_extra(error) or f"{points[0].value} cannot be loaded: {_one_line(error)}")
    command.name = name
    _tell_exit_status(command)
    return command


def _tell_exit_status(command: Any) -> None:
    """Says what the exit status means at the end of the command's help, and of each below it: it means the same everywhere."""
    command.epilog = "\n\n".join(filter(None, (command.epilog, EXIT_STATUS)))
    for below in getattr(command, "commands", {}).values():
        _tell_exit_status(below)


def _broken(name: str, problem: str) -> Any:
    """A command that takes any arguments and reports `problem`."""
    app = typer.Typer(add_completion=False)
    text = f"not available: {problem}"

    @app.command(
        name,
        help=text,
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def report() -> None:
        raise HarnessError(f"{name} is {text}")

    return typer.main.get_command(app)


app = typer.Typer(
    cls=PluginGroup,
    help="The test bench for devices and platforms that speak the Device Communication protocol.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hil {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_print_version, is_eager=True),
    verbose: int = typer.Option(0, "--verbose", "-v", count=True, help="Say more on stderr; twice for everything."),
) -> None:
    log_to_stderr(verbose)


def log_to_stderr(verbosity: int) -> None:
    """Sends log lines to stderr: warnings at 0, what happens at 1, everything at 2. For the `-v` of any command."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(min(level, logging.getLogger().level) if verbosity else level)


def _log_more(verbosity: int) -> int:
    if verbosity:
        log_to_stderr(verbosity)
    return verbosity


Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, callback=_log_more, help="Say more on stderr; twice for everything.")]
"""The `-v` of a command, which may stand behind its name as well as before it."""


def run(arguments: Sequence[str]) -> int:
    """Runs `hil` with `arguments`, prints what went wrong on stderr, and returns the exit status."""
    command = typer.main.get_command(app)
    try:
        outcome = command.main(args=list(arguments), prog_name="hil", standalone_mode=False)
    except typer.TyperException as error:
        return _usage_problem(error)
    except typer.Abort:
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except SystemExit as ended:  # rich's answer, with status 1, where nobody reads what it prints
        if isinstance(ended.__context__, BrokenPipeError):
            return EXIT_UNREAD
        raise
    except Exception as error:  # the last door: status 1 would mean a FAIL, which this is not
        return EXIT_UNREAD if _nobody_reads() else _trouble(error)
    return outcome if isinstance(outcome, int) else EXIT_OK


def _nobody_reads() -> bool:
    """Whether our output goes into a pipe whose reader has left, as in `hil … | head`; what is left of it is thrown away then."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _usage_problem(error: typer.TyperException) -> int:
    message = error.format_message().strip()
    context = getattr(error, "ctx", None)
    if message:  # without one, a group was called without a command and has just printed its help
        path = context.command_path if context is not None else "hil"
        typer.echo(f"{path}: {' '.join(message.split())} (`{path} --help` lists what there is)", err=True)
    return EXIT_USAGE


def _trouble(error: Exception) -> int:
    causes = list(_leaves(error))
    for kind, status in ((ConfigurationError, EXIT_USAGE), (HarnessError, EXIT_VOID)):
        known = next((cause for cause in causes if isinstance(cause, kind)), None)
        if known is not None:
            typer.echo(f"hil: {_one_line(known, with_type=False)}", err=True)
            return status
    if missing := next(filter(None, map(missing_extra, causes)), ""):
        typer.echo(f"hil: not available: {missing}", err=True)
        return EXIT_VOID
    traceback.print_exception(error, file=sys.stderr)
    typer.echo(f"hil: internal error, the run is void: {_one_line(error)}", err=True)
    return EXIT_VOID


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside nested exception groups (a task group wraps what its tasks raise); the error itself otherwise."""
    nested: Iterable[BaseException] = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    if not nested:
        yield error
    for inner in nested:
        yield from _leaves(inner)


def _one_line(error: BaseException, *, with_type: bool = True) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if with_type else text


def main() -> int:
    """The console script."""
    status = run(sys.argv[1:])
    # All is said and written: an impatient Ctrl-C while the interpreter tidies up must not take the verdict's place.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return status


if __name__ == "__main__":
    sys.exit(main())
