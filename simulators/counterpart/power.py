"""The device under test as something that can be switched on and off, whatever it is."""

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from harness.entropy import Entropy
from harness.errors import ResourceMissing
from harness.history.events import DeviceExited, DeviceStarted, Fact, SerialLine
from harness.history.recorder import Recorder
from simulators.counterpart.attendance import Attendance
from simulators.device.asyncio_device import AsyncioDevice, Ending
from simulators.device.flash import MemoryStorage
from simulators.device.personality import REFERENCE, Personality
from simulators.device.settings import DeviceSettings

_STOP_WITHIN_S = 5.0
_RESTART_S = 0.2
_RESTART_S_MAX = 5.0  # a program that ends at once, again and again, must not eat the machine
_CONSOLE_LINE_BYTES_MAX = 64 * 1024
_LAST_WORDS_S = 0.5  # for what a child of the program still prints after its end

_EXIT_POLL_S = 0.02
_SHELL_CHARACTERS = frozenset("&|;<>()$`\n")

ScopeOf = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a device needs to reach us."""

    device_id: str
    token: str
    mqtt_url: str
    api_url: str
    keep_alive_s: float
    ca_file: Path | None = None


class PoweredDevice(Protocol):
    """One instance of the device under test. Starts, ends and console lines are recorded for the scenario that `ScopeOf` names."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the device is told, as environment variables; whoever observes it is told the same."""
        ...

    @property
    def attendance(self) -> Attendance:
        """What the bench does for it."""
        ...

    async def on(self) -> None:
        """Gives it power; harmless when it has it."""
        ...

    async def cut(self) -> None:
        """Takes its power away at once: nothing that it wants to do before can happen."""
        ...

    async def off(self) -> None:
        """Ends it for good."""
        ...


def record_for(recorder: Recorder, scope_of: ScopeOf, device_id: str, fact: Fact) -> None:
    """A device lives longer than the scenario that switched it on: what it does belongs to the one that is at work now."""
    recorder.record(fact, in_scope=scope_of(device_id))


class AttachedDevice:
    """A device that somebody else switches on. We say where it shall connect, and wait for it."""

    def __init__(self, credentials: Credentials, say: Callable[[str], None]) -> None:
        self.environment: Mapping[str, str] = environment_of(credentials)
        self.attendance = Attendance()  # never begun: nobody attends to such a device
        self._say: Callable[[str], None] | None = say

    async def on(self) -> None:
        """Says once what the device needs to know; it connects by itself."""
        say, self._say = self._say, None
        if say is not None:
            for name, value in self.environment.items():
                say(f"{name}={shlex.quote(value)}")
            say("waiting for the device to connect")

    async def cut(self) -> None:
        raise ResourceMissing("[device.run] attach = true: the harness cannot cut the device's power")

    async def off(self) -> None:
        """Nothing: it goes on by itself."""


class BuiltInDevice:
    """The virtual device of this product, in our own process."""

    def __init__(
        self, credentials: Credentials, entropy: Entropy, recorder: Recorder, scope_of: ScopeOf, *, personality: Personality = REFERENCE
    ) -> None:
        self._device_id = credentials.device_id
        self.environment: Mapping[str, str] = environment_of(credentials)
        self._record = partial(record_for, recorder, scope_of, credentials.device_id)
        self._entropy = entropy
        self._personality = personality
        self._storage = MemoryStorage()
        self._settings = DeviceSettings.reference(
            device_id=credentials.device_id,
            token=credentials.token,
            mqtt_url=credentials.mqtt_url,
            keep_alive_s=int(credentials.keep_alive_s),
        )
        self.attendance = Attendance()
        self._device: AsyncioDevice | None = None
        self._boots = 0

    async def on(self) -> None:
        if not self.attendance.is_under_way:
            self.attendance.begin(self._live())

    async def _live(self) -> None:
        while True:
            self._boots += 1
            self._record(DeviceStarted(self._device_id, self._boots))
            self._device = AsyncioDevice(
                self._settings,
                entropy=self._entropy,
                storage=self._storage,
                personality=self._personality,
                exits_on_reboot=True,
                console=self._print,
            )
            ending = await self._device.run()
            if ending is Ending.STOPPED:
                return
            self._record(DeviceExited(self._device_id, 0 if ending is Ending.REBOOT else 70, by_us=False))
            await asyncio.sleep(self._device.settings.reboot_s)

    def _print(self, line: str) -> None:
        self._record(SerialLine(self._device_id, "board", line))

    async def cut(self) -> None:
        """The storage stays; the task dies in the middle of what it does."""
        if self.attendance.is_under_way:
            self._record(DeviceExited(self._device_id, 0, by_us=True))
        await self.attendance.end()

    async def off(self) -> None:
        if self._device is not None and self.attendance.is_under_way:
            self._device.stop()
        await self.attendance.end(grace_s=_STOP_WITHIN_S)


