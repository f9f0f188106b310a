"""Planning and running scenarios: who is asked, who is left out and why, what runs beside what, and what a broken bench comes to."""

import asyncio

import pytest

from harness.checks.registry import Check
from harness.clock import ManualClock
from harness.errors import BenchError
from harness.history.events import ScenarioEnded, ScenarioStarted
from harness.history.recorder import Recorder
from harness.runner import Selection, make_plan, run_scenarios, within_budget
from harness.scenario import Scenario


def check_named(name: str, *requirements: str) -> Check:
    return Check(name, name, requirements or ("CMD-01a",), lambda history: iter(()), "unseen", "")


def scenario_named(name: str, *serves: str, workload=None, alone=False, full_only=False) -> Scenario:
    def quiet(cast):
        yield "nothing"

    return Scenario(name, "platform", name, serves, None, workload or quiet, alone, full_only, 1.0)


class FakeBench:
    """A bench with a number of places; an operation that is an exception is raised, all else is echoed."""

    def __init__(self, places: int = 2, ruled_out: dict[str, str] | None = None, stuck: str = "") -> None:
        self.free = places
        self.stuck = stuck  # the scenario whose equipment cannot be put in order
        self.ruled_out = ruled_out or {}
        self.performed: list[object] = []
        self.at_work: set[str] = set()
        self.beside: dict[str, set[str]] = {}

    def rule_out(self, scenario):
        return self.ruled_out.get(scenario.name)

    def cast(self, scenario):
        if not self.free:
            return None
        self.free -= 1
        self.at_work.add(scenario.name)
        for name in self.at_work:
            self.beside.setdefault(name, set()).update(self.at_work - {name})
        return scenario.name

    def roles(self, cast):
        return {"device": cast}

    async def perform(self, cast, operation):
        await asyncio.sleep(0)
        self.performed.append(operation)
        if isinstance(operation, Exception):
            raise operation
        return operation

    async def dismiss(self, cast):
        self.free += 1
        self.at_work.discard(cast)
        if cast == self.stuck:
            raise BenchError("the broker is gone")


def run(scenarios, bench) -> Recorder:
    recorder = Recorder(ManualClock())
    asyncio.run(run_scenarios(scenarios, bench, recorder))
    return recorder


def problems(recorder: Recorder) -> dict[str, str]:
    return {seen.fact.name: seen.fact.problem for seen in recorder.history().of(ScenarioEnded)}


CHECKS = {name: check_named(name) for name in ("first", "second")}


def test_a_check_is_planned_when_one_of_its_scenarios_can_run():
    scenarios = (scenario_named("a", "first"), scenario_named("b", "first", "second"))

    plan = make_plan(CHECKS, scenarios, FakeBench(ruled_out={"a": "no device"}), Selection())

    assert [(check.id, check.status) for check in plan.checks] == [("first", "planned"), ("second", "planned")]
    assert [scenario.name for scenario in plan.scenarios] == ["b"]


def test_a_check_whose_scenarios_are_all_ruled_out_is_not_applicable_with_the_reason():
    plan = make_plan(CHECKS, (scenario_named("a", "first"),), FakeBench(ruled_out={"a": "no device"}), Selection())

    assert [(check.status, check.reason) for check in plan.checks] == [("not-applicable", "no device")]
    assert plan.scenarios == ()


def test_a_check_whose_requirements_the_bench_itself_fulfils_is_not_applicable_with_the_reason():
    checks = {"first": check_named("first", "DEV-20a"), "second": check_named("second", "DEV-19")}
    scenarios = (scenario_named("a", "first"), scenario_named("b", "second"))

    plan = make_plan(checks, scenarios, FakeBench(), Selection(), {"DEV-20": "the bench connects"})

    assert [(check.status, check.reason) for check in plan.checks] == [("not-applicable", "the bench connects"), ("planned", "")]
    assert [scenario.name for scenario in plan.scenarios] == ["b"]


