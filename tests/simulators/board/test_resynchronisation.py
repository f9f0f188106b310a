"""Stalls of emulated boards: whatever bytes a start or a reset cost, the two ends find together again, and every command is answered.

In the prototype, which repeated nothing, some runs of eight boards had one that did not answer until the script gave up, after ten
seconds; bytes that came before the UART was set up are the suspects. The link repeats what is not acknowledged, and what noise leaves
behind ends where the next frame begins.
"""

import asyncio
from pathlib import Path

import pytest

from harness.bench.serial.board import OpenBoard, open_board
from harness.bench.serial.framing import encode_frame
from harness.bench.serial.inventory import BoardEntry
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from simulators.board.emulator import Emulator, EmulatorSettings, Machine

pytestmark = pytest.mark.qemu
BOARDS, RESETS = 8, 12
ANSWER_S = 10.0  # the stall of the prototype: what takes as long has not been survived
OPEN = encode_frame({"k": "open", "v": 1, "c": 7, "max": 1_024})
BEFORE = {"noise": bytes(range(1, 256)), "half a frame": OPEN[:-9], "many frames": OPEN * 40}


@pytest.fixture(autouse=True)
def _own_leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_LEASE_DIR", str(tmp_path / "leases"))


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Machine.MPS2, Machine.NETDUINO])
@pytest.mark.parametrize("before", BEFORE)
def test_bytes_that_come_before_the_uart_is_set_up_do_not_keep_a_board_from_answering(
    tmp_path: Path, powered, world, machine: Machine, before: str
) -> None:
    async def story() -> dict[str, object]:
        async with Emulator(EmulatorSettings(machine, tmp_path)) as emulator, powered(emulator, world, before=BEFORE[before]) as board:
            return await board.ask("send_configuration", {})

    assert asyncio.run(story())["success"] is True


async def _reset_and_ask(board: OpenBoard, world) -> float:
    """Presses reset while a command is on its way, and asks; how long the answer took, in seconds."""
    loop = asyncio.get_running_loop()
    on_its_way = asyncio.create_task(board.link.command("send_configuration", b"{}", deadline_s=loop.time() + ANSWER_S))
    await asyncio.sleep(0)
    await board.reset.reset()
    began_s = loop.time()
    await on_its_way
    number = await board.link.command("send_configuration", b"{}", deadline_s=began_s + ANSWER_S)
    async with asyncio.timeout_at(began_s + ANSWER_S):
        while (await world.results.get())[0] != number:
            pass  # the answer to the one that was on its way
    return loop.time() - began_s


@pytest.mark.slow
def test_eight_boards_that_are_reset_amid_traffic_answer_every_time(tmp_path: Path, make_world) -> None:
    async def one(number: int) -> list[float]:
        entry, world = BoardEntry(name=f"board-{number}", emulator="mps2-an385"), make_world()
        async with open_board(entry, clock=SystemClock(), entropy=SeededEntropy(number), state=tmp_path, world=world) as board:
            return [await _reset_and_ask(board, world) for _ in range(RESETS)]

    async def story() -> list[list[float]]:
        return await asyncio.gather(*(one(number) for number in range(BOARDS)))

    took_s = asyncio.run(story())
    assert [len(each) for each in took_s] == [RESETS] * BOARDS
