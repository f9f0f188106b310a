"""The asyncio skin of one device: moves bytes between the machine, the broker and the download server, and decides nothing.

It waits on its event loop only (no threads, no clock of its own), so it runs unmodified on a simulated loop. Downloads run in a task of
their own, so keep-alive and other commands go on meanwhile (DEV-15, DEV-16). A life lasts from boot to the next loss of power; what the
next life finds is what the storage kept.
"""

import asyncio
import ssl
from collections.abc import Callable
from enum import Enum
from functools import partial

from harness.entropy import Entropy
from harness.errors import RemoteWireError
from harness.mqtt.packets import Packet
from simulators.device import downloader, machine
from simulators.device.broker_line import BrokerLine, broker_address
from simulators.device.flash import MemoryStorage, Storage
from simulators.device.machine import DeviceMachine, Step
from simulators.device.personality import REFERENCE, Personality
from simulators.device.settings import CONNECT_S_MAX, DeviceSettings
from simulators.device.transfer import carry_out


class Ending(Enum):
    """Why a life of the device ended."""

    STOPPED = "stopped"
    REBOOT = "reboot"
    CRASH = "crash"
    POWER_CUT = "power cut"


def silent_console(line: str) -> None:
    """A console that nobody reads."""


class AsyncioDevice:
    """One virtual device. `await run()` in a task of its own; `stop`, `power_cut` and `drop_connection` act at once."""

    def __init__(
        self,
        settings: DeviceSettings,
        *,
        entropy: Entropy,
        storage: Storage | None = None,
        personality: Personality = REFERENCE,
        exits_on_reboot: bool = False,
        console: Callable[[str], None] = silent_console,
    ) -> None:
        """`exits_on_reboot`: `run` returns at a reboot or crash instead of starting again. Raises ValueError for an unusable `mqtt_url`."""
        self.settings = personality.tunes(settings)
        self.personality = personality
        self.storage: Storage = storage or MemoryStorage()
        self.boots = 0
        self._address = broker_address(self.settings.mqtt_url)
        self._entropy = entropy
        self._exits_on_reboot = exits_on_reboot
        self._console = console
        self._listening = asyncio.Event()
        self._ending: asyncio.Future[Ending] | None = None
        self._is_stopped = False
        self._machine: DeviceMachine | None = None
        self._line: BrokerLine | None = None
        self._transfers: dict[int, asyncio.Task[None]] = {}
        self._timers: list[asyncio.TimerHandle] = []

    # -------------------------------------------------------------------------------- what the owner may do

    async def run(self) -> Ending:
        """Lives until `stop`; with `exits_on_reboot` until the first reboot or crash. Cancelling it is a power cut."""
        while True:
            ending = await self._live()
            if ending is Ending.STOPPED or (self._exits_on_reboot and ending in (Ending.REBOOT, Ending.CRASH)):
                return ending
            await asyncio.sleep(self.settings.reboot_s)

    async def until_listening(self) -> None:
        """Waits until the device is connected and its subscriptions stand."""
        await self._listening.wait()

    def stop(self) -> None:
        """Ends with a clean DISCONNECT."""
        self._is_stopped = True
        if self._line is not None and self._machine is not None:
            self._line.send(self._machine.disconnect())
        self._end(Ending.STOPPED)

    def power_cut(self) -> None:
        """Power fails now: what was not saved is lost. The device boots again after `reboot_s`."""
        if self._line is not None:
            self._line.abort()
        self._end(Ending.POWER_CUT)

    def drop_connection(self) -> None:
        """The network fails now; the device will reconnect."""
        if self._line is not None:
            self._line.abort()

    # -------------------------------------------------------------------------------- one life

    async def _live(self) -> Ending:
        if self._is_stopped:
            return Ending.STOPPED
        self._ending = asyncio.get_running_loop().create_future()
        flash = machine.boot(self.storage.load(), self.settings, self.personality, self.storage.sha256)
        self.boots += 1
        self._console(f"booting, start {flash.boots}{self.settings.prints(self.settings.token)}")
        self._machine = DeviceMachine(self.settings, flash, self.personality)
        self._do(self._machine.power_on())
        connecting = asyncio.create_task(self._stay_connected())
        try:
            return await self._ending
        finally:
            await self._power_off([connecting, *self._transfers.values()])

    async def _power_off(self, tasks: list[asyncio.Task[None]]) -> None:
        self._machine = None
        self._listening.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._transfers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._line is not None:
            self._line.close()
            self._line = None

    def _end(self, ending: Ending) -> None:
        if self._ending is not None and not self._ending.done():
            self._ending.set_result(ending)

    def _is_alive(self) -> bool:
        return self._ending is not None and not self._ending.done()

    # -------------------------------------------------------------------------------- the line to the broker

    async def _stay_connected(self) -> None:
        attempt = 0
        while True:
            line = await self._connect()
            if line is not None:
                await line.closed
                if line.was_listening:
                    attempt = 0
            attempt += 1
            wait_s = self.settings.backoff_s(attempt, self._entropy)
            if wait_s is None:
                self._console("giving the connection up")
                return
            await asyncio.sleep(wait_s)

    async def _connect(self) -> BrokerLine | None:
        """A connection on which CONNECT has been sent; None where none came about."""
        host, port, tls = self._address
        loop = asyncio.get_running_loop()
        context = (self.settings.tls or ssl.create_default_context()) if tls else None
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                _, line = await loop.create_connection(lambda: BrokerLine(self, self.settings), host, port, ssl=context)
        except OSError as error:  # TimeoutError is one
            self._console(f"no connection to {host}:{port}: {error}")
            return None
        self._line = line
        assert self._machine is not None
        line.send([self._machine.connect()])
        line.expect_login(CONNECT_S_MAX)
        return line

    def received(self, line: BrokerLine, packet: Packet) -> None:
        """A packet came over `line`."""
        if self._machine is None or line is not self._line or not self._is_alive():
            return
        try:
            self._do(self._machine.received(packet))
        except RemoteWireError as error:
            self.hang_up(line, f"the server broke the protocol: {error}")

    def ping(self, line: BrokerLine) -> None:
        """Shows the server that the device is there, once it has accepted the connection."""
        if self._machine is not None and line is self._line:
            line.send(self._machine.ping())

    def hang_up(self, line: BrokerLine, reason: str) -> None:
        """Closes `line` for a reason that the console shows."""
        self._console(reason)
        line.abort()

    def line_lost(self, line: BrokerLine) -> None:
        """`line` is closed, by whomever."""
        if line is self._line:
            self._line = None
            self._listening.clear()
            if self._machine is not None:
                self._machine.connection_lost()

    @property
    def holds_packets(self) -> bool:
        """Whether a personality lets packets lie while it downloads."""
        return self._machine is not None and self._machine.is_downloading and not self.settings.serves_while_downloading

    @property
    def holds_pings(self) -> bool:
        """Whether a personality forgets its keep-alive while it downloads."""
        return self._machine is not None and self._machine.is_downloading and not self.settings.pings_while_downloading

    # -------------------------------------------------------------------------------- doing a step

    def _do(self, step: Step) -> list[downloader.Action]:
        """Saves, sends and acts, in this order; returns what is left for the download that asked."""
        if step.save is not None:
            self.storage.save(step.save)
        if step.send and self._line is not None:
            self._line.send(step.send)
        left: list[downloader.Action] = []
        for action in step.actions:
            match action:
                case machine.DownloadDo(_, download_action):
                    left.append(download_action)
                case _:
                    self._act(action)
        return left

    def _act(self, action: machine.Action) -> None:
        match action:
            case machine.LoggedIn():
                self._console("connected")
            case machine.Listening():
                self._is_listening()
            case machine.HangUp(reason) if self._line is not None:
                self.hang_up(self._line, reason)
            case machine.BeginDownload(number, area):
                self._transfers[number] = asyncio.create_task(self._transfer(number, area))
            case machine.CancelDownload(number):
                self._transfers.pop(number).cancel()
            case machine.ExpectReboot(grace_s):
                self._timers.append(asyncio.get_running_loop().call_later(grace_s, self._grace_over))
            case machine.Restart():
                self._console("rebooting")
                self._end(Ending.REBOOT)
            case machine.Die(reason, _, is_reboot):
                self._console(reason)
                self._end(Ending.REBOOT if is_reboot else Ending.CRASH)

    def _is_listening(self) -> None:
        self._console("listening")
        self._listening.set()
        if self._line is not None:
            self._line.was_listening = True

    def _grace_over(self) -> None:
        if self._machine is not None and self._is_alive():
            self._do(self._machine.grace_over())

    # -------------------------------------------------------------------------------- downloads

    async def _transfer(self, number: int, area: str) -> None:
        """Carries job `number` out, until the machine is done with it."""
        try:
            await carry_out(self.settings.download, partial(self._tell, number), self.storage, area, tls=self.settings.tls)
        finally:
            self._transfers.pop(number, None)
            if self._line is not None:
                self._line.let_go()

    def _tell(self, number: int, event: downloader.Event) -> list[downloader.Action]:
        if self._machine is None or not self._is_alive():
            return []
        return self._do(self._machine.downloading(number, event))
