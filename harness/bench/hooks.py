"""Hooks of the target file: what the API cannot do, done by shell commands of the user's."""

import re
import shlex
from collections.abc import Mapping

from harness.bench.leftovers import HOOK_ANNOUNCED
from harness.bench.shell import run_shell
from harness.bench.target import Hooks
from harness.errors import BenchError
from harness.history.events import HookRun, Stimulus
from harness.history.recorder import Recorder

HOOK_TIME_S_MAX = 120.0
_RECORDED_CHARACTERS = 2_000


async def run_hook(hooks: Hooks, name: str, values: Mapping[str, str], recorder: Recorder) -> str:
    """Runs a hook that the target file names, with its placeholders filled in, quoted for the shell; returns its standard output.

    Raises BenchError where it ends with another status than 0, or not in time.
    """
    # Before it runs: a run that is killed meanwhile must know what to undo.
    recorder.record(Stimulus(HOOK_ANNOUNCED, {"name": name, "values": dict(values)}))
    template = str(getattr(hooks, name))
    command = filled_in(template, values)
    ended = await run_shell(command, within_s=HOOK_TIME_S_MAX, directory=hooks.directory_of(template))
    recorder.record(HookRun(name, command, ended.status, ended.said[:_RECORDED_CHARACTERS]))
    if ended.status:
        raise BenchError(f"hook {name!r} ended with status {ended.status}: {ended.last_words}")
    return ended.output


def filled_in(template: str, values: Mapping[str, str]) -> str:
    """The command with each `{name}` of `values` replaced by its value as one word of the shell; other braces are the command's own.

    In one pass: a value that looks like a placeholder stays what it is.
    """
    return re.sub(r"\{(\w+)\}", lambda match: shlex.quote(values[match[1]]) if match[1] in values else match[0], template)
