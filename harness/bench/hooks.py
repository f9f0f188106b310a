"""The user's own shell commands: hooks of the target file."""

import asyncio
import shlex

from harness.bench.leftovers import HOOK_ANNOUNCED
from harness.errors import BenchError
from harness.history.events import HookRun, Stimulus
from harness.history.recorder import Recorder

HOOK_TIME_S_MAX = 120.0
_OUTPUT_RECORDED_CHARACTERS = 2_000


async def run_hook(name: str, template: str, values: dict[str, str], recorder: Recorder) -> str:
    """Runs a hook with its placeholders filled in, quoted for the shell; returns its standard output.

    Raises BenchError where it ends with another status than 0, or not in time.
    """
    # Before it runs: a run that is killed meanwhile must know what to undo.
    recorder.record(Stimulus(HOOK_ANNOUNCED, {"name": name, "values": values}))
    command = template
    for key, value in values.items():
        command = command.replace("{" + key + "}", shlex.quote(value))
    process = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(HOOK_TIME_S_MAX):
            output, errors = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise BenchError(f"hook {name!r} was not over within {HOOK_TIME_S_MAX:g} s: {command}") from error
    shown = (output + errors).decode(errors="replace")[:_OUTPUT_RECORDED_CHARACTERS]
    status = process.returncode if process.returncode is not None else -1
    recorder.record(HookRun(name, command, status, shown))
    if status != 0:
        raise BenchError(f"hook {name!r} ended with status {status}: {shown.strip()[:200]}")
    return output.decode(errors="replace")
