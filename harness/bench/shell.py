"""The user's own commands, from their target, device and inventory files: run in a shell, for as long as they may take.

A command that names something beside its file is started there; any other where `hil` was started.
"""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

OVERTIME_STATUS = 124  # what timeout(1) says
_LAST_WORDS_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class ShellRun:
    """How a command ended, and what it printed on standard output and on standard error, both without blanks around them."""

    status: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        """All that it printed, for people."""
        return "\n".join(filter(None, (self.output, self.errors)))

    @property
    def last_words(self) -> str:
        """The last line that it printed, where shells, interpreters and tools give their reason; cut where it is long."""
        lines = self.said.splitlines()
        return lines[-1].strip()[:_LAST_WORDS_CHARACTERS] if lines else "it printed nothing"


def working_directory(command: str, file: Path) -> Path:
    """Where a command of `file` is started: beside the file if it names a file or directory that is there, else where `hil` was started."""
    here = file.absolute().parent
    try:
        words = shlex.split(command)
    except ValueError:
        return Path.cwd()
    return here if any(_is_there(here / word) for word in words if not word.startswith(("/", "-"))) else Path.cwd()


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False  # Such a name no file can have: a word of a command may be a whole program.


async def run_shell(
    command: str, *, within_s: float, environment: Mapping[str, str] = MappingProxyType({}), directory: Path | None = None
) -> ShellRun:
    """Runs a command in `directory` (None: where `hil` was started), with `environment` besides our own.

    One that is not over in time is killed with its children, and has OVERTIME_STATUS; so is one whose caller is cancelled.
    """
    process = await asyncio.create_subprocess_shell(
        command,
        env=os.environ | dict(environment),
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within_s):
            output, errors = await process.communicate()
    except TimeoutError:
        return ShellRun(OVERTIME_STATUS, "", f"not over within {within_s:g} s")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return ShellRun(process.returncode or 0, _text(output), _text(errors))


def _text(printed: bytes) -> str:
    return printed.decode(errors="replace").strip()
