"""The user's own commands of a device file, `[device.observe]` and `[device.prepare]`: run in a shell, with the device's environment."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping

OVERTIME_STATUS = 124  # what timeout(1) says
_OUTPUT_CHARACTERS_MAX = 64 * 1024


async def run_shell(command: str, environment: Mapping[str, str], *, within_s: float) -> tuple[int, str]:
    """Exit status and what was printed, without the line end; `environment` is what the device itself is told.

    A command that is not over in time is killed with its children, and has OVERTIME_STATUS.
    """
    process = await asyncio.create_subprocess_shell(
        command,
        env=os.environ | dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_s):
            output, _ = await process.communicate()
    except TimeoutError:
        return OVERTIME_STATUS, f"not over within {within_s:g} s"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace").strip()[:_OUTPUT_CHARACTERS_MAX]
