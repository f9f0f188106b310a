"""Hypothesis drives the simulation: plans are strategies, and what it finds shrinks to a plan that a person can read."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from simulators.world.plan import Fault, FaultKind, Plan
from simulators.world.planted import PLANTED
from simulators.world.run import REFERENCE, simulate


@st.composite
def faults(draw):
    kind = draw(st.sampled_from(FaultKind))
    moment = draw(st.integers(0, 6)) if kind is not FaultKind.PLATFORM_RESTART else 0
    at_ms = draw(st.integers(0, 400)) if moment else draw(st.integers(0, 60)) * 1_000
    return Fault(kind, at_ms / 1_000, draw(st.integers(1, 2)), float(draw(st.integers(0, 60))), moment)


def plans():
    """Two devices, one minute; seeds and faults from few small numbers, which shrink well."""
    return st.builds(
        lambda seed, some: Plan(seed, devices=2, minutes=1.0, faults=tuple(some)),
        st.integers(0, 40),
        st.lists(faults(), max_size=6),
    )


class Found(Exception):
    """Not an AssertionError: a broken promise, and the plan that breaks it."""


def search(kind, *, examples):
    """The smallest plan that Hypothesis finds against a system; None when it finds none."""
    smallest = []

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(plans())
    def keeps_its_promises(plan):
        rules = {finding.rule for finding in simulate(plan, kind).findings}
        if rules & set(kind.finds) or (kind is REFERENCE and rules):
            smallest[:] = [plan]
            raise Found

    try:
        keeps_its_promises()
    except Found:
        return smallest[0]
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["key-race-2ms", "key-race-no-delay", "key-consumed-before-403", "pubrec-lost"])
def test_hypothesis_shrinks_a_planted_race_to_at_most_two_faults(name):
    plan = search(PLANTED[name], examples=200)
    assert plan is not None
    assert len(plan.faults) <= 2


@pytest.mark.slow
def test_hypothesis_finds_nothing_against_the_reference():
    assert search(REFERENCE, examples=40) is None
