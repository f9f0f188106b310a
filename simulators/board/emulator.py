"""Boards in QEMU: real firmware, an emulated processor, a serial line, QMP for its buttons.

The emulator starts stopped (`-S`), so that the harness can open the line before the first byte: what a board says while nobody listens is
lost. The line is a TCP port by default. A pseudo terminal is more like a board, but QEMU looks only once a second whether somebody has
opened it, and reads nothing before that: 1.0 s from start to the first byte taken, measured with 7.2, against 0.02 s.

Memory that outlives resets and power cuts is a file. A power cut is SIGKILL, so it may hit between any two stores of the firmware.
"""

import asyncio
import contextlib
import logging
import os
import re
import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from qemu.qmp import QMPClient, QMPError

from harness.errors import BenchError, DriverTimeout, ResourceMissing

FLASH_BYTES = 16 << 20
START_S = 20.0
QMP_S = 10.0
IMAGES = Path(__file__).with_name("images")
MICROPYTHON_HEX = Path("/usr/share/firmware-microbit-micropython/firmware.hex")
_PTY = re.compile(rb"char device redirected to (\S+)")


class Machine(Enum):
    """The boards that are emulated, by QEMU's name."""

    MPS2 = "mps2-an385"
    MICROBIT = "microbit"
    NETDUINO = "netduinoplus2"


@dataclass(frozen=True, slots=True)
class EmulatorSettings:
    """One emulated board. `state` is a directory that keeps its flash; `network` gives it QEMU's user network (10.0.2.2 is this host)."""

    machine: Machine
    state: Path
    program: Path | None = None
    network: bool = False
    line: str = "socket"  # or "pty"


class Emulator:
    """One QEMU process. Also the board's Power (kill, start again) and Reset (QMP); used as an asynchronous context manager."""

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._qmp: QMPClient | None = None
        self.serial_url = ""
        self.starts = 0

    async def __aenter__(self) -> "Emulator":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.off()

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Starts the emulator, stopped; `serial_url` is valid afterwards. Raises ResourceMissing or BenchError; then nothing is left."""
        if shutil.which("qemu-system-arm") is None:
            raise ResourceMissing("qemu-system-arm is not installed: apt-get install qemu-system-arm")
        self.settings.state.mkdir(parents=True, exist_ok=True)
        socket = self.settings.state / "qmp"
        socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *_dies_with_us(),
            "qemu-system-arm",
            *arguments(self.settings, socket),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.starts += 1
        try:
            async with asyncio.timeout(START_S):
                pty = await self._read_pty(self._process) if self.settings.line == "pty" else ""
                self._qmp = await self._connect(socket)
                self.serial_url = pty or await self._tcp_url()
        except BaseException as error:
            await self.off()
            if isinstance(error, TimeoutError):
                raise DriverTimeout(f"QEMU did not start within {START_S:g} s") from error
            raise

    async def resume(self) -> None:
        """Lets the processor run: after `start`, or after `freeze`."""
        await self._execute("cont")

    async def freeze(self) -> None:
        """Stops the processor; its line stays open and says nothing."""
        await self._execute("stop")

    async def reset(self) -> None:
        await self._execute("system_reset")

    async def off(self) -> None:
        """Kills it: nothing is flushed, nothing is told to the firmware."""
        process, self._process = self._process, None
        qmp, self._qmp = self._qmp, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if qmp is not None:
            with contextlib.suppress(QMPError, OSError, EOFError):
                await qmp.disconnect()

    async def on(self) -> None:
        """Starts it again, stopped, at a new `serial_url`: open that, then `resume`."""
        await self.start()

    async def _read_pty(self, process: asyncio.subprocess.Process) -> str:
        said = b""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if found := _PTY.search(line):
                return found[1].decode()
            said += line
        raise BenchError(f"QEMU ended at once: {said.decode(errors='replace').strip() or 'no message'}")

    async def _tcp_url(self) -> str:
        for device in await self._execute("query-chardev"):
            if device["label"] == "line":
                return "socket://" + str(device["filename"]).removeprefix("disconnected:tcp:").split(",")[0]
        raise BenchError("QEMU does not name the port of its serial line")

    async def _connect(self, socket: Path) -> QMPClient:
        while self._process is not None and self._process.returncode is None:
            if _is_there(socket):  # some time after it started, and some time before QEMU listens
                client = QMPClient(socket.parent.name)
                client.logger.setLevel(logging.CRITICAL)  # an attempt that comes too early is no error
                with contextlib.suppress(QMPError):
                    await client.connect(str(socket))
                    return client
            await asyncio.sleep(0.01)
        said = await self._process.stdout.read() if self._process is not None and self._process.stdout is not None else b""
        raise BenchError(f"QEMU ended at once: {said.decode(errors='replace').strip() or 'no message'}")

    async def _execute(self, command: str) -> Any:
        if self._qmp is None:
            raise BenchError(f"QMP {command}: the emulator is off")
        try:
            async with asyncio.timeout(QMP_S):
                return await self._qmp.execute(command)
        except (QMPError, OSError, TimeoutError) as error:
            raise BenchError(f"QMP {command}: QEMU does not answer") from error


def _dies_with_us() -> tuple[str, ...]:
    """What goes in front of a command so that it ends with this process, even when that is killed: no board outlives its bench.

    The shell looks whether this process died before the signal was asked for.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return ()
    return (setpriv, "--pdeathsig", "KILL", "--", "sh", "-c", f'[ "$PPID" = {os.getpid()} ] && exec "$@"', "emulator")


