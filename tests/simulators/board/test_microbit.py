"""Debian's MicroPython on an emulated micro:bit, driven over its raw REPL."""

import asyncio
import json
from pathlib import Path

import pytest

from harness.bench.serial.board import open_board
from harness.bench.serial.inventory import read_inventory
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.errors import LocalWireError
from simulators.board.emulator import MICROPYTHON_HEX

BOARDS = Path(__file__).parents[3] / "fixtures" / "boards" / "boards.toml"
pytestmark = [
    pytest.mark.qemu,
    pytest.mark.slow,
    pytest.mark.skipif(not MICROPYTHON_HEX.exists(), reason="missing program: firmware-microbit-micropython"),
]


@pytest.fixture(autouse=True)
def _leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_LEASE_DIR", str(tmp_path / "leases"))


def test_it_keeps_its_configuration_over_a_reboot_and_executes_each_command_once(tmp_path: Path, world) -> None:
    async def story() -> list[object]:
        entry = read_inventory(BOARDS).board("microbit")
        async with open_board(entry, clock=SystemClock(), entropy=SeededEntropy(1), state=tmp_path, world=world) as board:

            async def ask(name: str, payload: bytes = b"") -> dict[str, object]:
                await board.link.command(name, payload, deadline_s=asyncio.get_running_loop().time() + 20)
                return (await asyncio.wait_for(world.results.get(), 1))[2]

            answers = [await ask("configuration", b'{"threshold": 30, "name": "x~"}')]
            answers += [await ask("reboot"), await ask("send_configuration"), await ask("send_configuration", b'{"keys":["threshold"]}')]
            answers += [await ask("configuration", b"{"), await ask("self_destruct"), await ask("reset"), await ask("send_configuration")]
            with pytest.raises(LocalWireError, match="a raw REPL takes 1024"):
                await ask("configuration", b"x" * 1_025)
            return answers

    answers = asyncio.run(story())
    assert [answer["success"] for answer in answers] == [True, True, True, True, False, False, True, True]
    assert answers[2]["configuration"] == {"threshold": 30, "name": "x~"}
    assert answers[3]["configuration"] == {"threshold": 30}
    assert answers[7]["configuration"] == {"sampling_rate": 300}
    assert len(world.boots) == 2
    assert json.dumps(answers)
