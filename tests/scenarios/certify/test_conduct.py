"""How a certification ends on a signal: with what there is to report, once, and without a traceback."""

import asyncio
import os
import signal

import pytest
import typer

from harness.certification import RunOptions
from harness.runner import Selection
from scenarios.certify import conduct as conduct_module
from scenarios.certify.conduct import conduct
from scenarios.certify.options import CommonOptions


@pytest.fixture
def conducted(tmp_path):
    """A function that conducts a certification of the test's."""

    def run(certify):
        conduct(certify, RunOptions("run", "test", 1, tmp_path, Selection()), CommonOptions())

    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_anything_was_asked_aborts_without_a_report(conducted, tmp_path, number):
    async def waits_for_its_board():
        os.kill(os.getpid(), number)
        await asyncio.Event().wait()

    with pytest.raises(typer.Abort):
        conducted(waits_for_its_board)
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_the_report_is_written_does_not_spoil_it(conducted, monkeypatch):
    written = []

    def finish(outcome, out, options):
        os.kill(os.getpid(), signal.SIGINT)
        written.append(outcome)

    async def ends():
        return "outcome"

    monkeypatch.setattr(conduct_module, "finish", finish)
    conducted(ends)
    assert written == ["outcome"]


def test_a_second_signal_does_not_spoil_what_the_first_one_left(conducted):
    ended = []

    async def tidies_up():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(5):  # rounds of the loop, in which it hears of the signal
                await asyncio.sleep(0)
            ended.append("in order")

    conducted(tidies_up)
    assert ended == ["in order"]
