"""The certification that was written for real sockets, in a world: the same verdicts, in virtual time, replayed by its seed."""

import asyncio
from collections import Counter

import pytest

from scenarios.certify.options import CommonOptions
from scenarios.certify.pair import certify_pair
from simulators.world.virtual import run_virtually

# Checks of more than ten scenarios: commands, keys, downloads and lists of a platform; exchanges, downloads and effects of a device.
COMPARED = "CMD-01,CMD-03,CMD-10,CMD-13,CMD-14,KEY-02,KEY-03,KEY-04,KEY-06,DLD-01,DLD-02,LST-01,LST-04,DEV-03,DEV-04,DEV-08,DEV-11,DEV-12"
SEED = 7


@pytest.fixture
def certification(tmp_path):
    """`certification(profile, only)` makes the coroutine of `hil certify`."""

    def make(profile, only=""):
        options = CommonOptions(profile=profile, out=tmp_path, only=only or None, seed=SEED)
        return certify_pair(options.run_options(), options)

    return make


def verdicts(outcome):
    return {result.id: result.verdict.value for result in outcome.results}


def scenarios(outcome):
    return {event.fact.name for event in outcome.history.events if type(event.fact).__name__ == "ScenarioStarted"}


@pytest.mark.slow
def test_ten_scenarios_and_more_give_the_same_verdicts_on_real_sockets_and_in_a_world(certification):
    real = asyncio.run(certification("quick", COMPARED))
    virtual = run_virtually(certification("quick", COMPARED), seed=SEED).result
    assert len(scenarios(real)) >= 10
    assert scenarios(virtual) == scenarios(real)
    assert verdicts(virtual) == verdicts(real)


@pytest.mark.slow
def test_everything_that_takes_half_an_hour_passes_in_a_world(certification):
    run = run_virtually(certification("full"), seed=SEED)
    not_passed = {name: verdict for name, verdict in verdicts(run.result).items() if verdict not in ("pass", "not-applicable")}
    assert not_passed == {}
    assert Counter(verdicts(run.result).values())["pass"] > 80
    assert run.virtual_s > 30 * 60
    assert run.unhandled == ()


@pytest.mark.slow
def test_a_certification_in_a_world_replays_from_its_seed(certification):
    first, second = (run_virtually(certification("quick", COMPARED), seed=SEED) for _ in range(2))
    assert first.digest == second.digest
    assert first.virtual_s == second.virtual_s