def _is_there(path: Path) -> bool:
    return path.exists()


def arguments(settings: EmulatorSettings, qmp_socket: Path) -> list[str]:
    """QEMU's command line for one board, stopped at its first instruction."""
    common = ["-S", "-display", "none", "-monitor", "none", "-qmp", f"unix:{qmp_socket},server=on,wait=off"]
    line = "pty,id=line" if settings.line == "pty" else "socket,id=line,host=127.0.0.1,port=0,server=on,wait=off,nodelay=on"
    serial = ["-chardev", line, "-serial", "chardev:line"]
    network = ["-nic", "user"] if settings.network else ["-nic", "none"]
    return [*_machine(settings), *common, *serial, *(network if settings.machine is not Machine.MICROBIT else [])]


def _machine(settings: EmulatorSettings) -> list[str]:
    if settings.machine is Machine.MICROBIT:
        return ["-M", "microbit", "-device", f"loader,file={settings.program or MICROPYTHON_HEX}"]
    program = str(settings.program or IMAGES / f"{settings.machine.value}.elf")
    if settings.machine is Machine.NETDUINO:
        return ["-M", "netduinoplus2", "-kernel", program]
    flash = settings.state / "flash.bin"
    if not flash.exists():
        flash.write_bytes(b"")
        with flash.open("r+b") as file:
            file.truncate(FLASH_BYTES)
    memory = f"memory-backend-file,id=flash,size={FLASH_BYTES},mem-path={flash},share=on"
    return ["-M", "mps2-an385,memory-backend=flash", "-object", memory, "-kernel", program]


def mps2(name: str, state: Path, program: Path | None) -> Emulator:
    """Entry point `hil.emulators`: our firmware on mps2-an385, or `program` instead of it."""
    return Emulator(EmulatorSettings(Machine.MPS2, state, program))


def mps2_network(name: str, state: Path, program: Path | None) -> Emulator:
    """Entry point `hil.emulators`: mps2-an385 with its Ethernet on QEMU's user network."""
    return Emulator(EmulatorSettings(Machine.MPS2, state, program, network=True))


def microbit(name: str, state: Path, program: Path | None) -> Emulator:
    """Entry point `hil.emulators`: MicroPython on a micro:bit."""
    return Emulator(EmulatorSettings(Machine.MICROBIT, state, program))


def netduino(name: str, state: Path, program: Path | None) -> Emulator:
    """Entry point `hil.emulators`: the board that the guide brings up."""
    return Emulator(EmulatorSettings(Machine.NETDUINO, state, program))
