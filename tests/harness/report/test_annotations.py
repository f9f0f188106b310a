"""What GitHub and GitLab read: the documented forms, and nothing of the report lost on the way."""

import json
import re
from dataclasses import replace

from harness.checks.verdict import CheckResult, Verdict
from harness.history.timeline import History
from harness.report.annotations import as_code_quality, as_workflow_commands

# GitHub, "Workflow commands": ::name parameter=value::message, with % \r \n escaped, and : , too in a parameter.
WORKFLOW_COMMAND = re.compile(r"::(error|warning|notice) title=((?:[^%\r\n:,]|%25|%0D|%0A|%3A|%2C)+)::((?:[^%\r\n]|%25|%0D|%0A)+)")


def test_every_check_that_is_not_well_is_annotated_by_its_weight(report):
    lines = [WORKFLOW_COMMAND.fullmatch(line) for line in as_workflow_commands(report)]
    assert [line.group(1) for line in lines] == ["error", "error", "warning", "warning", "notice"]
    assert lines[0].group(2) == "fail%3A delivered_once (CMD-03)"
    assert lines[0].group(3).endswith("%0Ahint: the broker repeats PUBLISH & keeps no ids")


def test_what_a_target_answers_cannot_break_out_of_its_annotation(report):
    check = CheckResult("a", "A", ("CMD-01a",), "MUST", Verdict.FAIL, "100%\r\n::error::forged")
    (line,) = as_workflow_commands(replace(report, checks=(check,)))
    assert line == "::error title=fail%3A a (CMD-01a)::100%25%0D%0A::error::forged"


def test_the_code_quality_report_has_the_members_that_gitlab_asks_for(report, history):
    entries = json.loads(as_code_quality(report, history))
    assert len(entries) == 5
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert re.fullmatch("[0-9a-f]{64}", entry["fingerprint"])
        assert not entry["location"]["path"].startswith(("/", "./"))
        assert entry["location"]["lines"]["begin"] == 1
    assert len({entry["fingerprint"] for entry in entries}) == 5


def test_a_finding_keeps_its_fingerprint_from_run_to_run(report, history):
    later = replace(report, run=replace(report.run, id="run-2"), checks=tuple(replace(each, detail="other") for each in report.checks))
    prints = [[entry["fingerprint"] for entry in json.loads(as_code_quality(each, history))] for each in (report, later)]
    assert prints[0] == prints[1]


def test_a_finding_stands_at_the_target_file(report, history, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = replace(history.start, target={**history.start.target, "file": str(tmp_path / "ci" / "target.toml")})
    events = (replace(history.events[0], fact=start), *history.events[1:])
    entries = json.loads(as_code_quality(report, History(events)))
    assert {entry["location"]["path"] for entry in entries} == {"ci/target.toml"}
