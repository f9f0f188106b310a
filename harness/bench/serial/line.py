"""The driver of a serial line: pyserial's URLs on an asyncio loop.

Ports with a file descriptor go through pyserial-asyncio-fast; the others (rfc2217://, loop://) are read by a thread. A port that goes away
and comes back within `return_s` is normal: that is what a board with its own USB does at each reset.
"""

import asyncio
import contextlib
import errno
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, cast

import serial
import serial_asyncio_fast

from harness.bench.serial.ports import PortAbsent, PortBusy, PortUnplugged, SerialPort
from harness.errors import BenchError

READ_BYTES = 65_536
RETURN_POLL_S = 0.05
THREAD_READ_S = 0.05


class _ReadyPort(serial.Serial):
    """A device file that is read when the loop says that it is ready. pyserial's own read calls select(), which ends at descriptor 1023."""

    def read(self, size: int = 1, /) -> bytes:
        """What is there, at once. `size` is ignored: the transport asks for 1024 bytes, which would cost a turn of the loop each."""
        try:
            data = os.read(self.fileno(), READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise serial.SerialException(f"read failed: {error}") from error
        if not data:
            raise serial.SerialException("the device is ready to read and has nothing: unplugged")
        return data


class AsyncioSerialLine:
    """A SerialLine on the running loop. Opened and closed as an asynchronous context manager, or by name."""

    def __init__(self, port: SerialPort) -> None:
        self.port = port
        self._port: serial.SerialBase | None = None
        self._pump: _Pump | None = None
        self._byte_listeners: list[Callable[[bytes, float], None]] = []
        self._gone_listeners: list[Callable[[BenchError | None], None]] = []
        self._returning: asyncio.Task[None] | None = None
        self._problem: BenchError | None = None
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> "AsyncioSerialLine":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._port = await loop.run_in_executor(None, open_port, self.port)
        pump = _TransportPump if hasattr(self._port, "fileno") and _has_descriptor(self._port) else _ThreadPump
        self._pump = pump(loop, self._port, self._received, self._lost)
        self._problem = None

    async def close(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._returning
            self._returning = None
        if self._pump is not None:
            await self._pump.close()
        self._pump = self._port = None

    async def write(self, data: bytes) -> None:
        step = self.port.pace_bytes or len(data)
        async with self._writing:
            for start in range(0, len(data), step or 1):
                if start:
                    await asyncio.sleep(self.port.pace_gap_s)
                self.write_now(data[start : start + step])

    def write_now(self, data: bytes) -> None:
        """Hands all of it to the operating system at once, without pacing. Raises PortUnplugged while the port is away."""
        if self._pump is None:
            raise self._problem or PortUnplugged(f"{self.port.url} is not open")
        self._pump.write(data)

    def on_bytes(self, listener: Callable[[bytes, float], None]) -> Callable[[], None]:
        self._byte_listeners.append(listener)
        return lambda: self._byte_listeners.remove(listener)

    def on_gone(self, listener: Callable[[BenchError | None], None]) -> Callable[[], None]:
        self._gone_listeners.append(listener)
        return lambda: self._gone_listeners.remove(listener)

    async def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        if self._port is None:
            raise PortUnplugged(f"{self.port.url} is not open")
        try:
            if dtr is not None:
                self._port.dtr = dtr
            if rts is not None:
                self._port.rts = rts
        except OSError as error:
            raise BenchError(f"{self.port.url} has no DTR and RTS lines") from error

    def _received(self, data: bytes) -> None:
        at_s = asyncio.get_running_loop().time()
        for listener in list(self._byte_listeners):
            listener(data, at_s)

    def _lost(self, cause: BaseException | None) -> None:
        if self._pump is None:
            return
        self._pump = self._port = None
        self._problem = PortUnplugged(f"{self.port.url} was unplugged, or what emulates it has ended ({cause or 'closed'})")
        for listener in list(self._gone_listeners):
            listener(self._problem)
        self._returning = asyncio.ensure_future(self._come_back())

    async def _come_back(self) -> None:
        deadline_s = asyncio.get_running_loop().time() + self.port.return_s
        while asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(RETURN_POLL_S)
            with contextlib.suppress(BenchError):
                await self.open()
                for listener in list(self._gone_listeners):
                    listener(None)
                return


def open_port(port: SerialPort) -> serial.SerialBase:
    """The pyserial port, open. Raises PortAbsent, PortBusy or BenchError. Blocks (rfc2217 for half a second)."""
    try:
        if "://" in port.url:
            return _without_delay(serial.serial_for_url(port.url, baudrate=port.baud, timeout=0, write_timeout=0))
        return _ReadyPort(port.url, baudrate=port.baud, timeout=0, write_timeout=0, exclusive=True)
    except (OSError, ValueError) as error:
        raise _explained(port, error) from error


def _without_delay(opened: serial.SerialBase) -> serial.SerialBase:
    """A frame and the acknowledgement before it are small writes in a row: with Nagle's algorithm each exchange takes 40 ms more."""
    connection = getattr(opened, "_socket", None)
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def _explained(port: SerialPort, error: Exception) -> BenchError:
    number = getattr(error, "errno", None)
    text = str(error)
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "refused" in text or "No such file" in text:
        return PortAbsent(f"no such port: {port.url} (is the board plugged in? `hil board list` shows what is)")
    if number in (errno.EAGAIN, errno.EBUSY, errno.EWOULDBLOCK):
        return PortBusy(f"busy port: another program has {port.url} open")
    if number in (errno.EACCES, errno.EPERM):
        return BenchError(f"no permission for {port.url}: add yourself to the group that owns it (dialout on Debian)")
    return BenchError(f"{port.url} cannot be opened: {text}")


def _has_descriptor(port: serial.SerialBase) -> bool:
    try:
        return isinstance(port.fileno(), int)
    except (OSError, ValueError, NotImplementedError):
        return False


class _Pump(ABC):
    """Moves the bytes of one open port: tells `received` what comes, and `lost` why no more will come. Starts at once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        port: serial.SerialBase,
        received: Callable[[bytes], None],
        lost: Callable[[BaseException | None], None],
    ) -> None:
        self._loop, self._port, self._received, self._lost = loop, port, received, lost
        self._start()

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def write(self, data: bytes) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...


class _Transport(serial_asyncio_fast.SerialTransport):
    """pyserial-asyncio-fast 0.16 keeps waiting for "writable" when its buffer is empty again, and then spins on an assertion."""

    def _write_ready(self) -> None:
        if self._write_buffer:
            super()._write_ready()
        if not self._write_buffer:
            self._remove_writer()


class _TransportPump(_Pump, asyncio.Protocol):
    """Through pyserial-asyncio-fast."""

    def _start(self) -> None:
        self._closed = self._loop.create_future()
        self._transport = _Transport(self._loop, self, cast(serial.Serial, self._port))

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lost(exc)
        if not self._closed.done():
            self._closed.set_result(None)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def close(self) -> None:
        self._lost = lambda _cause: None
        self._transport.flush()
        self._transport.close()
        await self._closed


class _ThreadPump(_Pump):
    """A thread that reads, for ports that a loop cannot wait for."""

    def _start(self) -> None:
        self._is_closing = False
        self._port.timeout, self._port.write_timeout = THREAD_READ_S, None
        self._thread = threading.Thread(target=self._read, name=f"reader of {self._port.name}", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except OSError as error:
            self._loop.call_soon(self._lost, error)

    async def close(self) -> None:
        self._is_closing = True
        await self._loop.run_in_executor(None, self._thread.join)
        self._port.close()

    def _read(self) -> None:
        while not self._is_closing:
            try:
                data = self._port.read(max(1, cast(serial.Serial, self._port).in_waiting))
            except (OSError, TypeError) as error:  # TypeError: pyserial's socket port while it is being closed
                self._tell(self._lost, None if self._is_closing else error)
                return
            if data:
                self._tell(self._received, data)

    def _tell(self, listener: Callable[[Any], None], value: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended
            self._loop.call_soon_threadsafe(listener, value)
