"""What is at the end of this line? Opens a board, resets it where it can, listens, and says in one sentence what it found.

The judgement is pure (`looks_like`); the rest is opening, asking and listening at one rate after the other. Six answers, six sentences.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from harness.bench.serial.buttons import ModemLineReset, ShellReset
from harness.bench.serial.framing import CorruptFrame, Deframer, Frame, encode_frame
from harness.bench.serial.inventory import BoardEntry
from harness.bench.serial.leases import Lease
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.link import VERSION
from harness.bench.serial.ports import BoardSilent, BoardUnreadable, LinkKind, SerialPort
from harness.errors import BenchError

COMMON_BAUDS = (115_200, 9_600, 57_600, 38_400, 19_200, 230_400, 460_800, 921_600)
LISTEN_S = 1.5
LISTEN_OTHER_S = 0.5
READABLE = 0.95  # of the bytes are text; noise of a wrong rate stays below 0.8
SHOWN_BYTES = 16
_TEXT = frozenset({*range(0x20, 0x7F), 0x09, 0x0A, 0x0D})


class Look(Enum):
    """What a piece of received bytes looks like."""

    NOTHING = "nothing"
    LINK = "frames of the board link"
    TEXT = "text"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found: the board's introduction (bridge boards), its lines, and the rate at which they came."""

    look: Look
    baud: int
    about: dict[str, Any]
    lines: tuple[str, ...]


def looks_like(data: bytes) -> Look:
    """Judges received bytes; one whole frame proves the link, text must be text nearly throughout."""
    if not data.strip(b"\x00"):
        return Look.NOTHING
    items = Deframer().feed(data)
    if any(isinstance(item, Frame) for item in items):
        return Look.LINK
    readable = sum(byte in _TEXT for byte in data) / len(data)
    is_corrupt = any(isinstance(item, CorruptFrame) for item in items)
    return Look.TEXT if readable >= READABLE and not is_corrupt else Look.NOISE


def is_wanted(look: Look, kind: LinkKind) -> bool:
    """Whether a board of this kind should look like that."""
    return look is Look.LINK if kind is LinkKind.BRIDGE else look in (Look.TEXT, Look.LINK)


def stimulus(kind: LinkKind) -> bytes:
    """What makes a board of this kind speak without doing anything: an `open`, an empty line, Ctrl-C and a prompt."""
    if kind is LinkKind.BRIDGE:
        return b"\n" + encode_frame({"k": "open", "v": VERSION, "c": 0, "max": 1_024})
    return b"\r\n" if kind is LinkKind.NETWORK else b"\r\x03\r"


async def probe(entry: BoardEntry, url: str, *, ready: Callable[[], Any] | None = None) -> Finding:
    """Looks at the board of `entry` at `url`. `ready` is called when the line is open (to let an emulator run).

    Raises PortAbsent, PortBusy, BoardSilent, BoardUnreadable or BenchError: each is the sentence for people.
    """
    with Lease(entry.identity, holder="hil board probe"):
        port = entry.port(url)
        heard = await _listen(entry, port, LISTEN_S, ready)
        if is_wanted(looks_like(heard), entry.link):
            return _found(port.baud, heard)
        return await _look_at_other_rates(entry, port, heard)


async def _look_at_other_rates(entry: BoardEntry, port: SerialPort, heard: bytes) -> Finding:
    if looks_like(heard) is Look.TEXT:
        raise BenchError(f"no link: {port.url} prints readable lines at {port.baud} baud, and answers no frame of the board link")
    for baud in COMMON_BAUDS:
        if baud == port.baud:
            continue
        other = await _listen(entry, replace(port, baud=baud), LISTEN_OTHER_S, None)
        if is_wanted(looks_like(other), entry.link):
            raise BoardUnreadable(f"wrong baud rate: {port.url} is set to {port.baud}, and the board is readable at {baud}")
        heard = heard or other
    if looks_like(heard) is Look.NOTHING:
        raise BoardSilent(f"silent board: {port.url} opens, and nothing came at any rate: is it powered, is its firmware running?")
    shown = heard[:SHOWN_BYTES].hex(" ")
    raise BoardUnreadable(f"garbled line: {port.url} talks, and is readable at no rate (it began with {shown}): check ground and level")


async def _listen(entry: BoardEntry, port: SerialPort, listen_s: float, ready: Callable[[], Any] | None) -> bytes:
    """What the board says within `listen_s`, or until it is clear what it is."""
    heard = bytearray()
    clear = asyncio.Event()

    def hear(data: bytes, _at_s: float) -> None:
        heard.extend(data)
        if entry.link is LinkKind.BRIDGE and looks_like(bytes(heard)) is Look.LINK:
            clear.set()

    async with AsyncioSerialLine(port) as line:
        line.on_bytes(hear)
        if ready is not None:
            await ready()
        await _press_reset(entry, line)
        await line.write(stimulus(entry.link))
        try:
            async with asyncio.timeout(listen_s):
                await clear.wait()
        except TimeoutError:
            pass  # silence, or a board that prints text: what was heard is the answer
    return bytes(heard)


async def _press_reset(entry: BoardEntry, line: AsyncioSerialLine) -> None:
    if entry.reset.method == "modem-lines":
        await ModemLineReset(line, entry.reset.sequence).reset()
    elif entry.reset.method == "shell":
        await ShellReset(entry.reset).reset()


def _found(baud: int, heard: bytes) -> Finding:
    deframer = Deframer()
    items = [*deframer.feed(heard), *deframer.flush()]
    about: dict[str, Any] = {}
    for item in items:
        if isinstance(item, Frame) and isinstance(item.body.get("about"), dict):
            about = item.body["about"]
    lines = tuple(item.text() for item in items if not isinstance(item, Frame | CorruptFrame))
    return Finding(looks_like(heard), baud, about, lines)
