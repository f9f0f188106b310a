"""Seeds that once found something, for ever: of ours they find nothing any more, of a planted system they find it still."""

import json
from pathlib import Path

import pytest

from simulators.world.campaign import Campaign
from simulators.world.plan import plan_from_json
from simulators.world.planted import PLANTED
from simulators.world.run import simulate

SEEDS = sorted((Path(__file__).parents[2] / "fixtures" / "seeds").glob("*.json"))


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_a_kept_seed_says_what_it_said(path):
    kept = json.loads(path.read_text())
    campaign = Campaign(personality=kept["personality"])
    rules = {finding.rule for finding in simulate(plan_from_json(kept["plan"]), campaign.kind).findings}
    if kept["personality"] in PLANTED:
        assert set(kept["rules"]) <= rules
    else:
        assert rules == set()


def test_there_are_kept_seeds_each_with_its_origin():
    assert SEEDS
    assert all(json.loads(path.read_text())["origin"] for path in SEEDS)
