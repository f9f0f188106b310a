"""The command line: plug-ins are mounted, a broken one harms nobody, and the exit status says whose fault it was."""

import logging
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import typer

from harness import __version__, cli
from harness.errors import BenchError, ConfigurationError

greet = typer.Typer()


@greet.command()
def hello(name: str, fail: str = "") -> None:
    """Says hello."""
    if fail == "configuration":
        raise ConfigurationError("target.toml", "platform", "api_url", "is missing")
    if fail == "bench":
        raise BenchError("no answer from\nthe relay")
    if fail == "group":
        raise ExceptionGroup("tasks", [ValueError("a consequence"), BenchError("the relay is gone")])
    if fail == "library":
        raise ModuleNotFoundError("No module named 'qemu'", name="qemu")
    if fail == "bug":
        raise ZeroDivisionError("division by zero")
    if fail == "interrupt":
        raise KeyboardInterrupt
    if fail == "verdict":
        raise typer.Exit(1)
    typer.echo(f"hello {name}")


several = typer.Typer(help="Two commands.")


@several.command()
def one() -> None:
    """The first."""
    typer.echo("one!")


@several.command()
def two() -> None:
    """The second."""
    typer.echo("two!")


not_an_app = "just text"


class InThisModule(EntryPoint):
    def load(self):
        if self.value.startswith("missing"):
            raise ModuleNotFoundError("No module named 'missing'")
        return globals()[self.value.partition(":")[2]]


@pytest.fixture
def plugins(monkeypatch):
    """Puts these plug-ins behind the door in place of the installed ones."""
    points = [
        InThisModule("greet", "here:greet", cli.COMMAND_GROUP),
        InThisModule("several", "here:several", cli.COMMAND_GROUP),
        InThisModule("gone", "missing.module:app", cli.COMMAND_GROUP),
        InThisModule("text", "here:not_an_app", cli.COMMAND_GROUP),
        InThisModule("twice", "here:greet", cli.COMMAND_GROUP),
        InThisModule("twice", "here:several", cli.COMMAND_GROUP),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda group: [point for point in points if point.group == group])


@pytest.mark.usefixtures("plugins")
class TestPlugins:
    def test_an_app_with_one_command_is_that_command(self, capsys):
        assert cli.run(["greet", "Ada"]) == 0
        assert capsys.readouterr().out == "hello Ada\n"

    def test_an_app_with_several_commands_is_a_group(self, capsys):
        assert cli.run(["several", "two"]) == 0
        assert capsys.readouterr().out == "two!\n"

    def test_help_lists_every_plug_in_the_broken_one_too(self, capsys):
        assert cli.run(["--help"]) == 0
        out = capsys.readouterr().out
        assert "Says hello." in out
        assert "Two commands." in out
        assert "not available" in out

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["gone", "--any", "thing"], "No module named 'missing'"),
            (["text"], "not a typer.Typer"),
            (["twice"], "two plug-ins claim it"),
        ],
    )
    def test_a_broken_plug_in_says_what_failed_in_one_line(self, capsys, arguments, problem):
        assert cli.run(arguments) == 3
        err = capsys.readouterr().err
        assert problem in err
        assert err.count("\n") == 1

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (["nothing"], "No such command 'nothing'"),
            (["--nothing"], "No such option: --nothing"),
            (["greet", "Ada", "--nothing"], "No such option: --nothing"),
            (["greet"], "Missing argument 'name'"),
            (["several", "three"], "No such command 'three'"),
        ],
    )
    def test_a_wrong_command_line_is_one_line_and_status_2(self, capsys, arguments, problem):
        assert cli.run(arguments) == 2
        captured = capsys.readouterr()
        assert problem in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""

    def test_nothing_asked_is_never_0(self):
        assert cli.run([]) == 2
        assert cli.run(["several"]) == 2

    @pytest.mark.parametrize(
        ("fail", "status", "line"),
        [
            ("configuration", 2, "hil: target.toml: [platform] api_url: is missing\n"),
            ("bench", 3, "hil: no answer from the relay\n"),
            ("group", 3, "hil: the relay is gone\n"),
            ("library", 3, "hil: not available: it needs qemu, of the extra hil[emulator]: make install-dev brings it\n"),
        ],
    )
    def test_a_known_error_is_one_line_and_says_whose_fault(self, capsys, fail, status, line):
        assert cli.run(["greet", "Ada", "--fail", fail]) == status
        assert capsys.readouterr().err == line

    def test_a_bug_of_ours_is_not_status_1_which_would_mean_fail(self, capsys):
        assert cli.run(["greet", "Ada", "--fail", "bug"]) == 3
        err = capsys.readouterr().err
        assert "Traceback" in err
        assert "internal error, the run is void: ZeroDivisionError: division by zero" in err

    def test_a_command_chooses_its_own_exit_status(self):
        assert cli.run(["greet", "Ada", "--fail", "verdict"]) == 1

    def test_ctrl_c_is_130(self):
        assert cli.run(["greet", "Ada", "--fail", "interrupt"]) == 130


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["rich", "echo"])
def test_output_that_nobody_reads_to_its_end_is_neither_a_fail_nor_an_internal_error(options):
    command = [sys.executable, "-m", "harness.cli", "requirements", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()

    assert process.communicate()[1] == b""
    assert process.returncode == cli.EXIT_UNREAD


def test_the_version_is_printed(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"hil {__version__}\n"


def test_help_may_be_asked_with_a_short_option(capsys):
    assert cli.run(["-h"]) == 0
    assert "Exit status" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "level"), [([], logging.WARNING), (["-v"], logging.INFO), (["-vv"], logging.DEBUG)])
@pytest.mark.usefixtures("plugins")
def test_v_says_more_and_twice_says_everything(options, level):
    before = logging.getLogger().level
    try:
        cli.run([*options, "several", "one"])
        assert logging.getLogger().level == level
    finally:
        logging.getLogger().setLevel(before)


def test_an_impatient_ctrl_c_after_the_end_leaves_the_exit_status_as_it_was():
    program = """
import os, signal, sys
import harness.cli
harness.cli.run = lambda arguments: 3
status = harness.cli.main()
os.kill(os.getpid(), signal.SIGINT)
sys.exit(status)
"""
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 3
