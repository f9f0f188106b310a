"""The board inventory: what it takes, and that each mistake names file, table and key."""

from pathlib import Path

import pytest

from harness.bench.serial.inventory import read_board, read_inventory
from harness.bench.serial.inventory_template import inventory_text
from harness.bench.serial.ports import LinkKind, PortAbsent
from harness.bench.serial.usb import PluggedPort, port_of
from harness.errors import BenchError, ConfigurationError

FIXTURE = Path(__file__).parents[4] / "fixtures" / "boards" / "boards.toml"
NUCLEO = PluggedPort("/dev/ttyACM0", "STM32 STLink", "0483", "374b", "066A", "1-1.2")
TWIN = PluggedPort("/dev/ttyACM1", "STM32 STLink", "0483", "374b", "066B", "1-1.3")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "boards.toml"
    path.write_text(text)
    return path


def test_the_shipped_inventory_is_read() -> None:
    assert [board.name for board in read_inventory(FIXTURE).boards] == ["mps2", "python", "microbit", "netduino"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "boards.toml boards: is missing"),
        ("boards = 7\n", "boards.toml boards"),
        ('[[boards]]\nname = "a"\n', "exactly one of url, usb and emulator is wanted, found none"),
        ('[[boards]]\nurl = "x"\nemulator = "y"\n', "found url, emulator"),
        ('[[boards]]\nurl = "x"\nbauds = 7\n', "[boards.0] bauds: unknown key"),
        ('[[boards]]\nurl = "x"\nbaud = 0\n', "[boards.0] baud: Input should be greater than 0 (found 0)"),
        ('[[boards]]\nurl = "x"\nname = "a b"\n', "[boards.0] name"),
        ('[[boards]]\nurl = "x"\nlink = "telnet"\n', "[boards.0] link"),
        ('[[boards]]\nurl = "x"\n[boards.patterns]\nboot = "("\n', "[boards.0] patterns: pattern 'boot' is no regular expression"),
        ('[[boards]]\nurl = "x"\nreset.method = "shell"\n', "[boards.0] reset: method `shell` needs `command`"),
        ('[[boards]]\nurl = "x"\nreset.sequence = ["dtr up"]\n', "'dtr up' is no step"),
        ('[[boards]]\nurl = "x"\npower.method = "emulator"\n', "reset or power by `emulator`, and the board is none"),
        ('[[boards]]\nurl = "x"\n[[boards]]\nurl = "y"\n', "the name 'board' is given twice"),
        ('[[boards]]\nusb.vid = "483"\nusb.pid = "374b"\n', "[boards.0.usb] vid"),
        ('[[boards]]\nemulator = "x"\nprogram = "none.elf"\n', "[boards.board] program"),
        ('[[boards]]\nurl = "x"\nlink = "raw-repl"\n', "[boards.board] agent: is missing: link `raw-repl` needs"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_inventory(written(tmp_path, text))
    assert complaint in str(caught.value)


def test_a_board_in_a_device_file_is_named_by_its_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"device\.toml: \[device\.run\.serial\] baud: "):
        read_board(tmp_path / "device.toml", {"url": "x", "baud": "fast"}, name="thermo")


def test_a_file_of_a_board_in_a_device_file_is_named_by_its_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"device\.toml: \[device\.run\.serial\] program: .* is no file"):
        read_board(tmp_path / "device.toml", {"emulator": "x", "program": "none.elf"}, name="thermo")


def test_a_board_in_a_device_file_takes_the_same_keys(tmp_path: Path) -> None:
    board = read_board(tmp_path / "device.toml", {"url": "/dev/ttyACM0", "link": "network", "pace_bytes": 32}, name="thermo")
    assert (board.name, board.link, board.port("/dev/ttyACM0").pace_bytes) == ("thermo", LinkKind.NETWORK, 32)


def test_a_board_s_reset_command_starts_beside_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "relay.py").write_text("")
    text = '[[boards]]\nname = "b"\nurl = "/dev/ttyX"\n[boards.reset]\nmethod = "shell"\ncommand = "python3 relay.py"\n'
    reset = read_inventory(written(tmp_path, text)).boards[0].reset
    assert reset.directory_of(reset.command) == tmp_path


def test_two_inventories_agree_on_whose_board_it_is(tmp_path: Path) -> None:
    device = tmp_path / "ttyACM0"
    device.touch()
    (tmp_path / "by-id").symlink_to(device)
    first = read_board(tmp_path / "a", {"url": str(device)}, name="a")
    second = read_board(tmp_path / "b", {"url": str(tmp_path / "by-id")}, name="b")
    assert first.identity == second.identity


@pytest.mark.parametrize("ports", [(), (NUCLEO,)])
@pytest.mark.parametrize("link", LinkKind)
def test_what_init_writes_can_be_read(tmp_path: Path, ports: tuple[PluggedPort, ...], link: LinkKind) -> None:
    (tmp_path / "agent.micropython").touch()
    board = read_inventory(written(tmp_path, inventory_text("thermo-3", "", link, ports))).boards[0]
    assert (board.name, board.link, board.usb is not None) == ("thermo-3", link, bool(ports))


def test_an_address_with_quotes_is_written_so_that_it_can_be_read(tmp_path: Path) -> None:
    url = 'socket://host:1?name="a\\b"'
    assert read_inventory(written(tmp_path, inventory_text("a", url, LinkKind.BRIDGE, ()))).boards[0].url == url


def test_a_board_is_found_by_its_usb_identity(tmp_path: Path) -> None:
    usb = read_board(tmp_path / "f", {"usb": {"vid": "0483", "pid": "374B", "serial": "066B"}}, name="n").usb
    assert port_of(usb, (NUCLEO, TWIN)) == "/dev/ttyACM1"


def test_an_identity_that_fits_two_boards_is_not_guessed(tmp_path: Path) -> None:
    usb = read_board(tmp_path / "f", {"usb": {"vid": "0483", "pid": "374b"}}, name="n").usb
    with pytest.raises(BenchError, match="/dev/ttyACM0, /dev/ttyACM1 all fit"):
        port_of(usb, (NUCLEO, TWIN))


def test_a_board_that_is_not_plugged_in_is_absent(tmp_path: Path) -> None:
    usb = read_board(tmp_path / "f", {"usb": {"vid": "0483", "pid": "374b"}}, name="n").usb
    with pytest.raises(PortAbsent, match="no such port"):
        port_of(usb, ())
