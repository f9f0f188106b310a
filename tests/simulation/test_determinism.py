"""Same seed, same run: across processes, hash seeds, and whatever ran in the process before."""

import pytest

from simulators.world.campaign import Campaign, run_seed
from simulators.world.plan import Plan, draw_plan
from simulators.world.run import simulate

SEEDS = 50


@pytest.mark.slow
def test_fifty_seeds_with_faults_give_the_same_digests_in_three_processes(digests_in_process, answer_of):
    first, second = digests_in_process(0, SEEDS, 1), digests_in_process(0, SEEDS, 4_242)
    third = digests_in_process(0, SEEDS, 0)
    answers = [answer_of(process) for process in (first, second, third)]
    assert len(set(answers[0])) == SEEDS
    assert answers[0] == answers[1] == answers[2]


def test_a_run_does_not_depend_on_the_runs_before_it(digests_in_process, answer_of):
    fresh = digests_in_process(7, 8, 3)
    warm = [run_seed(Campaign(), seed).digest for seed in (5, 6, 7)]
    assert answer_of(fresh) == warm[-1:]


def test_nothing_is_imported_while_a_world_runs():
    assert simulate(draw_plan(0)).late_imports == ()


def test_other_seeds_give_other_runs():
    assert simulate(Plan(1)).digest != simulate(Plan(2)).digest


def test_a_fault_more_or_less_shifts_no_other_draw():
    """What the operator does is the same with and without a fault, or plans could not be made smaller."""
    plan = draw_plan(3)
    assert plan.faults
    with_faults, without = simulate(plan), simulate(Plan(3, plan.devices, plan.minutes, plan.tick_s))
    per_device = [
        {device: [item.command for item in outcome.record.sent if item.device == device] for device in ("dev-1", "dev-2", "dev-3")}
        for outcome in (with_faults, without)
    ]
    assert per_device[0] == per_device[1]
