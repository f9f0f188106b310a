"""The gevent skin of a fleet: the same devices and the same books, for Locust, whose users are greenlets.

A device costs a greenlet that reads its socket; keep-alive is one greenlet for all. Nothing is patched here: plain connections work
without, TLS needs the sockets that Locust has patched.
"""

import ssl
from collections.abc import Callable
from contextlib import closing
from typing import Any

import gevent
import gevent.event
import gevent.socket

from harness.clock import Clock, SystemClock
from harness.entropy import Entropy
from harness.errors import TargetUnavailable
from simulators.device import downloader
from simulators.device.broker_line import broker_address
from simulators.device.settings import CONNECT_S_MAX
from simulators.fleet.admission import Credentials, admitted, shared_settings
from simulators.fleet.behaviour import STEADY, Behaviour
from simulators.fleet.blocking_fetch import READ_BYTES, fetch_blocking
from simulators.fleet.bookkeeping import Books, Transfer
from simulators.fleet.device_line import DeviceLine
from simulators.fleet.ledger import Ledger

LISTENING_S_MAX = 30.0
"""How long a user waits for its device to be connected and subscribed, over as many attempts as that takes."""

SEGMENT_BYTES = 64 * 1024

Happened = Callable[[str, float, str], None]
"""Told of what a load test counts: a name (`connect`, `download`), how long it took in seconds, and a problem or "". Must not wait."""


def nobody(name: str, duration_s: float, problem: str) -> None:
    """Nobody counts."""


class GeventFleet:
    """The devices of one Locust worker."""

    def __init__(
        self,
        *,
        mqtt_url: str,
        entropy: Entropy,
        ledger: Ledger,
        keep_alive_s: int = 60,
        tls: ssl.SSLContext | None = None,
        clean_session: bool = False,
        images: frozenset[str] = frozenset(),
        happened: Happened = nobody,
        clock: Clock | None = None,
    ) -> None:
        """Raises ValueError for an unusable URL."""
        self._clock = clock or SystemClock()
        self.ledger = ledger
        self.books = Books(ledger, self.now_s, lambda: None, images=images)
        self.counts = self.books.counts
        self.lines: list[DeviceLine] = []
        self._address = broker_address(mqtt_url)
        self._settings = shared_settings(mqtt_url, keep_alive_s=keep_alive_s, tls=tls, clean_session=clean_session)
        self._entropy = entropy
        self._happened = happened
        self._listening: dict[str, gevent.event.Event] = {}
        self._transfers: dict[tuple[str, int], Any] = {}
        self._is_leaving = False
        self._pulse = self.accounted(gevent.spawn(self._keep_alive)) if keep_alive_s else None

    # -------------------------------------------------------------------------------- for the users

    def connect(self, device: Credentials, behaviour: Behaviour = STEADY) -> DeviceLine:
        """A device that is connected and listening. Raises TargetUnavailable; the device then goes on trying, as real ones do."""
        line = admitted(device, behaviour, settings=self._settings, surroundings=self, books=self.books)
        self.lines.append(line)
        self._listening[device.device_id] = listening = gevent.event.Event()
        started_s = self.now_s()
        self.accounted(gevent.spawn(self._live, line))
        if not listening.wait(LISTENING_S_MAX):
            self._happened("connect", self.now_s() - started_s, "not listening")
            raise TargetUnavailable(f"device {device.device_id} is not listening after {LISTENING_S_MAX:g} s")
        self._happened("connect", self.now_s() - started_s, "")
        return line

    def leave(self, line: DeviceLine) -> None:
        """One device leaves with a clean DISCONNECT, and does not come back."""
        self.books.leaves(line)
        line.disconnect()

    def disconnect(self) -> None:
        """All devices leave with a clean DISCONNECT."""
        self._is_leaving = True
        self.books.close()
        for transfer in list(self._transfers.values()):
            transfer.kill(block=False)
        for line in self.lines:
            line.disconnect()
        if self._pulse is not None:
            self._pulse.kill(block=False)

    # -------------------------------------------------------------------------------- what devices ask for

    def now_s(self) -> float:
        return self._clock.monotonic_s()

    def listening(self, line: DeviceLine) -> None:
        self.books.listening(line)
        self._listening[line.device_id].set()

    def lost(self, line: DeviceLine, *, was_listening: bool) -> None:
        self.books.lost(line, was_listening=was_listening)
        self._listening[line.device_id].clear()

    def later(self, line: DeviceLine, delay_s: float) -> None:
        self.accounted(gevent.spawn_later(delay_s, line.grace_over))

    def refused(self, line: DeviceLine, reason: str) -> None:
        self.books.failed(reason)

    def crashed(self, line: DeviceLine, error: Exception) -> None:
        self.books.crashed(line, error)

    def download(self, line: DeviceLine, number: int) -> None:
        transfer = self.books.begun(line, number)
        self._transfers[line.device_id, number] = greenlet = self.accounted(gevent.spawn(self._transfer, line, number))
        # Not the greenlet's own `finally`: one that is killed before its first step never gets there.
        greenlet.link(lambda _: self._stopped(line, number, transfer))

    def _stopped(self, line: DeviceLine, number: int, transfer: Transfer) -> None:
        self._transfers.pop((line.device_id, number), None)
        self.books.stopped()
        self._happened("download", self.now_s() - transfer.began_s, transfer.problem)

    def cancel(self, line: DeviceLine, number: int) -> None:
        if transfer := self._transfers.get((line.device_id, number)):
            transfer.kill(block=False)

    # -------------------------------------------------------------------------------- greenlets

    def accounted(self, greenlet: Any) -> Any:
        """The same greenlet, whose crash is one of our own."""
        greenlet.link_exception(lambda crashed: self.books.slipped("a greenlet of the fleet", crashed.exception))
        return greenlet

    def _live(self, line: DeviceLine) -> None:
        """Connects, reads until the connection is gone, waits, and so on."""
        while not (self._is_leaving or self.books.is_over(line)):
            self._read(line)
            line.attempt += 1
            wait_s = line.machine.settings.backoff_s(line.attempt, self._entropy)
            if wait_s is None:
                return
            gevent.sleep(wait_s)
            self.counts.reconnects += 1

    def _read(self, line: DeviceLine) -> None:
        host, port, tls = self._address
        try:
            connection = gevent.socket.create_connection((host, port), timeout=CONNECT_S_MAX)
            if tls:
                # Needs the sockets that Locust has patched: the plain ones of `ssl` would block all greenlets.
                context = self._settings.tls or ssl.create_default_context()
                connection = context.wrap_socket(connection, server_hostname=host)
        except OSError as error:
            self.books.failed(error)
            return
        connection.settimeout(None)
        transport = SocketTransport(connection)
        line.connection_made(transport)  # type: ignore[arg-type]  # as much of a transport as a device needs
        try:
            while data := connection.recv(SEGMENT_BYTES):
                line.data_received(data)
        except OSError:
            pass  # Lost, which is what the next line says.
        finally:
            transport.abort()
            line.connection_lost(None)

    def _keep_alive(self) -> None:
        half_s = self._settings.keep_alive_s / 2
        while True:
            gevent.sleep(half_s / 4)
            now_s = self.now_s()
            for line in self.lines:
                if line.is_listening and now_s - line.last_sent_s >= half_s:
                    line.keep_alive()
                line.leave_if_mute(LISTENING_S_MAX)

    def _transfer(self, line: DeviceLine, number: int) -> None:
        total_s = line.machine.settings.download.total_s
        try:
            with gevent.Timeout(total_s):
                actions = line.downloading(number, downloader.Begin())
                while actions:
                    actions = self._follow(line, number, actions)
        except gevent.Timeout:
            line.downloading(number, downloader.Failed(f"not complete after {total_s:g} s"))

    def _follow(self, line: DeviceLine, number: int, actions: list[downloader.Action]) -> list[downloader.Action]:
        """Does `actions`; returns those that follow. File contents are not kept: the machine's hash has judged them."""
        for action in actions:
            match action:
                case downloader.Wait(duration_s):
                    gevent.sleep(duration_s)
                    return line.downloading(number, downloader.Waited())
                case downloader.Request():
                    return self._exchange(line, number, action)
        return []

    def _exchange(self, line: DeviceLine, number: int, request: downloader.Request) -> list[downloader.Action]:
        settings, speed = line.machine.settings, line.behaviour.bytes_per_s
        read_bytes = READ_BYTES if speed is None else max(256, min(READ_BYTES, int(speed / 4)))
        events = fetch_blocking(
            request, connect=_connected, tls=settings.tls, inactivity_s=settings.download.inactivity_s, read_bytes=read_bytes
        )
        with closing(events):
            for event in events:
                self.books.saw(line, number, event)
                following = line.downloading(number, event)
                if any(not isinstance(wanted, downloader.Write) for wanted in following):
                    return following
                if speed is not None and isinstance(event, downloader.Body):
                    gevent.sleep(len(event.data) / speed)
        return []


