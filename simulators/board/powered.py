"""A board of the inventory as the device under test: a PoweredDevice of `simulators.counterpart.power`.

Bridge boards get a gateway, network boards are provisioned over their console. Either way their lines, and each of their boots, go to the
timeline of the run.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from harness.bench.serial.board import OpenBoard, open_board
from harness.bench.serial.inventory import BoardEntry
from harness.bench.serial.leases import Lease
from harness.bench.serial.ports import ConsoleEvent, ConsoleLine, LinkKind
from harness.clock import Clock
from harness.entropy import Entropy
from harness.errors import BenchError, ResourceMissing
from harness.history.events import DeviceExited, DeviceStarted, SerialLine
from harness.history.recorder import Recorder
from simulators.board.gateway import BoardGateway, GatewayLogin
from simulators.counterpart.attendance import Attendance
from simulators.counterpart.power import Credentials, ScopeOf, environment_of, record_for

QEMU_HOST = "10.0.2.2"  # this machine, as a board on QEMU's user network sees it
BOOT_EVENT = "boot"


class BoardDevice:
    """One board. `on` opens and starts it, `cut` takes its power, `off` ends it and gives the lease back."""

    def __init__(
        self,
        credentials: Credentials,
        scope_of: ScopeOf,
        *,
        entry: BoardEntry,
        state: Path,
        clock: Clock,
        entropy: Entropy,
        recorder: Recorder,
        lease: Lease | None = None,
        boot_pattern: str | None = None,
    ) -> None:
        """`entry` is one of an inventory, or `read_board(device_file, file.device.run.serial, name=…)`.

        `lease` is held for longer than the board is powered; without it the board is free for others between `cut` and `on`.
        """
        self._credentials, self._entry, self._state = credentials, entry, state
        self.environment: Mapping[str, str] = environment_of(credentials)
        self._clock, self._entropy = clock, entropy
        self._lease = lease
        self._patterns = {BOOT_EVENT: boot_pattern} if boot_pattern else {}
        self._record = partial(record_for, recorder, scope_of, credentials.device_id)
        self._boots = 0
        self._booting = asyncio.Event()
        self._is_expected = True  # whether the next boot is our doing
        self.attendance = Attendance()
        self._board: OpenBoard | None = None
        self._gateway: BoardGateway | None = None

    async def on(self) -> None:
        """Raises BenchError where the board cannot be opened."""
        if self._board is not None and self._entry.power.method == "shell":
            await self._board.cycle_power()
            return
        if self.attendance.is_under_way:
            return
        ready = asyncio.get_running_loop().create_future()
        life = self.attendance.begin(self._live(ready))
        await asyncio.wait({life, ready}, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            life.result()

    async def cut(self) -> None:
        """Raises ResourceMissing where the inventory names no way to cut its power."""
        if self._board is not None and self._board.power is None:
            raise ResourceMissing(f"{self._entry.name}: the inventory names no way to cut its power")
        self._is_expected = True
        if self._gateway is not None:
            self._gateway.drop()
        if self._board is not None and self._entry.power.method == "shell" and self._board.power is not None:
            await self._board.power.off()
            return
        await self.attendance.end()

    async def off(self) -> None:
        await self.attendance.end()

    async def _live(self, ready: "asyncio.Future[None]") -> None:
        try:
            await self._run(ready)
        except BenchError as error:
            self._note(f"bench: {error}")
            raise

    async def _run(self, ready: "asyncio.Future[None]") -> None:
        is_bridge = self._entry.link is not LinkKind.NETWORK
        memory = self._gateway.memory if self._gateway is not None else None
        self._gateway = None
        if is_bridge:
            self._gateway = BoardGateway(
                self._login(), entropy=self._entropy.stream("gateway"), on_boot=self._has_booted, say=self._note, memory=memory
            )
        async with self._opened() as board:
            self._board = board
            ready.set_result(None)
            try:
                if self._gateway is not None and board.link is not None:
                    await board.link.wait_connected(deadline_s=asyncio.get_running_loop().time() + self._entry.boot_s)
                    await self._gateway.serve(board.link)
                else:
                    await self._provision_each_boot(board)
            finally:
                self._board = None

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[OpenBoard]:
        async with open_board(
            self._entry,
            clock=self._clock,
            entropy=self._entropy.stream("link"),
            state=self._state,
            world=self._gateway,
            holder=f"certification of {self._credentials.device_id}",
            lease=self._lease,
            patterns=self._patterns,
            prepare=self._watch,
        ) as board:
            yield board

    def _watch(self, board: OpenBoard) -> None:
        """Before the board runs, so that its first line is seen too."""
        board.console.on_line(self._printed)
        if self._gateway is None:
            self._booting.clear()
            board.console.on_event(self._heard)

    async def _provision_each_boot(self, board: OpenBoard) -> None:
        while True:
            await self._booting.wait()
            self._booting.clear()
            await self._provision(board)

    async def _provision(self, board: OpenBoard) -> None:
        provision, fields = self._entry.provision, self._fields()
        for template in provision.lines:
            after_line = board.console.last_number
            text = template.format_map(fields)
            self._record(SerialLine(self._credentials.device_id, "us", text))
            await board.console.write((text + provision.line_end).encode())
            if provision.expect:
                deadline_s = asyncio.get_running_loop().time() + self._entry.answer_s
                await board.console.wait_for(provision.expect, deadline_s=deadline_s, after_line=after_line)

    def _fields(self) -> dict[str, str]:
        mqtt, api = urlsplit(self._credentials.mqtt_url), urlsplit(self._credentials.api_url)
        seen = self._entry.provision.host_as_seen_by_board or (QEMU_HOST if self._entry.emulator else mqtt.hostname or "")
        return {
            "device_id": self._credentials.device_id,
            "token": self._credentials.token,
            "mqtt_host": seen,
            "mqtt_port": str(mqtt.port or 1883),
            "api_url": f"{api.scheme}://{seen}:{api.port}",
            "keep_alive_s": f"{self._credentials.keep_alive_s:g}",
        }

    def _login(self) -> GatewayLogin:
        credentials = self._credentials
        return GatewayLogin(credentials.device_id, credentials.token, credentials.mqtt_url, int(credentials.keep_alive_s))

    def _heard(self, event: ConsoleEvent) -> None:
        if event.name == BOOT_EVENT:
            self._has_booted()
            self._booting.set()

    def _has_booted(self) -> None:
        """A boot that is not our doing is a reboot: the device ended by itself, and well."""
        self._boots += 1
        if not self._is_expected:
            self._record(DeviceExited(self._credentials.device_id, 0, by_us=False))
        self._is_expected = False
        self._record(DeviceStarted(self._credentials.device_id, self._boots))

    def _printed(self, line: ConsoleLine) -> None:
        self._record(SerialLine(self._credentials.device_id, "board", line.text))

    def _note(self, line: str) -> None:
        self._record(SerialLine(self._credentials.device_id, "us", line))
