"""`report.json`: the members that others rely on, and what counts as covered."""

import json
from dataclasses import replace

import pytest

from harness.checks.verdict import CheckResult, RunVerdict, Verdict
from harness.errors import ConfigurationError
from harness.history.timeline import History
from harness.report.package import as_json, coverage_of, read_report, report_of


def judged(verdict, *requirements, detail="why"):
    return CheckResult("name", "title", requirements, "MUST", verdict, detail)


def test_the_members_are_those_of_the_interface(report):
    members = json.loads(as_json(report))
    assert members["schema"] == "hil-report/1"
    assert members["run"] == {
        "id": "run-1",
        "started": "2025-11-22T08:26:40.000Z",
        "finished": "2025-11-22T08:26:43.400Z",
        "seed": 42,
        "profile": "quick",
        "version": "0.1.0",
        "command": "hil certify platform --target t.toml",
    }
    assert members["subject"] == {"kind": "platform", "name": "staging", "hardening": "should"}
    assert members["verdict"] == "fail"
    assert members["checks"][1] == {
        "id": "delivered_once",
        "title": "A command reaches its device exactly once",
        "requirements": ["CMD-03"],
        "level": "MUST",
        "verdict": "fail",
        "detail": "2 deliveries for 1 command <script>alert(1)</script>",
        "hint": "the broker repeats PUBLISH & keeps no ids",
        "evidence": [9, 10],
        "duration_s": 1.5,
        "example": [],
    }
    assert set(members["coverage"]) == {"covered", "not_applicable", "untested"}


def test_a_report_survives_its_file(report, tmp_path):
    (tmp_path / "report.json").write_text(as_json(report), encoding="utf-8")
    assert read_report(tmp_path) == report
    assert read_report(tmp_path / "report.json") == report


def test_readers_tolerate_members_they_do_not_know(report, tmp_path):
    members = json.loads(as_json(report)) | {"weather": 2}
    (tmp_path / "report.json").write_text(json.dumps(members), encoding="utf-8")
    assert read_report(tmp_path) == report


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION])
def test_what_was_judged_is_covered(verdict):
    assert coverage_of([judged(verdict, "CMD-02", "CMD-03")], "platform").covered == ("CMD-02", "CMD-03")


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.SKIPPED])
def test_a_mere_citation_does_not_cover(verdict):
    coverage = coverage_of([judged(verdict, "CMD-02")], "platform")
    assert coverage.covered == ()
    assert "CMD-02" in coverage.untested


def test_one_judged_check_covers_what_another_could_not_see():
    coverage = coverage_of([judged(Verdict.INCONCLUSIVE, "CMD-02"), judged(Verdict.PASS, "CMD-02")], "platform")
    assert coverage.covered == ("CMD-02",)


def test_a_requirement_is_not_applicable_when_all_its_checks_are():
    ruled_out = judged(Verdict.NOT_APPLICABLE, "CMD-14", detail="no read_only key")
    assert coverage_of([ruled_out], "platform").not_applicable["CMD-14"] == "no read_only key"
    assert "CMD-14" not in coverage_of([ruled_out, judged(Verdict.SKIPPED, "CMD-14")], "platform").not_applicable


@pytest.mark.parametrize(
    ("kind", "inside", "outside"),
    [("platform", "CMD-02", "DEV-04"), ("device", "DEV-04", "CMD-02"), ("broker", "BRK-03", "CMD-02"), ("pair", "DEV-04", "BRK-03")],
)
def test_untested_are_the_subject_s_own_requirements_only(kind, inside, outside):
    untested = coverage_of([], kind).untested
    assert inside in untested
    assert outside not in untested


def test_every_requirement_of_the_subject_is_in_exactly_one_part(report):
    coverage = report.coverage
    parts = [set(coverage.covered), set(coverage.not_applicable), set(coverage.untested)]
    assert len(set.union(*parts)) == sum(len(part) for part in parts)


def test_the_duration_is_that_of_the_timeline(report):
    assert report.run.duration_s == pytest.approx(3.4)


def test_a_report_made_twice_from_one_history_is_the_same(history, results, report):
    again = report_of(history, results, RunVerdict.FAIL, environment={"python": "CPython 3.11"})
    assert as_json(again) == as_json(report)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "schema: is None"),
        ('{"schema": "hil-report/9"}', "schema: is 'hil-report/9'"),
        ('{"schema": "hil-report/1"}', "run: Field required"),
    ],
)
def test_what_is_no_report_is_said_in_one_line(tmp_path, text, problem):
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_report(path)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_report_is_said_in_one_line(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_report(tmp_path)


def test_a_verdict_of_another_word_is_refused(report, tmp_path):
    members = json.loads(as_json(replace(report)))
    members["checks"][0]["verdict"] = "splendid"
    (tmp_path / "report.json").write_text(json.dumps(members))
    with pytest.raises(ConfigurationError, match=r"checks\.0\.verdict"):
        read_report(tmp_path)


def test_a_row_that_no_check_can_judge_is_not_applicable_with_the_reason():
    coverage = coverage_of([], "platform")
    assert coverage.not_applicable["KEY-01b"] == "nobody outside can hit the exact instant"
    assert "KEY-01b" not in coverage.untested


def test_a_platform_s_report_asks_for_no_device_declaration(history):
    logo = replace(
        next(event for event in history.events if getattr(event.fact, "type", "") == "PUBLISH"),
        line=len(history.events) + 1,
    )
    offer = replace(
        logo.fact, topic=f"{logo.fact.device_id}/control/download_logo", payload='{"url": "http://x/?key=<key:9>"}', packet_id=9
    )
    told = History((*history.events, replace(logo, fact=offer)))
    assert report_of(told, (), RunVerdict.PASS).updates == {}
