"""The device under test as something that can be switched on and off, whatever it is."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.entropy import Entropy
from harness.errors import ResourceMissing
from harness.history.events import DeviceExited, DeviceStarted, SerialLine
from harness.history.recorder import Recorder
from simulators.device.asyncio_device import AsyncioDevice, Ending
from simulators.device.flash import MemoryStorage
from simulators.device.personality import REFERENCE, Personality
from simulators.device.settings import DeviceSettings

_STOP_WITHIN_S = 5.0


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
    """One instance of the device under test."""

    async def on(self) -> None:
        """Gives it power; harmless when it has it."""
        ...

    async def cut(self) -> None:
        """Takes its power away at once: nothing that it wants to do before can happen."""
        ...

    async def off(self) -> None:
        """Ends it for good."""
        ...


class AttachedDevice:
    """A device that somebody else switches on. We only wait for it."""

    async def on(self) -> None:
        """Nothing: it connects by itself."""

    async def cut(self) -> None:
        raise ResourceMissing("[device.run] attach = true: the harness cannot cut the device's power")

    async def off(self) -> None:
        """Nothing: it goes on by itself."""


class BuiltInDevice:
    """The virtual device of this product, in our own process."""

    def __init__(self, credentials: Credentials, entropy: Entropy, recorder: Recorder, *, personality: Personality = REFERENCE) -> None:
        self._device_id = credentials.device_id
        self._recorder = recorder
        self._entropy = entropy
        self._personality = personality
        self._storage = MemoryStorage()
        self._settings = DeviceSettings.reference(
            device_id=credentials.device_id,
            token=credentials.token,
            mqtt_url=credentials.mqtt_url,
            keep_alive_s=int(credentials.keep_alive_s),
        )
        self._task: asyncio.Task[None] | None = None
        self._device: AsyncioDevice | None = None
        self._boots = 0

    async def on(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        while True:
            self._boots += 1
            self._recorder.record(DeviceStarted(self._device_id, self._boots))
            self._device = AsyncioDevice(
                self._settings,
                entropy=self._entropy,
                storage=self._storage,
                personality=self._personality,
                exits_on_reboot=True,
                console=lambda line: self._print(line),
            )
            ending = await self._device.run()
            if ending is Ending.STOPPED:
                return
            self._recorder.record(DeviceExited(self._device_id, 0 if ending is Ending.REBOOT else 70, by_us=False))
            await asyncio.sleep(self._device.settings.reboot_s)

    def _print(self, line: str) -> None:
        self._recorder.record(SerialLine(self._device_id, "board", line))

    async def cut(self) -> None:
        """The storage stays; the task dies in the middle of what it does."""
        await self._end()

    async def off(self) -> None:
        if self._device is not None and self._task is not None:
            self._device.stop()
            await asyncio.wait({self._task}, timeout=_STOP_WITHIN_S)
        await self._end()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = None


class ExecDevice:
    """A program of the user's, started in a shell, and started again when it exits: that is a power cycle."""

    def __init__(
        self, credentials: Credentials, command: str, state_directory: Path, recorder: Recorder, *, restart_s: float = 0.2
    ) -> None:
        self._device_id = credentials.device_id
        self._command = command
        self._recorder = recorder
        self._restart_s = restart_s
        self._environment = os.environ | {
            "HIL_MQTT_URL": credentials.mqtt_url,
            "HIL_API_URL": credentials.api_url,
            "HIL_DEVICE_ID": credentials.device_id,
            "HIL_DEVICE_TOKEN": credentials.token,
            "HIL_KEEP_ALIVE_S": f"{credentials.keep_alive_s:g}",
            "HIL_CA_FILE": str(credentials.ca_file or ""),
            "HIL_STATE_DIR": str(state_directory),
        }
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._boots = 0

    async def on(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        while True:
            self._boots += 1
            self._process = await asyncio.create_subprocess_shell(
                self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # A shell's children must die with it.
            )
            self._recorder.record(DeviceStarted(self._device_id, self._boots))
            await self._read_console(self._process)
            self._recorder.record(DeviceExited(self._device_id, await self._process.wait(), by_us=False))
            await asyncio.sleep(self._restart_s)

    async def _read_console(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            self._recorder.record(SerialLine(self._device_id, "board", line.decode(errors="replace").rstrip()))

    async def cut(self) -> None:
        await self._end(signal.SIGKILL)

    async def off(self) -> None:
        await self._end(signal.SIGTERM)

    async def _end(self, how: signal.Signals) -> None:
        task, process = self._task, self._process
        self._task = self._process = None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if process is None or process.returncode is not None:
            return
        self._signal(process, how)
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            self._signal(process, signal.SIGKILL)
            await process.wait()
        self._recorder.record(DeviceExited(self._device_id, process.returncode or 0, by_us=True))

    def _signal(self, process: asyncio.subprocess.Process, how: signal.Signals) -> None:
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return  # It ended by itself meanwhile.
