"""The serial line on pyserial's URLs, the console on it, and the buttons."""

import asyncio
import os
import tty
from pathlib import Path

import pytest

from harness.bench.serial.buttons import ModemLineReset, ShellPower, ShellReset
from harness.bench.serial.console import Console
from harness.bench.serial.inventory import PowerBy, ResetBy
from harness.bench.serial.line import AsyncioSerialLine
from harness.bench.serial.ports import ConsoleEvent, PortAbsent, PortBusy, SerialPort
from harness.errors import BenchError, DriverTimeout


@pytest.fixture
def pty():
    master, slave = os.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(master)
    os.close(slave)


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def test_a_port_without_a_descriptor_is_read_by_a_thread() -> None:
    async def story() -> str:
        async with AsyncioSerialLine(SerialPort("loop://")) as line:
            console = Console(line)
            console.listen()
            await console.write(b"hello\r\n")
            return (await console.wait_for("hel", deadline_s=soon())).text

    assert asyncio.run(story()) == "hello"


def test_lines_have_numbers_and_patterns_become_events(pty, tmp_path: Path) -> None:
    master, url = pty

    async def story() -> list[object]:
        events: list[ConsoleEvent] = []
        with (tmp_path / "raw").open("wb") as raw:
            async with AsyncioSerialLine(SerialPort(url)) as line:
                console = Console(line, patterns={"boot": r"Booting v(?P<version>[0-9.]+)"}, raw_log=raw)
                console.listen()
                console.on_event(events.append)
                os.write(master, b"noise\xff\nBooting v1.2.3\r\nready\n> ")
                await console.wait_for("ready", deadline_s=soon())
                later = await console.wait_for("o", deadline_s=soon(), after_line=1)
        return [[line.number for line in console.lines], later.number, [(e.name, e.values) for e in events], console.unfinished]

    assert asyncio.run(story()) == [[1, 2, 3], 2, [("boot", {"version": "1.2.3"})], b"> "]
    assert (tmp_path / "raw").read_bytes() == b"noise\xff\nBooting v1.2.3\r\nready\n> "


def test_a_line_that_does_not_come_is_told_with_those_that_came(pty) -> None:
    master, url = pty

    async def story() -> None:
        async with AsyncioSerialLine(SerialPort(url)) as line:
            console = Console(line)
            console.listen()
            os.write(master, b"one\ntwo\n")
            await console.wait_for("two", deadline_s=soon())
            await console.wait_for("three", deadline_s=asyncio.get_running_loop().time() + 0.05)

    with pytest.raises(DriverTimeout, match="no console line matched 'three'; the last ones were: 'one', 'two'"):
        asyncio.run(story())


def test_paced_bytes_arrive_in_order(pty) -> None:
    master, url = pty

    async def story() -> bytes:
        async with AsyncioSerialLine(SerialPort(url, pace_bytes=7, pace_gap_s=0.001)) as line:
            await asyncio.gather(line.write(b"a" * 20), line.write(b"b" * 20))
        return os.read(master, 100)

    assert asyncio.run(story()) == b"a" * 20 + b"b" * 20


def test_a_writer_that_is_stopped_goes_on_when_the_other_side_reads(pty) -> None:
    """pyserial-asyncio-fast 0.16 spins for ever after a write that was taken in two pieces."""
    master, url = pty
    sent = bytes(range(256)) * 256

    async def story() -> bytes:
        received = b""
        async with AsyncioSerialLine(SerialPort(url)) as line:
            await line.write(sent)
            while len(received) < len(sent):
                received += await asyncio.get_running_loop().run_in_executor(None, os.read, master, 65_536)
            await asyncio.sleep(0)
            assert not line._pump._transport._has_writer
        return received

    assert asyncio.run(story()) == sent


@pytest.mark.parametrize("url", ["/dev/ttyNONE", "socket://127.0.0.1:1"])
def test_what_is_not_there_is_absent(url: str) -> None:
    with pytest.raises(PortAbsent, match=f"no such port: {url}"):
        asyncio.run(AsyncioSerialLine(SerialPort(url)).open())


def test_one_line_has_one_owner(pty) -> None:
    async def story() -> None:
        async with AsyncioSerialLine(SerialPort(pty[1])), AsyncioSerialLine(SerialPort(pty[1])):
            pass

    with pytest.raises(PortBusy, match="busy port"):
        asyncio.run(story())


def test_an_unknown_kind_of_url_is_a_bench_error() -> None:
    with pytest.raises(BenchError, match=r"telex://1 cannot be opened"):
        asyncio.run(AsyncioSerialLine(SerialPort("telex://1")).open())


def test_a_reset_by_modem_lines_follows_its_sequence() -> None:
    async def story() -> list[bool]:
        async with AsyncioSerialLine(SerialPort("loop://")) as line:  # where DSR follows DTR and CTS follows RTS
            await ModemLineReset(line, ("dtr off", "rts on", "wait 0.01")).reset()
            first = [line._port.dsr, line._port.cts]
            await ModemLineReset(line, ("rts off", "dtr on")).reset()
            return [*first, line._port.dsr, line._port.cts]

    assert asyncio.run(story()) == [False, True, True, False]


def test_a_port_without_modem_lines_says_so(pty) -> None:
    async def story() -> None:
        async with AsyncioSerialLine(SerialPort(pty[1])) as line:
            await ModemLineReset(line, ("dtr off",)).reset()

    with pytest.raises(BenchError, match="has no DTR and RTS lines"):
        asyncio.run(story())


def test_shell_commands_press_the_buttons(tmp_path: Path) -> None:
    done = tmp_path / "done"

    async def story() -> None:
        await ShellReset(ResetBy(method="shell", command=f"echo reset >> {done}")).reset()
        power = ShellPower(PowerBy(method="shell", off=f"echo off >> {done}", on=f"echo on >> {done}"))
        await power.off()
        await power.on()

    asyncio.run(story())
    assert done.read_text().split() == ["reset", "off", "on"]


def test_a_shell_command_that_fails_is_a_bench_error_with_its_words() -> None:
    reset = ShellReset(ResetBy(method="shell", command="echo no relay >&2; exit 3"))
    with pytest.raises(BenchError, match="ended with status 3: no relay"):
        asyncio.run(reset.reset())
