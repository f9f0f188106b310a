"""The rules by which observations become a verdict."""

import pytest

from harness.checks.judgement import judge
from harness.checks.registry import Check, all_checks, broken, check, kept, names_of_checks, not_seen
from harness.checks.verdict import CheckResult, RunVerdict, Verdict, run_verdict, worst
from harness.errors import ScenarioError
from harness.history.events import RunStarted
from harness.history.timeline import History


def judged_by(story, judge_of, *requirements, **more):
    """The result of an unregistered check."""
    made = Check("made_up", "A made-up check", requirements, judge_of, "nothing was seen", "a cause")
    return judge(story.history("made_up", **more), {"made_up": made})[0]


def finds(detail="wrong", requirement="", times=1, hint=""):
    def judge_of(history):
        for number in range(times):
            first = next(history.of(RunStarted))
            yield broken(f"{detail} {number}" if times > 1 else detail, first, requirement=requirement, hint=hint)

    return judge_of


def sees(history):
    yield kept(next(history.of(RunStarted)))


def sees_nothing(history):
    yield from ()


def trips(history):
    yield kept(next(history.of(RunStarted)))
    raise KeyError("oops")


def test_a_broken_must_is_a_fail(story):
    assert judged_by(story, finds(), "CMD-02").verdict is Verdict.FAIL


def test_a_broken_should_is_a_warning(story):
    assert judged_by(story, finds(), "CMD-24").verdict is Verdict.WARNING


def test_a_broken_reading_is_a_deviation(story):
    assert judged_by(story, finds(), "CMD-25").verdict is Verdict.DEVIATION


@pytest.mark.parametrize("name", ["CMD-01b", "CMD-01"])
def test_a_declared_reading_that_is_broken_is_a_fail(story, name):
    story.declare(name, "as documented")
    assert judged_by(story, finds(), "CMD-01b").verdict is Verdict.FAIL


def test_a_declaration_does_not_make_a_should_binding(story):
    story.declare("CMD-24", "256 bytes")
    assert judged_by(story, finds(), "CMD-24").verdict is Verdict.WARNING


def test_hardening_rows_become_must_where_the_target_asks_for_it(story):
    assert judged_by(story, finds(), "KEY-07").verdict is Verdict.WARNING
    story.hardening = "must"
    result = judged_by(story, finds(), "KEY-07")
    assert (result.verdict, result.level) == (Verdict.FAIL, "MUST")


def test_the_finding_names_the_requirement_that_decides(story):
    assert judged_by(story, finds(requirement="CMD-01b"), "CMD-01a", "CMD-01b").verdict is Verdict.DEVIATION


def test_a_check_has_the_level_of_its_strictest_requirement(story):
    assert judged_by(story, sees, "CMD-01b", "CMD-24").level == "SHOULD"


def test_the_worst_finding_comes_first_and_decides(story):
    def judge_of(history):
        yield from finds("a reading", "CMD-01b")(history)
        yield from finds("a must", "CMD-01a")(history)

    result = judged_by(story, judge_of, "CMD-01a", "CMD-01b")
    assert (result.verdict, result.detail) == (Verdict.FAIL, "a must; a reading")


def test_many_findings_are_cut_to_three_and_counted(story):
    assert judged_by(story, finds("wrong", times=5), "CMD-02").detail == "wrong 0; wrong 1; wrong 2 (and 2 more)"


def test_the_findings_own_hint_comes_before_the_checks(story):
    assert judged_by(story, finds(hint="own"), "CMD-02").hint == "own"
    assert judged_by(story, finds(), "CMD-02").hint == "a cause"


def test_what_was_kept_is_a_pass_with_evidence(story):
    result = judged_by(story, sees, "CMD-02")
    assert (result.verdict, result.evidence, result.detail) == (Verdict.PASS, (1,), "kept 1 of 1 times")


def test_nothing_seen_is_inconclusive_and_says_what_would_show_it(story):
    result = judged_by(story, sees_nothing, "CMD-02")
    assert (result.verdict, result.detail) == (Verdict.INCONCLUSIVE, "nothing was seen")


