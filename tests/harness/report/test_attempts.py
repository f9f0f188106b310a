"""A rerun keeps what was green, replaces what it asked again, and forgets no attempt."""

from dataclasses import replace

from harness.checks.verdict import CheckResult, RunVerdict, Verdict
from harness.report.package import Coverage, Report, Run, Subject
from harness.report.rerun import merged

RUN = Run("run-1", "2026-11-22T00:00:00Z", "2026-11-22T00:01:00Z", 1, "quick", "0.1.0", "hil certify")


def result(name: str, verdict: Verdict) -> CheckResult:
    return CheckResult(name, name, ("KEY-02",), "MUST", verdict, "seen", evidence=(7,))


def report(run: str, verdict: RunVerdict, **verdicts: Verdict) -> Report:
    checks = tuple(result(name, found) for name, found in verdicts.items())
    return Report(replace(RUN, id=run), Subject("platform", "staging"), verdict, checks, Coverage())


FIRST = report("run-1", RunVerdict.FAIL, flaky=Verdict.FAIL, solid=Verdict.PASS)


def test_what_was_not_asked_again_is_kept_from_the_earlier_run():
    both = merged(report("run-2", RunVerdict.PASS, flaky=Verdict.PASS, solid=Verdict.SKIPPED), FIRST)

    assert [(check.id, check.verdict) for check in both.checks] == [("flaky", Verdict.PASS), ("solid", Verdict.PASS)]
    assert both.checks[1].detail == "kept from run run-1: seen"
    assert both.verdict is RunVerdict.PASS


def test_a_check_that_fails_again_keeps_the_run_red():
    assert merged(report("run-2", RunVerdict.FAIL, flaky=Verdict.FAIL, solid=Verdict.SKIPPED), FIRST).verdict is RunVerdict.FAIL


def test_every_attempt_is_remembered_with_what_it_came_to():
    second = merged(report("run-2", RunVerdict.FAIL, flaky=Verdict.FAIL, solid=Verdict.SKIPPED), FIRST)
    third = merged(report("run-3", RunVerdict.PASS, flaky=Verdict.PASS, solid=Verdict.SKIPPED), second)

    assert [(attempt.run, attempt.verdict) for attempt in third.attempts] == [("run-1", RunVerdict.FAIL), ("run-2", RunVerdict.FAIL)]
    assert third.attempts[1].checks == {"flaky": Verdict.FAIL}