def test_a_check_that_only_the_full_profile_serves_is_skipped_under_quick():
    scenarios = (scenario_named("a", "first", full_only=True),)

    assert make_plan(CHECKS, scenarios, FakeBench(), Selection("quick")).checks[0].status == "skipped"
    assert make_plan(CHECKS, scenarios, FakeBench(), Selection("full")).checks[0].status == "planned"


@pytest.mark.parametrize("name", ["second", "KEY-01", "KEY-01a"])
def test_only_and_skip_take_checks_and_requirements(name):
    checks = CHECKS | {"second": check_named("second", "KEY-01a")}
    scenarios = (scenario_named("a", "first", "second"),)

    only = make_plan(checks, scenarios, FakeBench(), Selection(only=frozenset({name})))
    skip = make_plan(checks, scenarios, FakeBench(), Selection(skip=frozenset({name})))

    assert [check.status for check in only.checks] == ["skipped", "planned"]
    assert [check.status for check in skip.checks] == ["planned", "skipped"]


def test_a_workload_is_sent_what_came_of_each_operation():
    outcomes = []

    def workload(cast):
        outcomes.append((yield "one"))
        outcomes.append((yield "two"))

    run((scenario_named("a", "first", workload=workload),), FakeBench())

    assert outcomes == ["one", "two"]


def test_scenarios_run_side_by_side_as_far_as_the_bench_has_places():
    bench = FakeBench(places=2)

    run(tuple(scenario_named(name, "first") for name in "abc"), bench)

    assert bench.beside["a"] >= {"b"}
    assert len(bench.performed) == 3
    assert bench.free == 2


def test_a_scenario_marked_alone_runs_beside_nobody_and_last():
    bench = FakeBench(places=3)

    recorder = run((scenario_named("clock", "first", alone=True), scenario_named("a", "first"), scenario_named("b", "first")), bench)

    assert bench.beside["clock"] == set()
    assert [seen.fact.name for seen in recorder.history().of(ScenarioStarted)][-1] == "clock"


def test_bench_trouble_ends_its_scenario_and_no_other():
    def unlucky(cast):
        yield BenchError("the relay does not answer")

    recorder = run((scenario_named("a", "first", workload=unlucky), scenario_named("b", "second")), FakeBench())

    assert problems(recorder) == {"a": "the relay does not answer", "b": ""}


def test_equipment_that_cannot_be_put_in_order_is_the_problem_of_its_scenario_and_of_no_other():
    recorder = run((scenario_named("a", "first"), scenario_named("b", "second")), FakeBench(stuck="a"))

    assert problems(recorder) == {"a": "its equipment could not be put in order afterwards: the broker is gone", "b": ""}


def test_a_scenario_that_trips_is_a_problem_of_the_harness_and_says_so():
    def clumsy(cast):
        yield "one"
        raise IndexError("list index out of range")

    assert "the scenario itself failed: IndexError" in problems(run((scenario_named("a", "first", workload=clumsy),), FakeBench()))["a"]


def test_what_a_scenario_records_carries_its_name():
    recorder = run((scenario_named("a", "first"),), FakeBench())

    assert {event.scope for event in recorder.history().events} == {"a"}


def plan_of(*scenarios: Scenario, checks: dict[str, Check]):
    return make_plan(checks, scenarios, FakeBench(), Selection())


def test_a_budget_drops_readings_before_promises_and_says_so():
    checks = {"must": check_named("must", "KEY-02"), "reading": check_named("reading", "CMD-01b")}
    plan = plan_of(scenario_named("a", "must", alone=True), scenario_named("b", "reading", alone=True), checks=checks)

    cut = within_budget(plan, checks, 1.0)

    assert [(check.id, check.status) for check in cut.checks] == [("must", "planned"), ("reading", "skipped")]
    assert cut.checks[1].reason == "left out by --budget 1 s"
    assert [scenario.name for scenario in cut.scenarios] == ["a"]


def test_a_budget_that_is_large_enough_changes_nothing():
    checks = {"must": check_named("must", "KEY-02")}
    plan = plan_of(scenario_named("a", "must"), checks=checks)

    assert within_budget(plan, checks, 60.0) == plan
