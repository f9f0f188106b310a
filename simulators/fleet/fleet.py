"""Thousands of devices in one process, and what they share: one keep-alive timer, a bounded number of connects at a time, one ledger.

An idle device costs its machine, its socket and one place in the keep-alive queue, and nothing runs for it. Devices that connect, wait
for their next attempt or download have a task or a timer as long as that lasts.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Coroutine, Sequence

from harness.entropy import Entropy
from simulators.device import downloader
from simulators.device.broker_line import broker_address
from simulators.device.flash import Flash
from simulators.device.settings import CONNECT_S_MAX
from simulators.device.transfer import carry_out
from simulators.fleet.admission import Credentials, admitted, shared_settings
from simulators.fleet.behaviour import Mix
from simulators.fleet.bookkeeping import Books
from simulators.fleet.device_line import DeviceLine
from simulators.fleet.ledger import Ledger

CONNECTS_AT_A_TIME = 128
DEVICES_PER_ADDRESS = 25_000
"""Connections from one source address to one server; Linux has about 28,000 ephemeral ports."""

LOGIN_S_MAX = 60.0
"""How long the answer to CONNECT or SUBSCRIBE may take: a server to which thousands come at once is slow, and not dead."""

FADE_S = 5.0
"""How long a flaky device waits for a command in whose midst it can lose its connection; after that it loses it anyhow."""

STORM_S = 0.1
"""For so long a reconnect storm swallows what devices say, before it takes their connections."""

LEAVE_S_MAX = 10.0
"""How long clean disconnects may take before the process ends all the same."""


class DiscardingStorage:
    """Keeps no file contents: the machine's hash has judged them."""

    def load(self) -> Flash | None:
        return None

    def save(self, flash: Flash) -> None: ...

    def erase(self, area: str) -> None: ...

    def append(self, area: str, data: bytes) -> None: ...

    def sha256(self, area: str) -> str:
        return ""


