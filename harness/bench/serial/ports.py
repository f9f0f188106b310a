"""What a bench can do with a board: the resource it is, and the ports (capabilities) that drivers implement.

Scenarios and tests see these only. A *line* carries bytes, a *console* turns them into lines and events, a *link* carries commands to a
board that has no network, *reset* and *power* do what their names say. Times are monotonic seconds of the running event loop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from harness.errors import BenchError, ResourceMissing


class PortAbsent(ResourceMissing):
    """There is no such port on this machine (now)."""


class PortBusy(BenchError):
    """Somebody else has the port, or the board's lease."""


class PortUnplugged(BenchError):
    """The port was there and went away under us."""


class BoardSilent(BenchError):
    """The port works; the board says nothing until the deadline."""


class BoardUnreadable(BenchError):
    """The board says something, and it is noise: the wrong baud rate, a broken line, or another program on it."""


class LinkKind(Enum):
    """How commands reach the board."""

    NETWORK = "network"  # by its own network; the serial line provisions it and is its console
    BRIDGE = "bridge"  # by the framed link of `framing` and `link`
    RAW_REPL = "raw-repl"  # by MicroPython's raw REPL


ROWS_OF_THE_BENCH = tuple(f"DEV-{row:02}" for row in (1, 2, 3, 4, 5, 6, 11, 15, 18, 20, 26, 27, 30))
"""The requirements that would judge our own MQTT and HTTP where the bench is the board's network (every kind but NETWORK)."""


@dataclass(frozen=True, slots=True)
class SerialPort:
    """Where the board is, and how its line is set.

    `url` is whatever pyserial's `serial_for_url` takes. `pace_bytes` (0: unlimited) bytes are written at a time, with `pace_gap_s` between,
    for boards whose receive ring is small. `return_s` is how long a port may be away after a reset (USB re-enumeration).
    """

    url: str
    baud: int = 115_200
    pace_bytes: int = 0
    pace_gap_s: float = 0.0
    return_s: float = 5.0


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """One line that the board printed; `raw` without its end. `number` counts from 1."""

    number: int
    at_s: float
    raw: bytes

    @property
    def text(self) -> str:
        """The lossy view; `raw` is the evidence."""
        return self.raw.decode("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class ConsoleEvent:
    """A line that matched a declared pattern; `values` are the pattern's named groups."""

    name: str
    line: ConsoleLine
    values: Mapping[str, str] = field(default_factory=dict)


class SerialLine(Protocol):
    """Bytes to and from a board, from `open` to `close`."""

    async def open(self) -> None:
        """Raises PortAbsent, PortBusy or BenchError, each with one sentence for people."""
        ...

    async def close(self) -> None: ...

    async def write(self, data: bytes) -> None:
        """Returns when the data is on its way, paced as the port says. Raises PortUnplugged."""
        ...

    def on_bytes(self, listener: Callable[[bytes, float], None]) -> Callable[[], None]:
        """Hands each piece of received bytes, with its time, to `listener`; returns what ends that."""
        ...

    def on_gone(self, listener: Callable[[BenchError | None], None]) -> Callable[[], None]:
        """Tells when the port went away (the error) and when it is back (None)."""
        ...

    async def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Raises BenchError where the port has no such lines (a pty, a socket)."""
        ...


class Reset(Protocol):
    """The reset button."""

    async def reset(self) -> None:
        """Presses the reset button. Raises BenchError if the equipment does not answer."""
        ...


class Power(Protocol):
    """The supply."""

    async def off(self) -> None:
        """Cuts the supply. Raises BenchError if the equipment does not answer."""
        ...

    async def on(self) -> None: ...


class Download(Protocol):
    """A response that is being read: `status` 0 means that there was none. `size_bytes` is what was announced, None if nothing was."""

    status: int
    size_bytes: int | None

    async def read(self, size_bytes: int) -> bytes:
        """Between 1 and `size_bytes` bytes; b"" at the end. Raises OSError or BenchError where the connection breaks."""
        ...

    async def close(self) -> None: ...


class BoardWorld(Protocol):
    """What the bench is to a board without a network: who hears its results, and who fetches for it."""

    def connected(self, about: Mapping[str, object]) -> None:
        """The link stands (again); `about` is what the board says of itself."""
        ...

    def booted(self, about: Mapping[str, object]) -> None:
        """The board started."""
        ...

    def result(self, number: int, command: str, payload: bytes) -> None:
        """The result of command `number`, once."""
        ...

    async def fetch(self, url: str) -> Download:
        """A GET on behalf of the board, with its token. A failure to connect is a Download with status 0."""
        ...


class BoardLink(Protocol):
    """Commands to a board without a network. Opened and closed as an asynchronous context manager."""

    async def command(self, name: str, payload: bytes, *, deadline_s: float) -> int:
        """Returns the command's number when the board has taken it. Raises DriverTimeout, or LocalWireError if it is too long for it."""
        ...

    async def wait_connected(self, *, deadline_s: float) -> Mapping[str, object]:
        """What the board says of itself, once the link stands. Raises BoardSilent or BoardUnreadable with what was seen instead."""
        ...

    async def watch(self) -> None:
        """Waits for as long as the link works; raises what we tripped over, where the board is no longer heard."""
        ...