class SocketTransport:
    """As much of an asyncio transport as a device needs, over a socket of gevent's.

    Several greenlets write (the reader answers, a download tells its result, keep-alive pings), and a socket that takes no more blocks
    the one that is at it. So one sends at a time, and takes along what the others have to say meanwhile.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unsent = bytearray()
        self._is_sending = False
        self._is_closing = False

    def write(self, data: bytes) -> None:
        """Sends all of it, in one piece and in order; what a lost connection does not take is lost, and its reader will notice."""
        self._unsent += data
        if not self._is_sending:
            self._send()

    def _send(self) -> None:
        self._is_sending = True
        try:
            while self._unsent:
                piece, self._unsent = self._unsent, bytearray()
                self._connection.sendall(piece)
        except OSError:
            self.abort()
        except BaseException:
            # A greenlet that is killed or runs out of time here may leave half a packet on the wire: nothing may follow it.
            self.abort()
            raise
        finally:
            self._is_sending = False
        if self._is_closing:
            self._end()

    def close(self) -> None:
        """Ends our side once all has left; the reader ends when the server has closed its own."""
        self._is_closing = True
        if not self._is_sending:
            self._end()

    def _end(self) -> None:
        try:
            self._connection.shutdown(gevent.socket.SHUT_RDWR)
        except OSError:
            self.abort()

    def abort(self) -> None:
        """Closes at once."""
        self._connection.close()


def _connected(address: tuple[str, int], timeout_s: float) -> Any:
    return gevent.socket.create_connection(address, timeout=timeout_s)