class ExecDevice:
    """A program of the user's, started in a shell, and started again when it exits: that is a power cycle."""

    def __init__(
        self,
        credentials: Credentials,
        command: str,
        state_directory: Path,
        recorder: Recorder,
        scope_of: ScopeOf,
        *,
        directory: Path | None,
    ) -> None:
        """`directory` is where the program is started; None, where `hil` was."""
        self._device_id = credentials.device_id
        self._command = in_place_of_the_shell(command)
        self._directory = directory
        self._record = partial(record_for, recorder, scope_of, credentials.device_id)
        self.environment: Mapping[str, str] = environment_of(credentials) | {"HIL_STATE_DIR": str(state_directory)}
        self.attendance = Attendance()
        self._process: asyncio.subprocess.Process | None = None
        self._boots = 0

    async def on(self) -> None:
        if not self.attendance.is_under_way:
            self.attendance.begin(self._live())

    async def _live(self) -> None:
        crashes = 0
        while True:
            self._boots += 1
            process = self._process = await self._started()
            self._record(DeviceStarted(self._device_id, self._boots))
            status = await self._ended(process)
            self._record(DeviceExited(self._device_id, status, by_us=False))
            crashes = crashes + 1 if status else 0
            await asyncio.sleep(min(_RESTART_S * 2.0**crashes, _RESTART_S_MAX))

    async def _started(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_shell(
            self._command,
            env=os.environ | dict(self.environment),
            cwd=self._directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # A shell's children must die with it.
        )

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """The exit status, once all of the console was read; what a program leaves running dies with it."""
        console = asyncio.create_task(self._read_console(process))
        try:
            status = await _exit_status(process)
            await asyncio.wait({console}, timeout=_LAST_WORDS_S)
            if not console.done():
                _signal_group(process, signal.SIGKILL)
                await asyncio.wait({console}, timeout=_LAST_WORDS_S)
            return status
        finally:
            console.cancel()
            await asyncio.gather(console, return_exceptions=True)

    async def _read_console(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        unfinished = b""
        while data := await process.stdout.read(_CONSOLE_LINE_BYTES_MAX):
            *lines, unfinished = (unfinished + data).split(b"\n")
            for line in lines:
                self._print(line)
            if len(unfinished) > _CONSOLE_LINE_BYTES_MAX:
                self._print(unfinished)
                unfinished = b""
        if unfinished:
            self._print(unfinished)

    def _print(self, line: bytes) -> None:
        self._record(SerialLine(self._device_id, "board", line.decode(errors="replace").rstrip()))

    async def cut(self) -> None:
        await self._end(signal.SIGKILL)

    async def off(self) -> None:
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        await self.attendance.end()
        if process is None or process.returncode is not None:
            return
        await self._stop(process, how)
        self._record(DeviceExited(self._device_id, process.returncode or 0, by_us=True))

    async def _stop(self, process: asyncio.subprocess.Process, how: signal.Signals) -> None:
        _signal_group(process, how)
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await _exit_status(process)
        except TimeoutError:
            pass  # It had its time.
        _signal_group(process, signal.SIGKILL)
        await process.wait()


def environment_of(credentials: Credentials) -> dict[str, str]:
    """What a device is told, as environment variables. Source: interfaces.md, `[device.run]`."""
    return {
        "HIL_MQTT_URL": credentials.mqtt_url,
        "HIL_API_URL": credentials.api_url,
        "HIL_DEVICE_ID": credentials.device_id,
        "HIL_DEVICE_TOKEN": credentials.token,
        "HIL_KEEP_ALIVE_S": f"{credentials.keep_alive_s:g}",
        "HIL_CA_FILE": str(credentials.ca_file or ""),
    }


def in_place_of_the_shell(command: str) -> str:
    """The command such that signals and exit status are the program's own, not its shell's; one that needs the shell is left alone."""
    words = command.split()
    needs_shell = not words or "=" in words[0] or not _SHELL_CHARACTERS.isdisjoint(command)
    return command if needs_shell else f"exec {command}"


async def _exit_status(process: asyncio.subprocess.Process) -> int:
    """The exit status, as soon as the program has ended: `Process.wait` waits for its children too, if they hold its console."""
    while process.returncode is None:  # noqa: ASYNC110 - asyncio tells of the exit alone to nobody
        await asyncio.sleep(_EXIT_POLL_S)
    return process.returncode


def _signal_group(process: asyncio.subprocess.Process, how: signal.Signals) -> None:
    """Signals the program and all its children that are still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, how)
