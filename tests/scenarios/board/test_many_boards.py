"""A hundred and fifty boards behind pseudo terminals, at work at the same time in one certification."""

import asyncio
import resource
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from harness import runner
from harness.bench.device_file import read_device_file
from harness.certification import Certification, Outcome, Part, RunOptions, Subject
from harness.checks.verdict import RunVerdict
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.history.events import DeviceStarted, ScenarioEnded, ScenarioStarted
from harness.runner import Selection
from harness.scenario import all_scenarios
from scenarios.certify.device import board_of, declaration_facts
from simulators.board.powered import BoardDevice
from simulators.counterpart.bench import DeviceBench
from simulators.counterpart.power import Credentials, ScopeOf

PTY = Path(__file__).parents[3] / "fixtures" / "boards" / "pty.toml"
BOARDS = 150
FILES = 8_192  # a board and the platform in front of it have some twenty open


@pytest.fixture
def _room_for_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("HIL_LEASE_DIR", str(tmp_path / "leases"))
    monkeypatch.setattr(runner, "SIDE_BY_SIDE_MAX", BOARDS)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(FILES, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def certified(out: Path) -> Outcome:
    """A certification with a board for each copy of one scenario."""
    file = read_device_file(PTY)
    board = board_of(file, PTY)
    run = RunOptions("many", "pytest", 1, out, Selection(only=frozenset({"DEV-09"})))
    certification = Certification(run, Subject("device", "boards", declaration=declaration_facts(file)), SystemClock())
    numbers = count()

    def make(credentials: Credentials, scope_of: ScopeOf) -> BoardDevice:
        number = next(numbers)
        entry = board.model_copy(update={"name": f"pty-{number}"})
        entropy = SeededEntropy(number)
        options = {"clock": SystemClock(), "entropy": entropy, "recorder": certification.recorder}
        return BoardDevice(credentials, scope_of, entry=entry, state=out, **options)

    asked = all_scenarios("device")["two_configurations_in_a_row"]
    copies = tuple(replace(asked, name=f"{asked.name}-{number}") for number in range(BOARDS))
    async with DeviceBench(file, make, certification.recorder, SeededEntropy(1), instances=BOARDS) as bench:
        part = Part(bench, copies)
        return await certification.run((part,), certification.plan((part,)))


@pytest.mark.nightly
@pytest.mark.usefixtures("_room_for_all")
def test_a_hundred_and_fifty_boards_are_certified_side_by_side(tmp_path: Path) -> None:
    outcome = asyncio.run(certified(tmp_path))
    started = list(outcome.history.of(ScenarioStarted))
    ended = list(outcome.history.of(ScenarioEnded))

    assert [seen.fact.problem for seen in ended] == [""] * BOARDS
    assert outcome.verdict is RunVerdict.PASS
    assert len({seen.fact.device_id for seen in outcome.history.of(DeviceStarted)}) == BOARDS
    assert max(seen.at_s for seen in started) < min(seen.at_s for seen in ended)  # all at the same time
