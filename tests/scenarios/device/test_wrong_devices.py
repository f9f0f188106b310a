"""Every wrong device is told by the rows that it breaks, and of nothing else: the proof that the device checks can fail, and only then do.

Printed for each: caught, missed, or falsely accused (with `pytest -rA`, or where a test fails).
"""

import pytest

from harness.checks.verdict import Verdict
from simulators.device.imitations import IMITATIONS
from simulators.device.personality import REFERENCE
from simulators.device.wrong_commands import WRONG_COMMANDS
from simulators.device.wrong_downloads import WRONG_DOWNLOADS
from simulators.device.wrong_exchanges import WRONG_EXCHANGES
from simulators.device.wrong_sessions import WRONG_SESSIONS

FAMILIES = {
    "sessions": WRONG_SESSIONS,
    "exchanges": WRONG_EXCHANGES,
    "commands": WRONG_COMMANDS,
    "downloads": WRONG_DOWNLOADS,
    "imitations": IMITATIONS,
}
_WRONG = [personality for family in FAMILIES.values() for personality in family]
_SHARES = 6


def _summary(trials):
    caught = sum(not trial.missed for trial in trials)
    accused = sum(bool(trial.collateral) for trial in trials)
    return "\n".join([*map(str, trials), f"{caught} of {len(trials)} caught, {accused} falsely accused"])


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_wrong_devices_are_caught_by_the_rows_that_they_break(family, try_personalities):
    trials = try_personalities(FAMILIES[family], own_rows_only=True)
    print(_summary(trials))
    assert not [str(trial) for trial in trials if trial.missed or trial.collateral or trial.errors]


@pytest.mark.mutants
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("share", range(_SHARES))
def test_no_wrong_device_is_accused_of_what_it_does_right(share, try_personalities):
    trials = try_personalities(_WRONG[share::_SHARES], own_rows_only=False)
    print(_summary(trials))
    assert not [str(trial) for trial in trials if trial.missed or trial.collateral or trial.errors]


@pytest.mark.slow
def test_reference_device_has_no_finding_in_two_seeds(try_personalities):
    trials = try_personalities([REFERENCE], own_rows_only=False, seeds=(11, 12))
    assert [finding for trial in trials for finding in _findings(trial)] == []


@pytest.mark.mutants
@pytest.mark.timeout(1800)
def test_reference_device_has_no_finding_in_twenty_seeds(try_personalities):
    trials = try_personalities([REFERENCE], own_rows_only=False, seeds=range(20))
    assert [finding for trial in trials for finding in _findings(trial)] == []


def _findings(trial):
    allowed = (Verdict.PASS, Verdict.SKIPPED, Verdict.NOT_APPLICABLE)
    return [f"{result.id}: {result.verdict.value}: {result.detail}" for result in trial.results if result.verdict not in allowed]
