"""The user's shell commands: a placeholder becomes one word, standard output is the outcome, and nothing outlives its time."""

import asyncio
import os
import select
from pathlib import Path

import pytest

from harness.bench.hooks import filled_in, run_hook
from harness.bench.shell import OVERTIME_STATUS, ShellRun, run_shell, working_directory
from harness.bench.target import Hooks
from harness.bench.toml_file import from_file
from harness.clock import SystemClock
from harness.errors import BenchError
from harness.history.events import HookRun, Stimulus
from harness.history.recorder import Recorder


@pytest.mark.parametrize(
    ("template", "values", "command"),
    [
        ("put {name} {path}", {"name": "a b", "path": "/x"}, "put 'a b' /x"),
        ("put {name}", {"name": "it's"}, "put 'it'\"'\"'s'"),
        ("put {name} {path}", {"name": "{path}", "path": "$(id)"}, "put '{path}' '$(id)'"),
        ("awk '{print $1}' ${HOME} {other}", {"name": "x"}, "awk '{print $1}' ${HOME} {other}"),
    ],
)
def test_each_placeholder_becomes_one_word_and_all_else_stays(template, values, command):
    assert filled_in(template, values) == command


def test_a_command_keeps_its_two_outputs_apart():
    ended = asyncio.run(run_shell("echo warning >&2; echo value", within_s=10.0))

    assert ended == ShellRun(0, "value", "warning")
    assert ended.said == "value\nwarning"


def test_a_command_is_told_its_environment():
    assert asyncio.run(run_shell('echo "$HIL_X"', within_s=10.0, environment={"HIL_X": "y z"})).output == "y z"


@pytest.mark.parametrize("command", ["python3 flash.py --fast", "./flash.py", "make -C tools flash", "sh flash.py {port}"])
def test_a_command_that_names_something_beside_its_file_starts_there(tmp_path, command):
    (tmp_path / "flash.py").write_text("")
    (tmp_path / "tools").mkdir()
    assert working_directory(command, tmp_path / "device.toml") == tmp_path


@pytest.mark.parametrize(
    "command", ["python3 elsewhere.py", "make flash", "/bin/true -x", "echo 'unclosed", f"python3 -c 'x = {300 * '1'}'"]
)
def test_any_other_command_starts_where_hil_did(tmp_path, command):
    assert working_directory(command, tmp_path / "device.toml") == Path.cwd()


def test_a_command_that_is_not_over_in_time_dies_with_its_children(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    ended = asyncio.run(run_shell(f"sleep 60 > {pipe} & wait", within_s=0.2))

    assert ended == ShellRun(OVERTIME_STATUS, "", "not over within 0.2 s")
    select.select([reader], [], [], 10.0)
    assert os.read(reader, 1) == b""  # nobody has the other end any more
    os.close(reader)


def test_a_hook_is_announced_and_recorded_with_what_it_printed():
    recorder = Recorder(SystemClock())

    assert asyncio.run(run_hook(Hooks(memory_bytes="echo {value}; echo hm >&2"), "memory_bytes", {"value": "4711"}, recorder)) == "4711"
    announced, done = (event.fact for event in recorder.history().events)
    assert announced == Stimulus("hook", {"name": "memory_bytes", "values": {"value": "4711"}})
    assert done == HookRun("memory_bytes", "echo 4711; echo hm >&2", 0, "4711\nhm")


def test_a_hook_starts_beside_its_target_file(tmp_path):
    (tmp_path / "restart.sh").write_text("pwd")
    hooks = Hooks.model_validate({"restart": "sh restart.sh"}, context=from_file(tmp_path / "target.toml"))

    assert asyncio.run(run_hook(hooks, "restart", {}, Recorder(SystemClock()))) == str(tmp_path)


def test_a_hook_that_fails_is_trouble_of_the_bench_with_its_own_words():
    with pytest.raises(BenchError, match="hook 'restart' ended with status 3: no such unit"):
        asyncio.run(run_hook(Hooks(restart="echo no such unit >&2; exit 3"), "restart", {}, Recorder(SystemClock())))
