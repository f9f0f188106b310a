"""Planted faults prove the instrument: each wrong platform is caught by its own row, and accused of nothing else.

Printed for each: caught, missed, its companions with their reasons, and collateral (with `pytest -rA`, or where a test fails).
"""

import pytest

from harness.requirements import rows
from simulators.platform.personalities import PERSONALITIES, REFERENCE, WRONG_PLATFORMS

FAMILIES = ("CMD", "KEY", "DLD", "LST")
SHARES = 8
# What these break shows in a process of their own only: its broker is stopped, its memory is measured.
APART = [personality for personality in WRONG_PLATFORMS if {*personality.breaks} & {"CMD-31", "DLD-11"}]
SIDE_BY_SIDE = [personality for personality in WRONG_PLATFORMS if personality not in APART]


def of_family(family):
    return [personality for personality in SIDE_BY_SIDE if personality.breaks[0].startswith(family)]


def told(trials):
    """Prints the trials; returns those that did not go as they must."""
    wrong = [str(trial) for trial in trials if not trial.is_told_right]
    counts = f"{sum(bool(trial.caught_by) for trial in trials)} caught, {sum(not trial.caught_by for trial in trials)} missed"
    print("\n".join([*map(str, trials), f"{counts}, {sum(bool(trial.collateral) for trial in trials)} with collateral"]))
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_wrong_platforms_are_caught_by_their_rows(family, try_personalities):
    assert told(try_personalities(of_family(family), own_rows_only=True)) == []


@pytest.mark.slow
@pytest.mark.parametrize("personality", APART, ids=lambda personality: personality.name)
def test_a_wrong_platform_is_caught_in_its_own_process(personality, try_process):
    assert told([try_process(personality)]) == []


@pytest.mark.mutants
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("share", range(SHARES))
def test_no_wrong_platform_fails_another_row(share, try_personalities):
    assert told(try_personalities(SIDE_BY_SIDE[share::SHARES], own_rows_only=False)) == []


def test_there_are_at_least_forty_five_wrong_platforms():
    assert len(WRONG_PLATFORMS) >= 45
    assert len(PERSONALITIES) == len(WRONG_PLATFORMS) + 1


def test_every_row_that_a_personality_names_is_in_the_catalogue():
    assert {row for personality in WRONG_PLATFORMS for row in (*personality.breaks, *personality.also)} <= set(rows())


def test_every_family_has_wrong_platforms():
    assert {row[:3] for personality in WRONG_PLATFORMS for row in personality.breaks} == set(FAMILIES)


def test_the_reference_breaks_nothing():
    assert REFERENCE.breaks == ()