def test_an_outcome_that_cannot_be_told_is_inconclusive_and_says_why(story):
    result = judged_by(story, lambda history: iter([not_seen("it left early")]), "CMD-02")
    assert (result.verdict, result.detail) == (Verdict.INCONCLUSIVE, "it left early")


def test_an_outcome_that_cannot_be_told_takes_nothing_from_one_that_was_seen(story):
    told = [not_seen("it left early"), kept()]
    assert judged_by(story, lambda history: iter(told), "CMD-02").detail == "kept 1 of 1 times"


def test_nothing_seen_in_a_scenario_that_had_trouble_is_an_error(story):
    story.scenario("made_up", problem="429")
    result = judged_by(story, sees_nothing, "CMD-02")
    assert (result.verdict, result.detail) == (Verdict.ERROR, "scenario scene: 429")


def test_a_finding_counts_even_where_a_scenario_had_trouble(story):
    story.scenario("made_up", problem="429")
    assert judged_by(story, finds(), "CMD-02").verdict is Verdict.FAIL


def test_what_was_kept_by_one_scenario_is_a_pass_although_another_had_trouble(story):
    story.scenario("made_up", problem="429", name="first")
    story.scenario("made_up", name="second")
    assert judged_by(story, sees, "CMD-02").verdict is Verdict.PASS


def test_a_check_all_of_whose_scenarios_had_trouble_is_an_error(story):
    story.scenario("made_up", problem="429")
    assert judged_by(story, sees, "CMD-02").verdict is Verdict.ERROR


def test_a_check_that_trips_is_an_error_and_never_a_pass(story):
    result = judged_by(story, trips, "CMD-02")
    assert result.verdict is Verdict.ERROR
    assert "KeyError" in result.detail


@pytest.mark.parametrize("status", ["not-applicable", "skipped"])
def test_what_the_plan_rules_out_is_not_judged(story, status):
    result = judged_by(story, finds(), "CMD-02", status=status)
    assert (result.verdict.value, result.detail) == (status, "because")


def test_a_check_that_this_installation_lacks_has_no_result(story):
    assert judge(story.history("unheard_of"), {}) == []


def test_a_long_finding_has_a_duration(story):
    def judge_of(history):
        yield broken("slow", *history.commands())

    story.command()
    assert judged_by(story, judge_of, "CMD-02").duration_s == pytest.approx(0.11)


def test_the_other_subjects_part_of_a_pairs_run_is_not_judged(story):
    from harness.history.events import ScenarioStarted

    story.scenario("made_up", name="ours")
    story.command()
    story.scope = "theirs"
    story.add(ScenarioStarted("theirs", "device", ("another",), {}))
    story.command()

    def judge_of(history):
        yield from (kept(call) for call in history.commands())

    assert judged_by(story, judge_of, "CMD-02").detail == "kept 1 of 1 times"


def test_a_device_check_looks_at_its_own_scenarios_only(story):
    from harness.history.events import ScenarioStarted

    for name, serves in (("ours", ("made_up",)), ("theirs", ("another",))):
        story.scope = name
        story.add(ScenarioStarted(name, "device", serves, {}))
        story.command()

    def judge_of(history):
        yield from (kept(call) for call in history.commands())

    assert judged_by(story, judge_of, "DEV-03").detail == "kept 1 of 1 times"


def result_of(verdict, level="MUST"):
    return CheckResult("x", "X", ("CMD-01a",), level, verdict, "")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], Verdict.INCONCLUSIVE),
        ([Verdict.PASS, Verdict.DEVIATION], Verdict.DEVIATION),
        ([Verdict.WARNING, Verdict.DEVIATION], Verdict.WARNING),
        ([Verdict.ERROR, Verdict.FAIL, Verdict.PASS], Verdict.FAIL),
    ],
)
def test_the_worst_verdict_wins(verdicts, expected):
    assert worst(verdicts) is expected


