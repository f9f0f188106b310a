"""The emulator's process, with a program in QEMU's place."""

import asyncio
import os
import signal

import pytest

from simulators.board.emulator import Emulator, EmulatorSettings, Machine


@pytest.fixture
def silent_qemu(tmp_path, monkeypatch):
    """A program of QEMU's name that starts and says nothing."""
    program = tmp_path / "bin" / "qemu-system-arm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("silent_qemu")
def test_an_emulator_whose_start_is_cancelled_leaves_no_process(tmp_path):
    async def run():
        emulator = Emulator(EmulatorSettings(Machine.MPS2, tmp_path / "state"))
        starting = asyncio.create_task(emulator.start())
        while emulator.pid is None:
            await asyncio.sleep(0)
        process = emulator._process
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return process.returncode

    assert asyncio.run(run()) == -signal.SIGKILL
