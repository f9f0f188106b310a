"""Boards behind pseudo terminals: the same link, by the hundred, and what bad lines do to it."""

import asyncio
import hashlib
import json
import resource
from pathlib import Path

import pytest

from harness.bench.serial.ports import PortUnplugged
from harness.errors import DriverTimeout
from simulators.board.core import BoardCore, BoardMemory, KeptMemory
from simulators.board.serial_faults import LineFaults, as_heard

URL = {"url": "http://127.0.0.1:1/v2/device/download?key=k", "file_name": "app.bin"}


def test_a_board_answers_and_remembers_over_a_power_cut(pty_board) -> None:
    memory = BoardMemory()

    async def story() -> object:
        async with pty_board("first", memory=memory) as board:
            await board.ask("configuration", {"threshold": 30})
        async with pty_board("second", memory=memory) as board:
            return (await board.ask("send_configuration"))["configuration"]

    assert asyncio.run(story()) == {"threshold": 30}


def test_a_board_whose_power_was_cut_in_a_download_takes_the_next_one() -> None:
    memory = BoardMemory()

    def asked(number: int) -> str:
        core = BoardCore(memory)
        assert core.accept({"t": "command", "n": number, "name": "download_firmware", "text": json.dumps(URL)})
        return core.next_message()["t"]

    assert [asked(1), asked(2)] == ["fetch", "fetch"]


class Killed(BaseException):
    """The process dies here."""


def test_a_memory_whose_process_is_killed_while_it_writes_is_what_it_was_before(tmp_path, monkeypatch) -> None:
    def die_half_way(path, text):
        path.write_bytes(text.encode()[: len(text) // 2])
        raise Killed

    kept = KeptMemory(tmp_path)
    kept.keep(BoardMemory(done=7))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", die_half_way)
        with pytest.raises(Killed):
            kept.keep(BoardMemory(done=8))
    assert KeptMemory(tmp_path).load().done == 7


def test_a_download_arrives_byte_for_byte(pty_board, body) -> None:
    data = bytes(range(256)) * 37

    async def story() -> dict[str, object]:
        async with pty_board() as board:
            board.world.bodies = [body(data)]
            return await board.ask("download_firmware", URL)

    result = asyncio.run(story())
    assert (result["size"], result["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    "faults",
    [
        LineFaults(lost=0.0004),
        LineFaults(garbled=0.0004),
        LineFaults(lost_line_ends=0.2),
        LineFaults(latency_s=0.02),
        LineFaults(lost=0.0002, garbled=0.0002, lost_line_ends=0.05, latency_s=0.005),
    ],
)
def test_a_bad_line_costs_time_and_nothing_else(pty_board, body, faults) -> None:
    data = bytes(range(256)) * 8

    async def story() -> list[object]:
        async with pty_board(faults=faults) as board:
            board.world.bodies = [body(data)]
            result = await board.ask("download_firmware", URL)
            await board.ask("configuration", {"a": 1})
            configuration = (await board.ask("send_configuration"))["configuration"]
            return [result["sha256"], configuration, len(board.world.urls), board.world.results.qsize()]

    assert asyncio.run(story()) == [hashlib.sha256(data).hexdigest(), {"a": 1}, 1, 0]


def test_every_reboot_command_is_one_boot(pty_board) -> None:
    async def story() -> int:
        async with pty_board(faults=LineFaults(lost=0.003)) as board:
            for _ in range(5):
                await board.ask("reboot")
            await board.ask("send_configuration")
            return board.emulator.boots

    assert asyncio.run(story()) == 1 + 5


def test_an_unplugged_board_that_comes_back_is_used_again(pty_board) -> None:
    async def story() -> list[object]:
        async with pty_board() as board:
            await board.emulator.off()
            await asyncio.sleep(0.05)
            away = None
            try:
                board.line.write_now(b"x")
            except PortUnplugged as error:
                away = error
            await board.emulator.start()
            await board.emulator.resume()
            return [type(away), (await board.ask("send_configuration"))["success"]]

    assert asyncio.run(story()) == [PortUnplugged, True]


def test_a_command_to_a_board_that_stopped_answering_ends_at_its_deadline(pty_board) -> None:
    async def story() -> str:
        async with pty_board() as board:
            board.emulator._core = board.emulator._end = None
            with pytest.raises(DriverTimeout) as caught:
                await board.bridge.command("reboot", b"", deadline_s=asyncio.get_running_loop().time() + 0.4)
            return str(caught.value)

    assert "does not acknowledge it" in asyncio.run(story())


def test_log_lines_of_the_board_reach_the_console_between_frames(pty_board) -> None:
    async def story() -> list[str]:
        async with pty_board() as board:
            board.emulator.say("adc: 17 mV")
            await board.ask("send_configuration")
            await board.sees("adc")
            return [line.text for line in board.console.lines]

    assert asyncio.run(story()) == ["Booting v1.0.0 on pty-board, start 1", "adc: 17 mV"]


@pytest.mark.slow
def test_one_hundred_and_fifty_boards_work_in_one_process(pty_board) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))

    async def one(number: int, ready: asyncio.Barrier) -> object:
        async with pty_board(f"board-{number}") as board:
            await ready.wait()
            await board.ask("configuration", {"number": number})
            return (await board.ask("send_configuration"))["configuration"]["number"]

    async def story() -> list[object]:
        ready = asyncio.Barrier(150)
        return await asyncio.gather(*(one(number, ready) for number in range(150)))

    try:
        assert asyncio.run(story()) == list(range(150))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_right_baud_rate_is_heard_as_it_was_sent() -> None:
    assert as_heard(b"Booting", sent_baud=115_200, heard_baud=115_200) == b"Booting"


@pytest.mark.parametrize("heard_baud", [112_000, 118_600])
def test_a_rate_three_percent_off_is_still_understood(heard_baud: int) -> None:
    assert as_heard(b"Booting v1.0.0\n", sent_baud=115_200, heard_baud=heard_baud) == b"Booting v1.0.0\n"


@pytest.mark.parametrize("heard_baud", [9_600, 57_600, 230_400])
def test_another_rate_is_noise(heard_baud: int) -> None:
    heard = as_heard(b"Booting v1.0.0 on mps2\n" * 5, sent_baud=115_200, heard_baud=heard_baud)
    assert b"Boot" not in heard


def test_unknown_and_broken_commands_are_refused_in_json(pty_board) -> None:
    async def story() -> list[dict[str, object]]:
        async with pty_board() as board:
            return [await board.ask("self_destruct"), await board.ask("configuration", raw=b"\xff")]

    assert [result["success"] for result in asyncio.run(story())] == [False, False]
