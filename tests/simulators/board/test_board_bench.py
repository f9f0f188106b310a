"""`make bench PART=board`: the serial line beside pyserial's own ways to read it, and a hundred and fifty boards in one process."""

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from simulators.board.benchmark import ANSWERS, LOG_LINES, OURS, READLINE, STREAM, TRIALS, Figures, Trial, as_json, measure, ratios, table

LINES, QUESTIONS, QUESTIONS_OF_MANY, BOARDS = 10_000, 1_000, 20, 150
PLACE = Path(os.environ.get("HIL_BENCH_DIR", "reports/bench"))


def figures(what=LOG_LINES, reader=OURS, boards=1, per_s=5_000.0, cpu_us=10.0):
    return Figures(what, reader, boards, per_s, cpu_us)


def test_what_is_promised_is_kept_at_its_limit():
    measured = [figures(cpu_us=200.0), figures(reader=READLINE, cpu_us=2_000.0), figures(reader=STREAM, cpu_us=100.0)]
    measured += [
        figures(ANSWERS, cpu_us=800.0),
        figures(ANSWERS, READLINE, cpu_us=800.0),
        figures(ANSWERS, boards=150, per_s=1_250.0, cpu_us=800.0),
    ]
    assert len(ratios(measured)) == 6
    assert all(ratio.is_kept for ratio in ratios(measured))
    assert [ratio["is_kept"] for ratio in json.loads(as_json(measured))["ratios"]] == [True] * 6


@pytest.mark.parametrize(
    "measured",
    [
        [figures(per_s=4_999.0)],
        [figures(), figures(reader=READLINE, cpu_us=99.0)],
        [figures(), figures(reader=STREAM, cpu_us=4.9)],
        [figures(ANSWERS, per_s=1_249.0)],
        [figures(ANSWERS, boards=150, per_s=1_249.0)],
        [figures(ANSWERS), figures(ANSWERS, READLINE, cpu_us=9.0)],
    ],
)
def test_a_promise_of_the_line_that_is_not_kept_is_seen(measured):
    assert [ratio for ratio in ratios(measured) if not ratio.is_kept]


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.what} {trial.reader}")
def test_each_reader_is_measured(trial: Trial):
    measured = measure(trial, 20)
    assert (measured.what, measured.reader, measured.boards) == (trial.what, trial.reader, 1)
    assert measured.per_s > 0


@pytest.fixture
def enough_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.bench
@pytest.mark.usefixtures("enough_descriptors")
def test_board_keeps_its_promises_beside_its_peers():
    counts = {LOG_LINES: LINES, ANSWERS: QUESTIONS}
    measured = [measure(trial, counts[trial.what]) for trial in TRIALS]
    measured += [measure(trial, QUESTIONS_OF_MANY, boards=BOARDS) for trial in TRIALS if (trial.what, trial.reader) == (ANSWERS, OURS)]
    console = Console(width=120)
    console.print(table(measured))
    for ratio in ratios(measured):
        sign = "≤" if ratio.at_most else "≥"
        console.print(f"{'ok  ' if ratio.is_kept else 'MISS'} {ratio.name}: {ratio.value:.3g} (promised {sign} {ratio.limit:.4g})")
    PLACE.mkdir(parents=True, exist_ok=True)
    (PLACE / "board.json").write_text(as_json(measured))
    assert [ratio for ratio in ratios(measured) if not ratio.is_kept] == []
