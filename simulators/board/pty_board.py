"""Boards behind pseudo terminals, by the hundred: the board core and the link's Python end in this process, no QEMU.

`url` is a symbolic link to the terminal of the day, so that a board which is unplugged and plugged in again comes back under its name, as
udev's /dev/serial/by-id does. A pty knows no baud rate, so a mismatch is modelled: what the host set is read from the terminal, and the
bytes are turned into what a UART of another rate would hear.
"""

import asyncio
import contextlib
import errno
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.bench.serial.link import LinkSettings
from harness.bench.serial.link_board import BoardEnd
from harness.entropy import Entropy, SystemEntropy
from simulators.board.core import BoardCore, BoardMemory, KeptMemory
from simulators.board.serial_faults import PERFECT, LineFaults, as_heard, damaged

READ_BYTES = 65_536
REBOOT_S = 0.05
BAUD_OF = {getattr(termios, name): int(name[1:]) for name in dir(termios) if name[:1] == "B" and name[1:].isdigit()}


class PtyBoard:
    """One board. As an emulator: `start` plugs it in, `resume` powers it, `off` cuts power and pulls the plug, `reset` restarts it.

    `talks` False is a board that is there and says nothing; with `chatter_s` it prints a log line every so many seconds.
    """

    def __init__(
        self,
        url: Path,
        *,
        entropy: Entropy,
        model: str = "pty-board",
        memory: BoardMemory | None = None,
        keep: Callable[[BoardMemory], None] = lambda memory: None,
        faults: LineFaults = PERFECT,
        talks: bool = True,
        chatter_s: float = 0.0,
        settings: LinkSettings | None = None,
    ) -> None:
        self._path, self._keep = url, keep
        self.serial_url = str(url)
        self.memory = memory or BoardMemory()
        self.faults = faults
        self.boots = 0
        self._entropy, self._model, self._talks, self._chatter_s = entropy, model, talks, chatter_s
        self._chatter: asyncio.TimerHandle | None = None
        self._settings = settings or LinkSettings()
        self._master: int | None = None
        self._slave: int | None = None
        self._core: BoardCore | None = None
        self._end: BoardEnd | None = None
        self._wake: asyncio.TimerHandle | None = None
        self._timers: set[asyncio.TimerHandle] = set()  # bytes that are still on their way
        self._unwritten = bytearray()

    async def __aenter__(self) -> Self:
        await self.start()
        await self.resume()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.off()

    async def start(self) -> None:
        """Plugs it in, without power."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        self._path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    async def resume(self) -> None:
        """Gives it power: it boots."""
        self._boot()

    async def reset(self) -> None:
        self._boot()

    async def on(self) -> None:
        await self.start()

    async def off(self) -> None:
        """Cuts its power and pulls its plug; what is in `memory` stays."""
        for timer in (*self._timers, self._wake, self._chatter):
            if timer is not None:
                timer.cancel()
        self._timers.clear()
        self._core = self._end = None
        master, slave = self._master, self._slave
        self._master = self._slave = None
        if master is not None and slave is not None:
            asyncio.get_running_loop().remove_reader(master)
            asyncio.get_running_loop().remove_writer(master)
            os.close(master)
            os.close(slave)
        self._unwritten.clear()
        self._path.unlink(missing_ok=True)

    def say(self, line: str) -> None:
        """Prints a log line of the board's own."""
        self._put(b"\n" + line.encode() + b"\n")

    @property
    def host_baud(self) -> int:
        """The rate that the host has set."""
        assert self._master is not None, "the board is plugged in"
        return BAUD_OF.get(termios.tcgetattr(self._master)[4], 0)

    def _boot(self) -> None:
        if not self._talks:
            return
        self.boots += 1
        self._core = BoardCore(self.memory)
        self._end = BoardEnd(
            about={"model": self._model, "version": "1.0.0"},
            accept=self._core.accept,
            done=lambda: self.memory.done,
            settings=self._settings,
        )
        self.say(f"Booting v1.0.0 on {self._model}, start {self.boots}")
        self._end.boot()
        self._chat()
        self._turn()

    def _chat(self) -> None:
        if self._chatter is not None:
            self._chatter.cancel()
        if self._chatter_s:
            self.say("adc: 17 mV, supply 3.3 V")
            self._chatter = asyncio.get_running_loop().call_later(self._chatter_s, self._chat)

    def _readable(self) -> None:
        assert self._master is not None, "the reader ends with the terminal"
        try:
            data = os.read(self._master, READ_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:  # nobody has it open
                raise
            return
        self._after_latency(self._heard, data)

    def _heard(self, data: bytes) -> None:
        if self._end is None:
            return
        if self.faults.baud:
            data = as_heard(data, sent_baud=self.host_baud, heard_baud=self.faults.baud)
        self._end.receive(damaged(data, self.faults, self._entropy), asyncio.get_running_loop().time())
        self._turn()

    def _turn(self) -> None:
        """Says what there is to say, and comes back when something is to be repeated."""
        if self._end is None or self._core is None:
            return
        now_s = asyncio.get_running_loop().time()
        while self._end.is_idle and (message := self._core.next_message()) is not None:
            self._end.send(message, now_s=now_s)
        self._end.tick(now_s)
        self._keep(self.memory)
        self._put(self._end.take_output())
        if self._core.wants_reboot and self._end.is_idle:
            self._core = self._end = None
            self._wake_after(REBOOT_S, self._boot)
        elif (wake_s := self._end.next_wake_s) is not None:
            self._wake_after(max(0.0, wake_s - now_s), self._turn)

    def _put(self, data: bytes) -> None:
        if data:
            self._after_latency(self._write, data)

    def _write(self, data: bytes) -> None:
        if self._master is None:
            return
        if self.faults.baud:
            data = as_heard(data, sent_baud=self.faults.baud, heard_baud=self.host_baud)
        self._unwritten += damaged(data, self.faults, self._entropy)
        self._writable()

    def _writable(self) -> None:
        """Writes what the terminal takes; a host that does not read stops the board's line, not this process."""
        assert self._master is not None, "the writer ends with the terminal"
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError):
            while self._unwritten:
                del self._unwritten[: os.write(self._master, self._unwritten)]
        if self._unwritten:
            loop.add_writer(self._master, self._writable)
        else:
            loop.remove_writer(self._master)

    def _wake_after(self, delay_s: float, act: Callable[[], None]) -> None:
        if self._wake is not None:
            self._wake.cancel()
        self._wake = asyncio.get_running_loop().call_later(delay_s, act)

    def _after_latency(self, act: Callable[[bytes], None], data: bytes) -> None:
        if not self.faults.latency_s:
            act(data)
            return
        loop = asyncio.get_running_loop()
        self._timers = {timer for timer in self._timers if timer.when() > loop.time()}
        self._timers.add(loop.call_later(self.faults.latency_s, act, data))


def pty_board(name: str, state: Path, program: Path | None) -> PtyBoard:
    """Entry point `hil.emulators`: the Python board; its flash is in `state`."""
    kept = KeptMemory(state / "flash")
    return PtyBoard(state / "tty", entropy=SystemEntropy(), model="pty-board", memory=kept.load(), keep=kept.keep)
