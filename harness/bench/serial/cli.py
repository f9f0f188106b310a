"""`hil board`: the boards on this bench. `list` only looks, `probe` asks one, `console` listens, `init` writes an inventory."""

import asyncio
import contextlib
import json
import signal
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console as Terminal
from rich.table import Table as RichTable

from harness.bench.serial.board import make_emulator, open_board, url_of
from harness.bench.serial.inventory import BOARD_NAME, BoardEntry, choose_board, read_inventory
from harness.bench.serial.inventory_template import inventory_text
from harness.bench.serial.ports import ConsoleLine, LinkKind
from harness.bench.serial.probe import Finding, probe
from harness.bench.serial.usb import PluggedPort, plugged_ports
from harness.clock import SystemClock, rfc3339
from harness.entropy import SystemEntropy
from harness.errors import ConfigurationError, OptionError
from harness.outputs import write_file

app = typer.Typer(help="Boards over a serial line.", no_args_is_help=True)

InventoryOption = Annotated[Path | None, typer.Option("--inventory", help="The boards.toml that describes the bench.")]
BoardOption = Annotated[str, typer.Option("--board", help="Which board of the inventory; not needed where it holds one.")]
UrlArgument = Annotated[str, typer.Argument(help="A port (/dev/ttyACM0) or a pyserial URL; instead of an inventory.")]
BaudOption = Annotated[int, typer.Option("--baud", min=1, help="Bits per second, with a URL.")]
LinkOption = Annotated[LinkKind, typer.Option("--link", help="How commands reach the board, with a URL.")]


@app.command("list", epilog="Example: hil board list --inventory boards.toml")
def list_ports(
    inventory: InventoryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output.")] = False,
) -> None:
    """Show the serial ports of this machine and the boards of the inventory. Opens no port and writes to none."""
    ports = plugged_ports()
    boards = read_inventory(inventory).boards if inventory is not None else ()
    rows = [_row(port, boards) for port in ports]
    if as_json:
        typer.echo(json.dumps({"ports": rows, "boards": [board.name for board in boards]}))
        return
    table = RichTable("port", "vid:pid", "serial", "location", "description", "board")
    for row in rows:
        table.add_row(row["port"], row["usb"], row["serial"], row["location"], row["description"], row["board"])
    terminal = Terminal()
    terminal.print(table if rows else "no serial port is plugged in")
    for board in boards:
        if not any(row["board"] == board.name for row in rows):
            terminal.print(f"{board.name}: {'emulated, ' + board.emulator if board.emulator else 'not plugged in'}", highlight=False)


@app.command("probe", epilog="Example: hil board probe /dev/ttyACM0")
def probe_board(
    url: UrlArgument = "",
    inventory: InventoryOption = None,
    board: BoardOption = "",
    baud: BaudOption = 115_200,
    link: LinkOption = LinkKind.BRIDGE,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output.")] = False,
) -> None:
    """Open one board, reset it where that is possible, and say what it is. Exit status 3 where it cannot be used."""
    entry = _chosen(url, inventory, board, baud=baud, link=link)
    finding = asyncio.run(_probe(entry))
    if as_json:
        typer.echo(json.dumps({"look": finding.look.value, "baud": finding.baud, "about": finding.about, "lines": finding.lines}))
        return
    typer.echo(f"{entry.name}: {finding.look.value} at {finding.baud} baud")
    for name, value in finding.about.items():
        typer.echo(f"  {name}: {value}")
    for line in finding.lines:
        typer.echo(f"  | {line}")


@app.command("console", epilog="Example: hil board console /dev/ttyACM0 --send help --seconds 10")
def console(
    url: UrlArgument = "",
    inventory: InventoryOption = None,
    board: BoardOption = "",
    baud: BaudOption = 115_200,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="End after so many seconds; 0: at Ctrl-C.")] = 0.0,
    send: Annotated[list[str] | None, typer.Option("--send", help="A line to type at the start; may be given again.")] = None,
    raw: Annotated[Path | None, typer.Option("--raw", help="Keep the raw bytes in this file.")] = None,
) -> None:
    """Print what a board says, each line with its time."""
    entry = _chosen(url, inventory, board, baud=baud, link=LinkKind.NETWORK)
    asyncio.run(_until_signal(_listen(entry, seconds, send or [], raw)))


