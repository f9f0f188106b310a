"""Planted faults prove the instrument: each wrong platform is caught by its own row, and accused of nothing else."""

import pytest

from harness.requirements import rows
from simulators.platform.personalities import PERSONALITIES, REFERENCE, WRONG_PLATFORMS

FOUND_WRONG = ("fail", "warning", "deviation")


def rows_of(result):
    return {requirement[:6] for requirement in result.requirements}


@pytest.mark.mutants
@pytest.mark.parametrize("personality", WRONG_PLATFORMS, ids=lambda personality: personality.name)
def test_a_wrong_platform_is_caught_by_its_row_and_fails_no_other(certify, personality):
    outcome = certify(personality, rows=personality.breaks)
    caught = [result for result in outcome.results if result.verdict.value in FOUND_WRONG and rows_of(result) & set(personality.breaks)]
    explained = {*personality.breaks, *personality.also}
    collateral = [
        (result.id, result.detail) for result in outcome.results if result.verdict.value == "fail" and not rows_of(result) & explained
    ]
    assert (bool(caught), collateral) == (True, [])


def test_there_are_at_least_forty_five_wrong_platforms():
    assert len(WRONG_PLATFORMS) >= 45
    assert len(PERSONALITIES) == len(WRONG_PLATFORMS) + 1


def test_every_row_that_a_personality_names_is_in_the_catalogue():
    assert {row for personality in WRONG_PLATFORMS for row in (*personality.breaks, *personality.also)} <= set(rows())


def test_every_family_has_wrong_platforms():
    assert {row[:3] for personality in WRONG_PLATFORMS for row in personality.breaks} == {"CMD", "KEY", "DLD", "LST"}


def test_the_reference_breaks_nothing():
    assert REFERENCE.breaks == ()
