"""Plans are data: drawn from a seed, written and read, made smaller."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from simulators.world.plan import Fault, FaultKind, Plan, draw_plan, kinds_of, plan_from_json, plan_to_json, read_plan
from simulators.world.run import shrink


@given(st.integers(0, 10**9))
def test_a_plan_survives_being_written_and_read(seed):
    plan = draw_plan(seed)
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


def test_each_kind_is_on_in_about_half_of_all_seeds():
    plans = [draw_plan(seed) for seed in range(400)]
    for kind in FaultKind:
        assert 140 < sum(any(fault.kind is kind for fault in plan.faults) for plan in plans) < 260


def test_only_the_kinds_that_were_asked_for_are_drawn():
    kinds = {fault.kind for seed in range(50) for fault in draw_plan(seed, kinds=(FaultKind.RESET,)).faults}
    assert kinds == {FaultKind.RESET}


def test_a_kind_less_shifts_no_draw_of_the_others():
    both = draw_plan(7, kinds=tuple(FaultKind))
    fewer = draw_plan(7, kinds=tuple(kind for kind in FaultKind if kind is not FaultKind.PARTITION))
    assert [fault for fault in both.faults if fault.kind is not FaultKind.PARTITION] == list(fewer.faults)


def test_words_name_kinds():
    assert kinds_of("all") == tuple(FaultKind)
    assert kinds_of("none") == ()
    assert kinds_of("reset, power cut") == (FaultKind.RESET, FaultKind.POWER_CUT)


def test_an_unknown_kind_is_refused_with_the_choices():
    with pytest.raises(ConfigurationError, match=r"earthquake.*power cut"):
        kinds_of("earthquake")


def test_a_finding_can_be_read_as_a_plan(tmp_path):
    path = tmp_path / "seed-3.json"
    path.write_text(json.dumps({"seed": 3, "plan": plan_to_json(draw_plan(3))}))
    assert read_plan(path) == draw_plan(3)


@pytest.mark.parametrize("text", ["", "[]", '{"plan": 1}', '{"faults": [{"kind": "earthquake"}]}', '{"surprise": 1}'])
def test_a_file_that_is_no_plan_is_refused(tmp_path, text):
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="no fault plan"):
        read_plan(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_plan(tmp_path / "nowhere.json")


def test_shrinking_leaves_just_the_faults_that_matter():
    needed = [Fault(FaultKind.RESET, 3.0, 1), Fault(FaultKind.POWER_CUT, 5.0, 2, 1.0)]
    others = [Fault(FaultKind.LATENCY, float(at_s), 1, 1.0) for at_s in range(5)]
    plan = Plan(1, faults=(others[0], needed[0], *others[1:4], needed[1], others[4]))
    assert shrink(plan, lambda smaller: set(needed) <= set(smaller.faults)).faults == tuple(needed)