@app.command("init", epilog="Example: hil board init --url /dev/ttyACM0 --name bench-1")
def init(
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("boards.toml"),
    url: Annotated[str, typer.Option("--url", help="The board's port; without it the one that is plugged in.")] = "",
    name: Annotated[str, typer.Option("--name", help="What the board is called.")] = "my-board",
    link: LinkOption = LinkKind.BRIDGE,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
) -> None:
    """Write a commented boards.toml for one board."""
    if out.exists() and not force:
        raise ConfigurationError(str(out), "", "", "exists already; --force replaces it")
    if not BOARD_NAME.fullmatch(name):
        raise OptionError("--name", f"{name!r}: letters, digits and . _ - are allowed")
    text = inventory_text(name, url, link, plugged_ports(), file=str(out))
    write_file("--out", out, text)
    typer.echo(f"written: {out}")


def _chosen(url: str, inventory: Path | None, board: str, *, baud: int, link: LinkKind) -> BoardEntry:
    """The board that the options mean. Raises ConfigurationError where that is none or several."""
    if url and inventory is not None:
        raise OptionError("--inventory", "a URL or an inventory, not both")
    if url:
        return BoardEntry(name="board", url=url, baud=baud, link=link)
    if inventory is None:
        raise OptionError("URL", "which board? A URL or --inventory is wanted (`hil board list` shows ports)")
    return choose_board(inventory, board)


def _raw_log(path: Path) -> BinaryIO:
    """The file behind `--raw`, for more bytes at its end. Raises OptionError where it cannot be written."""
    try:
        return path.open("ab")
    except OSError as error:
        raise OptionError("--raw", f"{str(path)!r} cannot be written: {error.strerror or error}") from error


def _row(port: PluggedPort, boards: tuple[BoardEntry, ...]) -> dict[str, str]:
    fitting = [board.name for board in boards if board.url == port.path or (board.usb is not None and port.fits(board.usb))]
    usb = f"{port.vid}:{port.pid}" if port.vid else ""
    return {
        "port": port.path,
        "usb": usb,
        "serial": port.serial,
        "location": port.location,
        "description": port.description,
        "board": ", ".join(fitting),
    }


async def _probe(entry: BoardEntry) -> Finding:
    if not entry.emulator:
        return await probe(entry, url_of(entry))
    with _state() as state:
        emulator = make_emulator(entry, Path(state))
        await emulator.start()
        try:
            return await probe(entry, emulator.serial_url, ready=emulator.resume)
        finally:
            await emulator.off()


async def _listen(entry: BoardEntry, seconds: float, send: list[str], raw: Path | None) -> None:
    clock = SystemClock()
    start_s = asyncio.get_running_loop().time()

    def show(line: ConsoleLine) -> None:
        typer.echo(f"{rfc3339(clock.utc_s(), fraction_digits=3)} {line.at_s - start_s:9.3f} | {line.text}")

    with _state() as state, _raw_log(raw) if raw is not None else contextlib.nullcontext() as log:
        opening = open_board(entry, clock=clock, entropy=SystemEntropy(), state=Path(state), holder="hil board console", raw_log=log)
        async with opening as board:
            board.console.on_line(show)
            for text in send:
                await board.console.write(text.encode() + b"\n")
            await asyncio.sleep(seconds or float("inf"))


async def _until_signal(job: Coroutine[Any, Any, None]) -> None:
    """Ctrl-C and SIGTERM are how listening ends: the board is given back, and nothing went wrong."""
    task = asyncio.ensure_future(job)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _state() -> tempfile.TemporaryDirectory[str]:
    """Where an emulated board keeps its flash while a command runs."""
    return tempfile.TemporaryDirectory(prefix="hil-board-")
