"""What changed between two reports, and when that is a step back."""

from dataclasses import replace

import pytest

from harness.checks.verdict import CheckResult, RunVerdict, Verdict
from harness.report.difference import Change, difference
from harness.report.package import coverage_of


def with_checks(report, *checks, verdict=RunVerdict.PASS):
    return replace(report, checks=checks, verdict=verdict, coverage=coverage_of(checks, "platform"))


def one(verdict, detail="because"):
    return CheckResult("the_check", "The check", ("CMD-02",), "MUST", verdict, detail)


def test_a_report_does_not_differ_from_itself(report):
    found = difference(report, report)
    assert found.is_empty
    assert not found.is_regression


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (Verdict.PASS, Verdict.FAIL, Change.WORSE),
        (Verdict.WARNING, Verdict.INCONCLUSIVE, Change.WORSE),
        (Verdict.SKIPPED, Verdict.FAIL, Change.WORSE),
        (Verdict.FAIL, Verdict.PASS, Change.BETTER),
        (Verdict.FAIL, Verdict.ERROR, Change.BETTER),
        (Verdict.PASS, Verdict.SKIPPED, Change.OTHER),
        (Verdict.NOT_APPLICABLE, Verdict.PASS, Change.OTHER),
    ],
)
def test_a_verdict_that_changed_has_a_direction(report, before, after, change):
    found = difference(with_checks(report, one(before)), with_checks(report, one(after)))
    assert [(c.id, c.change) for c in found.checks] == [("the_check", change)]


def test_the_same_failure_for_another_reason_is_a_change_and_no_regression(report):
    found = difference(with_checks(report, one(Verdict.FAIL, "3 bytes")), with_checks(report, one(Verdict.FAIL, "4 bytes")))
    assert [c.change for c in found.checks] == [Change.OTHER]
    assert not found.is_regression


def test_the_wording_of_a_pass_is_no_change(report):
    found = difference(with_checks(report, one(Verdict.PASS, "kept 3 times")), with_checks(report, one(Verdict.PASS, "kept 4 times")))
    assert found.is_empty


@pytest.mark.parametrize(("verdict", "is_regression"), [(Verdict.PASS, False), (Verdict.FAIL, True)])
def test_a_new_check_is_a_step_back_only_if_it_is_not_well(report, verdict, is_regression):
    found = difference(with_checks(report), with_checks(report, one(verdict)))
    assert [c.change for c in found.checks] == [Change.NEW]
    assert found.is_regression is is_regression


def test_a_requirement_that_is_no_longer_covered_is_a_step_back(report):
    found = difference(with_checks(report, one(Verdict.PASS)), with_checks(report))
    assert [c.change for c in found.checks] == [Change.GONE]
    assert found.uncovered == ("CMD-02",)
    assert found.is_regression


def test_a_requirement_that_is_newly_covered_is_told(report):
    found = difference(with_checks(report), with_checks(report, one(Verdict.PASS)))
    assert found.newly_covered == ("CMD-02",)
    assert not found.is_regression


def test_a_run_that_became_worse_as_a_whole_is_a_step_back(report):
    found = difference(with_checks(report), with_checks(report, verdict=RunVerdict.INCONCLUSIVE))
    assert found.is_regression


def test_a_run_that_was_aborted_is_worse_than_one_that_was_not(report):
    whole, aborted = with_checks(report, verdict=RunVerdict.ERROR), with_checks(report, verdict=RunVerdict.ABORTED)
    assert difference(whole, aborted).is_regression
    assert not difference(aborted, whole).is_regression