@pytest.mark.parametrize(
    ("results", "expected", "status"),
    [
        ([result_of(Verdict.PASS)], RunVerdict.PASS, 0),
        ([result_of(Verdict.PASS), result_of(Verdict.WARNING)], RunVerdict.PASS_WITH_WARNINGS, 0),
        ([result_of(Verdict.DEVIATION, "READ")], RunVerdict.PASS_WITH_WARNINGS, 0),
        ([result_of(Verdict.FAIL), result_of(Verdict.ERROR)], RunVerdict.FAIL, 1),
        ([result_of(Verdict.ERROR), result_of(Verdict.INCONCLUSIVE)], RunVerdict.ERROR, 3),
        ([result_of(Verdict.PASS), result_of(Verdict.INCONCLUSIVE)], RunVerdict.INCONCLUSIVE, 3),
        ([result_of(Verdict.PASS), result_of(Verdict.INCONCLUSIVE, "SHOULD")], RunVerdict.PASS, 0),
        ([result_of(Verdict.SKIPPED), result_of(Verdict.NOT_APPLICABLE)], RunVerdict.INCONCLUSIVE, 3),
        ([], RunVerdict.INCONCLUSIVE, 3),
    ],
)
def test_a_run_is_as_good_as_its_worst_check(results, expected, status):
    assert (run_verdict(results), run_verdict(results).exit_status) == (expected, status)


def test_an_aborted_run_says_so_unless_something_failed():
    assert run_verdict([result_of(Verdict.PASS)], aborted=True) is RunVerdict.ABORTED
    assert run_verdict([result_of(Verdict.FAIL)], aborted=True) is RunVerdict.FAIL


def test_only_judged_verdicts_cover_a_requirement():
    assert {verdict for verdict in Verdict if verdict.is_judged} == {Verdict.PASS, Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION}


def test_a_check_may_cite_only_what_the_catalogue_has():
    with pytest.raises(ScenarioError, match="CMD-99"):
        check("CMD-99")(sees)


def test_two_checks_may_not_share_a_name():
    taken = all_checks()["key_works_once"]
    with pytest.raises(ScenarioError, match="two checks"):
        check("CMD-02")(taken.judge)


def test_a_check_needs_a_docstring_as_its_title():
    def untitled(history):
        yield from ()

    with pytest.raises(ScenarioError, match="docstring"):
        check("CMD-02")(untitled)


def test_a_checks_title_is_the_first_line_of_its_docstring():
    assert all_checks()["key_works_once"].title == "After a successful use a key answers 401 for ever"


def test_a_check_none_of_whose_scenarios_began_judges_nothing(story):
    story.scenario("another", name="theirs")
    story.command()

    def judge_of(history):
        yield from (broken("seen elsewhere", call) for call in history.commands())

    assert judged_by(story, judge_of, "CMD-02").verdict is Verdict.INCONCLUSIVE


def test_a_scenario_that_the_record_cuts_off_accuses_nobody(story):
    story.scenario("made_up", name="cut")
    story.command()
    whole = story.history("made_up")
    cut = History(whole.events[:-1])

    def judge_of(history):
        yield from (broken("never came", call) for call in history.commands())

    checks = {"made_up": Check("made_up", "t", ("CMD-02",), judge_of, "unseen", "")}
    assert judge(whole, checks)[0].verdict is Verdict.FAIL
    assert judge(cut, checks)[0].verdict is Verdict.ERROR


def test_a_check_is_of_the_family_of_its_first_requirement():
    families = [CheckResult("id", "t", cited, "MUST", Verdict.PASS, "").family for cited in (("DLD-08a", "CMD-17b"), ("MQTT-3.3.1-1",), ())]
    assert families == ["DLD", "MQT", ""]


def test_checks_may_be_named_by_id_requirement_and_row_and_by_nothing_else():
    assert names_of_checks() >= {"key_works_once", "KEY-01a", "KEY-01"}
    assert names_of_checks().isdisjoint({"", "KEY", "KEY-1", "key_works"})


def test_a_name_that_utf_8_cannot_say_can_stand_in_a_report(story):
    story.list(names=["fw.bin", "odd name.BIN", "\ud800", "\ud800"])

    assert story.judged("list_names_the_stored_files").detail.encode().endswith(rb" holds \ud800 several times")
