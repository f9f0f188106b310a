"""Drivers of reset and power: modem lines, shell commands."""

import asyncio

from harness.bench.serial.inventory import PowerBy, ResetBy
from harness.bench.serial.ports import SerialLine
from harness.bench.shell import run_shell
from harness.bench.toml_file import CommandTable
from harness.errors import BenchError

COMMAND_S_MAX = 30.0


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
        self._by = by

    async def reset(self) -> None:
        await _press(self._by.command, self._by)


class ShellPower:
    """A Power by two commands of the user's."""

    def __init__(self, by: PowerBy) -> None:
        self._by = by

    async def off(self) -> None:
        await _press(self._by.off, self._by)

    async def on(self) -> None:
        await _press(self._by.on, self._by)


async def _press(command: str, table: CommandTable) -> None:
    """Runs a command of the inventory. Raises BenchError where it fails or is not over within 30 s."""
    ended = await run_shell(command, within_s=COMMAND_S_MAX, directory=table.directory_of(command))
    if ended.status:
        raise BenchError(f"`{command}` ended with status {ended.status}: {ended.last_words}")
