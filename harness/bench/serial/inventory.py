"""The board inventory: which boards there are, how each is reached, reset and powered, and what its console says.

`boards.toml` holds one `[[boards]]` table for each; `[device.run.serial]` of a device file holds the same keys for one. Mistakes are
ConfigurationErrors that name file, table and key.
"""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.bench.serial.ports import LinkKind, SerialPort
from harness.bench.toml_file import CommandTable, Table, first_mistake, from_file, read_toml, require_file
from harness.errors import ConfigurationError, OptionError

BOARD_NAME = re.compile(r"[A-Za-z0-9._-]+")
_STEP = re.compile(r"(dtr|rts) (on|off)|wait [0-9.]+")
DEFAULT_SEQUENCE = ("dtr off", "rts on", "wait 0.1", "rts off", "dtr on")


class UsbIdentity(Table):
    """A board by what its USB side says: all given facts must fit. `hil board list` prints them."""

    vid: str = Field(pattern=r"^[0-9a-fA-F]{4}$")
    pid: str = Field(pattern=r"^[0-9a-fA-F]{4}$")
    serial: str | None = None
    location: str | None = None


class ResetBy(CommandTable):
    """How the board is reset: `modem-lines` runs `sequence`, `shell` runs `command`, `emulator` asks QEMU."""

    method: Literal["modem-lines", "shell", "emulator", "none"] = "none"
    sequence: tuple[str, ...] = DEFAULT_SEQUENCE
    command: str = ""

    @field_validator("sequence")
    @classmethod
    def _are_steps(cls, steps: tuple[str, ...]) -> tuple[str, ...]:
        for step in steps:
            if not _STEP.fullmatch(step):
                raise ValueError(f"{step!r} is no step: `dtr on`, `dtr off`, `rts on`, `rts off` or `wait SECONDS` is wanted")
        return steps

    @model_validator(mode="after")
    def _has_command(self) -> "ResetBy":
        if self.method == "shell" and not self.command:
            raise ValueError("method `shell` needs `command`")
        return self


class PowerBy(CommandTable):
    """How the supply is cut: `shell` runs `off` and `on` (a relay, a USB hub), `emulator` kills QEMU and starts it again."""

    method: Literal["shell", "emulator", "none"] = "none"
    off: str = ""
    on: str = ""

    @model_validator(mode="after")
    def _has_commands(self) -> "PowerBy":
        if self.method == "shell" and not (self.off and self.on):
            raise ValueError("method `shell` needs `off` and `on`")
        return self


class Provision(Table):
    """What is typed into a network board before it can connect. `{ssid}`-like fields: device_id, token, mqtt_host, mqtt_port, api_url.

    Each line is sent with `line_end`; where `expect` is given, that pattern must appear after each.
    """

    lines: tuple[str, ...] = ()
    line_end: str = "\n"
    expect: str = ""
    host_as_seen_by_board: str = ""


class BoardEntry(Table):
    """One board. Exactly one of `url`, `usb` and `emulator` says where it is; `device` is the file of its claims. Times in seconds."""

    name: str = Field(default="board", pattern=f"^{BOARD_NAME.pattern}$")
    url: str | None = Field(default=None, min_length=1)
    usb: UsbIdentity | None = None
    emulator: str | None = Field(default=None, min_length=1)
    program: Path | None = None
    agent: Path | None = None
    device: Path | None = None
    baud: int = Field(default=115_200, gt=0)
    link: LinkKind = LinkKind.BRIDGE
    pace_bytes: int = Field(default=0, ge=0)
    pace_gap_s: float = Field(default=0.0, ge=0)
    return_s: float = Field(default=5.0, ge=0)
    boot_s: float = Field(default=10.0, gt=0)
    answer_s: float = Field(default=10.0, gt=0)
    patterns: dict[str, str] = Field(default_factory=dict)
    reset: ResetBy = ResetBy()
    power: PowerBy = PowerBy()
    provision: Provision = Provision()

    @field_validator("patterns")
    @classmethod
    def _are_expressions(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"pattern {name!r} is no regular expression: {error}") from error
        return patterns

    @model_validator(mode="after")
    def _is_somewhere(self) -> "BoardEntry":
        given = [name for name in ("url", "usb", "emulator") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"exactly one of url, usb and emulator is wanted, found {', '.join(given) or 'none'}")
        wants_emulator = "emulator" in (self.reset.method, self.power.method)
        if wants_emulator and not self.emulator:
            raise ValueError("reset or power by `emulator`, and the board is none")
        return self

    @property
    def identity(self) -> str:
        """What a lease is taken for: the place of the board, not its name, so that two inventories agree."""
        if self.usb is not None:
            return f"usb:{self.usb.vid}:{self.usb.pid}:{self.usb.serial or ''}:{self.usb.location or ''}".lower()
        if self.url is not None:
            return self.url if "://" in self.url else str(Path(self.url).resolve())
        return f"emulator:{self.emulator}:{self.name}"

    def port(self, url: str) -> SerialPort:
        """The line of this board at `url`."""
        return SerialPort(url, self.baud, self.pace_bytes, self.pace_gap_s, self.return_s)


class Inventory(Table):
    """A `boards.toml`."""

    boards: tuple[BoardEntry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _have_different_names(self) -> "Inventory":
        names = [board.name for board in self.boards]
        double = sorted({name for name in names if names.count(name) > 1})
        if double:
            raise ValueError(f"the name {double[0]!r} is given twice")
        return self

    def board(self, name: str) -> BoardEntry | None:
        return next((board for board in self.boards if board.name == name), None)


def read_inventory(path: Path) -> Inventory:
    """Reads `boards.toml`. Raises ConfigurationError for the first mistake."""
    try:
        read = Inventory.model_validate(read_toml(path), context=from_file(path))
    except ValidationError as error:
        raise first_mistake(path, error) from error
    return Inventory(boards=tuple(_with_files(path, f"boards.{board.name}", board) for board in read.boards))


def choose_board(path: Path, name: str) -> BoardEntry:
    """The board of that name in the inventory at `path`; an empty name means its only one. Raises ConfigurationError."""
    read = read_inventory(path)
    found = read.boards[0] if not name and len(read.boards) == 1 else read.board(name)
    if found is None:
        names = ", ".join(board.name for board in read.boards)
        raise OptionError("--board", f"{f'{name!r} is no board' if name else 'says which board'} of {str(path)!r}; there are: {names}")
    return found


def read_board(path: Path, table: dict[str, Any], *, name: str) -> BoardEntry:
    """The board of `[device.run.serial]` in the device file at `path`. Raises ConfigurationError."""
    try:
        return _with_files(path, "device.run.serial", BoardEntry.model_validate({"name": name, **table}, context=from_file(path)))
    except ValidationError as error:
        mistake = first_mistake(path, error)
        table_name = ".".join(part for part in ("device.run.serial", mistake.table) if part)
        raise ConfigurationError(mistake.file, table_name, mistake.key, mistake.problem) from error


def _with_files(path: Path, table: str, board: BoardEntry) -> BoardEntry:
    """The board with its files where they are, seen from the file that names them. Raises ConfigurationError where one is missing."""
    if board.link is LinkKind.RAW_REPL and board.agent is None:
        problem = "is missing: link `raw-repl` needs the Python text that executes commands on the board"
        raise ConfigurationError(str(path), table, "agent", problem)
    files = {key: path.absolute().parent / value for key in ("program", "agent", "device") if (value := getattr(board, key)) is not None}
    for key, file in files.items():
        require_file(path, table, key, file)
    return board.model_copy(update=files)
