"""Streaming a download: disk to network with bounded buffers, under the 15-minute bound, shaped and faulted where that is asked for.

A transfer counts as over when the peer's kernel has acknowledged every byte, not when our last write returned: small files fit into socket
buffers whole, and a bound that ended at the last write would not bound them (DLD-05). On a simulated network there is no socket to ask;
there the last write is the end.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain, repeat

from aiohttp import web

from harness.clock import AdvanceableClock
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind
from simulators.platform.service import Download, Service
from simulators.platform.shaping import Shaper

CHUNK_BYTES = 64 * 1024
FIRST_BYTES = 8 * 1024  # sent through aiohttp, with the head; the rest goes from file to socket inside the kernel
WRITE_BUFFER_BYTES = 16 * 1024  # at most this much of a slow download waits in user space, beside one chunk
KERNEL_CHUNK_BYTES = 1024 * 1024  # after so much, others get their turn
_LOOK_AFTER_S = (0.0, 0.002, 0.01, 0.05, 0.25)

TIME_IS_UP = "15 minutes are over"
PEER_GONE = "the peer closed the connection"
COPY_TOO_SHORT = "the copy is shorter than its key says"


@asynccontextmanager
async def bounded(transport: asyncio.Transport, clock: AdvanceableClock, limit_s: float) -> AsyncIterator["Bound"]:
    """Resets the connection when `limit_s` have passed on `clock`, even in a jump of it.   Source: DLD-05."""
    bound = Bound(transport, clock, clock.monotonic_s() + limit_s)
    forget = clock.on_advance(bound.look)
    bound.look()
    try:
        yield bound
    finally:
        forget()
        bound.cancel()


class Bound:
    """The deadline of one transfer; `is_over` once it has struck."""

    __slots__ = ("_at_s", "_clock", "_timer", "_transport", "is_over", "on_strike")

    def __init__(self, transport: asyncio.Transport, clock: AdvanceableClock, at_s: float) -> None:
        self._transport = transport
        self._clock = clock
        self._at_s = at_s
        self._timer: asyncio.TimerHandle | None = None
        self.is_over = False
        self.on_strike: Callable[[], None] | None = None

    def look(self) -> None:
        """Strikes once, if it is time, and else looks again when it will be."""
        self.cancel()
        if self.is_over:
            return
        left_s = self._at_s - self._clock.monotonic_s()
        if left_s <= 0:
            self.is_over = True
            reset(self._transport)
            if self.on_strike is not None:
                self.on_strike()
        else:
            self._timer = asyncio.get_running_loop().call_later(left_s, self.look)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def reset(transport: asyncio.Transport) -> None:
    """Ends the connection so that the peer sees a reset, and what waits in buffers never arrives."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        # The peer may have closed it a moment ago; then there is nothing left to reset.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def acknowledged(transport: asyncio.Transport) -> bool:
    """Waits until the peer has all bytes that were written; False where the connection ended before."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None:
        return not transport.is_closing()
    return await _emptied(transport, lambda: transport.get_write_buffer_size() + _unacknowledged_bytes(connection))


async def _flushed(transport: asyncio.Transport) -> bool:
    """Waits until nothing of the connection waits in user space; False where it ended before."""
    return await _emptied(transport, transport.get_write_buffer_size)


async def _emptied(transport: asyncio.Transport, left_bytes: Callable[[], int]) -> bool:
    """Waits until nothing is left, and looks less and less often; False where the connection ended before."""
    waits_s = chain(_LOOK_AFTER_S, repeat(_LOOK_AFTER_S[-1]))
    while not transport.is_closing():
        if left_bytes() == 0:
            return True
        await asyncio.sleep(next(waits_s))
    return False


class Outlet:
    """A descriptor of a connected socket into which files are sent. A context manager that closes it."""

    __slots__ = ("_descriptor", "_has_given_up", "_loop", "_writable")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._writable: asyncio.Future[None] | None = None
        self._has_given_up = False

    async def sendfile(self, source: int, size_bytes: int) -> int:
        """Sends what fits of the next `size_bytes` of `source`, at least one; 0 at its end. Raises ConnectionError."""
        await asyncio.sleep(0)
        while not self._has_given_up:
            try:
                return os.sendfile(self._descriptor, source, None, size_bytes)
            except BlockingIOError:
                await self._until_writable()
        raise ConnectionResetError(PEER_GONE)

    async def _until_writable(self) -> None:
        self._writable = self._loop.create_future()
        self._loop.add_writer(self._descriptor, self._wake)
        try:
            await self._writable
        finally:
            self._loop.remove_writer(self._descriptor)

    def _wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def give_up(self) -> None:
        """Ends a `sendfile` that waits, and every later one."""
        self._has_given_up = True
        self._wake()

    def __enter__(self) -> "Outlet":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _unacknowledged_bytes(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int.from_bytes(answer, "little")


@dataclass(slots=True)
class Transfer:
    """One body on its way. `sent_bytes` counts what was handed to the network."""

    response: web.StreamResponse
    transport: asyncio.Transport
    download: Download
    service: Service
    shaper: Shaper | None
    fault: DownloadFault | None
    progress: Callable[[int], None] | None
    bound: Bound
    sent_bytes: int = 0
    problem: str = ""
    _pacer: Shaper | None = field(default=None)

    async def run(self) -> None:
        """Sends the body to its end, or says in `problem` why not."""
        try:
            await self._send_all()
            await self.response.write_eof()
            if not self.problem and not await acknowledged(self.transport):
                self.problem = PEER_GONE
        except ConnectionError:
            self.problem = self.problem or PEER_GONE

    async def _send_all(self) -> None:
        download = self.download
        assert download.copy is not None
        download.copy.seek(download.first)
        left = download.end - download.first
        held_back = 1 if download.is_claimed_at_end and left else 0
        passage = self._passage()
        while left > held_back:
            data = download.copy.read(min(left - held_back, FIRST_BYTES) if passage else self._step_bytes(left - held_back))
            if not data:
                self._give_up(COPY_TOO_SHORT)
                return
            left -= len(data)
            if not await self._send(data):
                return
            del data  # thousands may wait below, each with what it still refers to
            if passage is not None and left > held_back:
                if not await self._pass_in_kernel(passage, left - held_back):
                    return
                left = held_back
        if download.is_claimed_at_end:
            await self._send_last(download.copy.read(held_back))
        if self.fault:
            await self._strike_after_all(self.fault)

    async def _strike_after_all(self, fault: DownloadFault) -> None:
        if fault.kind is DownloadFaultKind.CUT and self.sent_bytes == self._strike_byte():
            await self._strike(b"")
        if fault.kind is DownloadFaultKind.LONG:
            await self.response.write_eof()
            self.transport.write(bytes(fault.amount_bytes))  # below the HTTP writer, which would keep to the announced length
            self.problem = f"fault: {fault.amount_bytes} bytes more than announced"
            self.transport.close()

    def _passage(self) -> socket.socket | None:
        """The socket into which the kernel may copy the file by itself; None where bytes must pass through here, or there is no socket."""
        if self.shaper or self.fault or self.transport.get_extra_info("sslcontext"):
            return None
        passage: socket.socket | None = self.transport.get_extra_info("socket")
        return passage

    async def _pass_in_kernel(self, passage: socket.socket, size_bytes: int) -> bool:
        """Sends the next `size_bytes` of the copy by sendfile: no buffer in user space, however slow the peer is (DLD-11).

        False where the transfer ends here. Raises ConnectionError.
        """
        copy = self.download.copy
        assert copy is not None
        if not await _flushed(self.transport):
            raise ConnectionResetError(PEER_GONE)
        # A second descriptor of the same socket: event loops do not lend out the one that a transport uses.
        with Outlet(os.dup(passage.fileno())) as outlet:
            self.bound.on_strike = outlet.give_up
            while size_bytes:
                sent = await outlet.sendfile(copy.fileno(), min(size_bytes, KERNEL_CHUNK_BYTES))
                if sent == 0:
                    self._give_up(COPY_TOO_SHORT)
                    return False
                size_bytes -= sent
                self.sent_bytes += sent
                if self.progress:
                    self.progress(self.sent_bytes)
            self.bound.on_strike = None
        return True

    def _give_up(self, problem: str) -> None:
        """Ends the transfer so that the peer cannot take it for a whole one."""
        self.problem = problem
        reset(self.transport)

    async def _send_last(self, data: bytes) -> None:
        """Under `complete-delivery`: the last byte goes out only to a peer that has all the others, and only once."""
        if not await acknowledged(self.transport):
            self.problem = PEER_GONE
        elif not self.service.claim_if_complete(self.download):
            self._give_up("the file was delivered elsewhere meanwhile")
        elif data:
            await self._send(data)

    def _step_bytes(self, left: int) -> int:
        """How many bytes to send next: up to where a fault strikes."""
        size_bytes = min(left, self.shaper.chunk_bytes if self.shaper else CHUNK_BYTES)
        if self._pacer:
            size_bytes = min(size_bytes, self._pacer.chunk_bytes)
        if self.fault and 0 <= self.sent_bytes < (strike := self._strike_byte()):
            size_bytes = min(size_bytes, strike - self.sent_bytes)
        return size_bytes

    def _strike_byte(self) -> int:
        """The byte of the body at which the fault strikes."""
        assert self.fault is not None
        size_bytes = self.download.end - self.download.first
        if self.fault.kind is DownloadFaultKind.SHORT:
            return max(0, size_bytes - self.fault.amount_bytes)
        return self.fault.at_byte if self.fault.at_byte >= 0 else size_bytes + self.fault.at_byte

    async def _send(self, data: bytes) -> bool:
        """Sends `data` unless a fault ends the transfer here."""
        if self.fault and self.sent_bytes == self._strike_byte():
            data = await self._strike(data)
            if not data:
                return False
        step = self._pacer.chunk_bytes if self._pacer else len(data)
        for start in range(0, len(data), step):
            await self._pass(data[start : start + step])
        return True

    async def _pass(self, data: bytes) -> None:
        for shaper in (self.shaper, self._pacer):
            if shaper:
                await asyncio.sleep(shaper.delay_s(len(data), asyncio.get_running_loop().time()))
        await self.response.write(data)
        self.sent_bytes += len(data)
        if self.progress:
            self.progress(self.sent_bytes)

    async def _strike(self, data: bytes) -> bytes:
        """Carries the fault out; returns what is to be sent of `data`, nothing where the transfer ends."""
        assert self.fault is not None
        match self.fault.kind:
            case DownloadFaultKind.CUT | DownloadFaultKind.SHORT:
                self.problem = f"fault: {self.fault.kind.value} at byte {self.sent_bytes}"
                if self.fault.kind is DownloadFaultKind.CUT:
                    await acknowledged(self.transport)
                    reset(self.transport)
                else:
                    self.transport.close()
                return b""
            case DownloadFaultKind.STALL:
                await asyncio.sleep(self.fault.pause_s)
            case DownloadFaultKind.TRICKLE:
                self._pacer = Shaper(self.fault.bytes_per_s)
                return data
            case DownloadFaultKind.CORRUPT:
                return bytes([data[0] ^ 0xFF]) + data[1:]
        return data
