"""Running a `[device.observe]` command: the user's own way to look into the device."""

import asyncio
import contextlib
import os
import signal

from simulators.counterpart.power import Credentials, environment_of

_WITHIN_S = 30.0
_OUTPUT_CHARACTERS_MAX = 64 * 1024


async def run_observer(command: str, credentials: Credentials) -> tuple[int, str]:
    """Exit status and standard output, without the line end; the environment names the device as for `[device.run] exec`."""
    process = await asyncio.create_subprocess_shell(
        command,
        env=os.environ | environment_of(credentials),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        return 124, f"not over within {_WITHIN_S:g} s"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace").strip()[:_OUTPUT_CHARACTERS_MAX]
