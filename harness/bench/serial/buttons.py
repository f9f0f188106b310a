"""Drivers of reset and power: modem lines, shell commands."""

import asyncio

from harness.bench.serial.inventory import PowerBy, ResetBy
from harness.bench.serial.ports import SerialLine
from harness.errors import BenchError

COMMAND_S_MAX = 30.0
_SHOWN_CHARACTERS = 200


class ModemLineReset:
    """A Reset by the port's DTR and RTS lines: `sequence` as the inventory gives it."""

    def __init__(self, line: SerialLine, sequence: tuple[str, ...]) -> None:
        self._line = line
        self._sequence = sequence

    async def reset(self) -> None:
        for step in self._sequence:
            name, value = step.split(" ")
            if name == "wait":
                await asyncio.sleep(float(value))
            elif name == "dtr":
                await self._line.set_modem_lines(dtr=value == "on")
            else:
                await self._line.set_modem_lines(rts=value == "on")


class ShellReset:
    """A Reset by a command of the user's."""

    def __init__(self, by: ResetBy) -> None:
        self._command = by.command

    async def reset(self) -> None:
        await run_shell(self._command)


class ShellPower:
    """A Power by two commands of the user's."""

    def __init__(self, by: PowerBy) -> None:
        self._by = by

    async def off(self) -> None:
        await run_shell(self._by.off)

    async def on(self) -> None:
        await run_shell(self._by.on)


async def run_shell(command: str) -> None:
    """Runs a command of the inventory. Raises BenchError where it fails or is not over within 30 s."""
    process = await asyncio.create_subprocess_shell(
        command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(COMMAND_S_MAX):
            output, _ = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise BenchError(f"`{command}` was not over within {COMMAND_S_MAX:g} s") from error
    if process.returncode != 0:
        said = output.decode(errors="replace").strip()[-_SHOWN_CHARACTERS:]
        raise BenchError(f"`{command}` ended with status {process.returncode}: {said or 'no output'}")
