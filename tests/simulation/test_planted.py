"""Systems that are wrong by design are found, replay from their seed, and shrink."""

import pytest

from simulators.world.campaign import Campaign, run_seed, smallest_failure
from simulators.world.invariants import rule_names
from simulators.world.planted import PLANTED

SEEDS_MAX = 200


def first_find(name):
    """The first seed on which a rule that must catch the system does; None within SEEDS_MAX."""
    for seed in range(SEEDS_MAX):
        result = run_seed(Campaign(personality=name), seed)
        if set(result.rules) & set(PLANTED[name].finds):
            return result
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_race_is_found_within_two_hundred_seeds_and_replays(name):
    found = first_find(name)
    assert found is not None
    assert run_seed(Campaign(personality=name), found.seed) == found


@pytest.mark.parametrize("kind", PLANTED.values(), ids=lambda kind: kind.name)
def test_what_must_find_a_planted_race_exists(kind):
    assert set(kind.finds) <= set(rule_names())
    assert kind.finds


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), [("key-race-2ms", 0), ("pubrec-lost", 0), ("slot-marked-before-written", 0)])
def test_a_failing_plan_is_made_small(name, seed):
    campaign = Campaign(personality=name)
    outcome = smallest_failure(campaign, seed)
    assert outcome.findings
    assert len(outcome.plan.faults) <= 2 < len(campaign.plan_of(seed).faults)