class Fleet:
    """The devices of one process. `connect`, then let operators send, then `settle` and `disconnect`."""

    def __init__(
        self,
        *,
        mqtt_url: str,
        entropy: Entropy,
        ledger: Ledger,
        mix: Mix | None = None,
        keep_alive_s: int = 60,
        tls: ssl.SSLContext | None = None,
        clean_session: bool = False,
        images: frozenset[str] = frozenset(),
    ) -> None:
        """`images` are the SHA-256 digests that a downloaded image may have; empty: any. Raises ValueError for an unusable URL."""
        self._loop = asyncio.get_running_loop()
        self._progress = asyncio.Event()
        self.ledger = ledger
        self.books = Books(ledger, self.now_s, self._moved, images=images)
        self.counts = self.books.counts
        self.lines: list[DeviceLine] = []
        self._address = broker_address(mqtt_url)
        self._settings = shared_settings(mqtt_url, keep_alive_s=keep_alive_s, tls=tls, clean_session=clean_session)
        self._entropy = entropy
        self._mix = (mix or Mix()).deal(entropy.stream("mix"))
        self._tls = (tls or ssl.create_default_context()) if self._address[2] else None
        self._due: deque[tuple[float, DeviceLine]] = deque()
        self._pulse: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._transfers: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(CONNECTS_AT_A_TIME)
        self._is_leaving = False

    # -------------------------------------------------------------------------------- connecting

    def add(self, credentials: Sequence[Credentials]) -> None:
        """Makes devices, not yet connected."""
        for device in credentials:
            line = admitted(device, next(self._mix), settings=self._settings, surroundings=self, books=self.books)
            line.source = self._source(len(self.lines))
            self.lines.append(line)

    async def connect(self, *, rate_per_s: float | None = None) -> None:
        """Connects all devices, at most `rate_per_s` starts a second; returns when each is listening or had its first failure."""
        started_s = self._loop.time()
        self._await_logins()
        for number, line in enumerate(self.lines):
            if self._is_leaving:
                break
            if rate_per_s and (ahead_s := started_s + number / rate_per_s - self._loop.time()) > 0:
                await asyncio.sleep(ahead_s)
            await self._slots.acquire()
            self._start(self._open(line))
        for _ in range(CONNECTS_AT_A_TIME):
            await self._slots.acquire()
        for _ in range(CONNECTS_AT_A_TIME):
            self._slots.release()

    def _await_logins(self) -> None:
        """Ends, again and again, connections on which CONNECT or SUBSCRIBE has not been answered for too long."""
        for line in self.lines:
            line.leave_if_mute(LOGIN_S_MAX)
        self._patience = self._loop.call_later(LOGIN_S_MAX, self._await_logins)

    async def until_connected(self, deadline_s: float) -> bool:
        """Waits until every device is listening; False where that did not happen by `deadline_s` of the loop's clock."""
        while self.counts.connected < len(self.lines):
            if not await self.progressed(deadline_s):
                return False
        return True

    async def until_any_connected(self, deadline_s: float) -> None:
        """Waits until a device is listening, or until `deadline_s` of the loop's clock: a target that has gone stays away."""
        while not self.counts.connected and await self.progressed(deadline_s):
            pass

    async def _open(self, line: DeviceLine) -> None:
        """One connection; holds one of the connect slots, which it gives back."""
        host, port, _ = self._address
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._loop.create_connection(lambda: line, host, port, ssl=self._tls, local_addr=line.source)
        except OSError as error:
            self.books.failed(error if str(error) else TimeoutError(f"no connection within {CONNECT_S_MAX:g} s"))
            self._retry(line)
        finally:
            self._slots.release()

    def _source(self, number: int) -> tuple[str, int] | None:
        """Another source address in 127/8 for each 25,000 devices, where the server is on this machine."""
        block = number // DEVICES_PER_ADDRESS
        return (f"127.0.1.{block}", 0) if block and self._address[0] in ("127.0.0.1", "localhost") else None

    def _retry(self, line: DeviceLine) -> None:
        if self._is_leaving or self.books.is_over(line):
            return
        line.attempt += 1
        wait_s = line.machine.settings.backoff_s(line.attempt, self._entropy)
        if wait_s is not None:
            self._loop.call_later(wait_s, self._reconnect, line)

    def _reconnect(self, line: DeviceLine) -> None:
        if not self._is_leaving and not line.is_open:
            self._start(self._reopen(line))

    async def _reopen(self, line: DeviceLine) -> None:
        await self._slots.acquire()
        self.counts.reconnects += 1
        await self._open(line)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -------------------------------------------------------------------------------- what devices ask for

    def now_s(self) -> float:
        return self._loop.time()

    def _moved(self) -> None:
        self._progress.set()

    def listening(self, line: DeviceLine) -> None:
        self.books.listening(line)
        keep_alive_s = line.machine.settings.keep_alive_s
        if keep_alive_s:
            self._ping_after(line, keep_alive_s / 2)
            self._beat()
        if line.behaviour.drops_every_s is not None:
            drop_s = self._entropy.uniform(0.5, 1.5) * line.behaviour.drops_every_s
            self._loop.call_later(drop_s, self._fade, line)

    def _fade(self, line: DeviceLine) -> None:
        line.fade()
        self._loop.call_later(FADE_S, line.faded)

    async def storm(self) -> None:
        """All connections are lost at once, and with them the last things that devices have said."""
        for line in self.lines:
            line.fade()
        await asyncio.sleep(STORM_S)
        for line in self.lines:
            line.faded()

    def lost(self, line: DeviceLine, *, was_listening: bool) -> None:
        self.books.lost(line, was_listening=was_listening)
        if not self._is_leaving:
            self._retry(line)

    def later(self, line: DeviceLine, delay_s: float) -> None:
        self._loop.call_later(delay_s, line.grace_over)

    def refused(self, line: DeviceLine, reason: str) -> None:
        self.books.failed(reason)

    def crashed(self, line: DeviceLine, error: Exception) -> None:
        self.books.crashed(line, error)

    # -------------------------------------------------------------------------------- keep-alive

    def _beat(self) -> None:
        if self._pulse is None and self._due:
            self._pulse = self._loop.call_at(self._due[0][0], self._keep_alive)

    def _keep_alive(self) -> None:
        """Pings the devices whose turn it is: all have the same keep-alive, so the queue is in the order of time."""
        self._pulse = None
        now_s = self.now_s()
        while self._due and self._due[0][0] <= now_s:
            due_s, line = self._due.popleft()
            if not line.is_listening or due_s != line.ping_due_s:
                continue  # It is offline, or has come back since: then it has another place further behind.
            half_s = line.machine.settings.keep_alive_s / 2
            if now_s - line.last_sent_s >= half_s * 0.8:
                line.keep_alive()
            self._ping_after(line, half_s)
        self._beat()

    def _ping_after(self, line: DeviceLine, delay_s: float) -> None:
        line.ping_due_s = self.now_s() + delay_s
        self._due.append((line.ping_due_s, line))

    # -------------------------------------------------------------------------------- downloads

    def download(self, line: DeviceLine, number: int) -> None:
        self.books.begun(line, number)
        self._transfers[line.device_id, number] = task = self._loop.create_task(self._transfer(line, number))
        task.add_done_callback(lambda _: self._stopped(line, number))

    def _stopped(self, line: DeviceLine, number: int) -> None:
        self._transfers.pop((line.device_id, number), None)
        self.books.stopped()

    def cancel(self, line: DeviceLine, number: int) -> None:
        if transfer := self._transfers.get((line.device_id, number)):
            transfer.cancel()

    async def _transfer(self, line: DeviceLine, number: int) -> None:
        settings, speed = line.machine.settings, line.behaviour.bytes_per_s

        def tell(event: downloader.Event) -> list[downloader.Action]:
            self.books.saw(line, number, event)
            return line.downloading(number, event)

        await carry_out(settings.download, tell, DiscardingStorage(), "", tls=settings.tls, bytes_per_s=speed)

    # -------------------------------------------------------------------------------- ending

    async def settle(self, deadline_s: float, *, expected: int) -> bool:
        """Waits until `expected` messages were released and no download runs; False where that did not happen by `deadline_s`."""
        while self.counts.delivered < expected or self.counts.downloads_running:
            if not await self.progressed(deadline_s):
                return False
        return True

    async def progressed(self, deadline_s: float) -> bool:
        """Waits for something to happen; False once `deadline_s` of the loop's clock has passed."""
        self._progress.clear()
        try:
            async with asyncio.timeout_at(min(deadline_s, self.now_s() + 1.0)):
                await self._progress.wait()
        except TimeoutError:
            return self.now_s() < deadline_s
        return True

    async def disconnect(self) -> None:
        """All devices leave with a clean DISCONNECT."""
        self._is_leaving = True
        self.books.close()
        for task in [*self._tasks, *self._transfers.values()]:
            task.cancel()
        for timer in (self._pulse, self._patience):
            if timer is not None:
                timer.cancel()
        for number, line in enumerate(self.lines):
            line.disconnect()
            if number % 500 == 499:
                await asyncio.sleep(0)
        deadline_s = self.now_s() + LEAVE_S_MAX
        while any(line.is_open for line in self.lines) and await self.progressed(deadline_s):
            pass
