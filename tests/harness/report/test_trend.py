"""Many nights: one page, and figures that a machine reads."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from harness.checks.verdict import RunVerdict, Verdict
from harness.errors import ConfigurationError
from harness.report.charts import line
from harness.report.package import as_json
from harness.report.trend import as_openmetrics, as_trend_page, charts, read_runs, subject_trends


@pytest.fixture
def nights(report):
    """Three nights: red, then green, then red again; the second without one check."""
    green = tuple(replace(check, verdict=Verdict.PASS) for check in report.checks[:-1])
    return [
        replace(report, run=replace(report.run, id="n1", started="2026-01-01T01:00:00.000Z", finished="2026-01-01T01:01:00.000Z")),
        replace(
            report,
            run=replace(report.run, id="n2", started="2026-01-02T01:00:00.000Z", finished="2026-01-02T01:01:30.000Z"),
            checks=green,
            verdict=RunVerdict.PASS,
        ),
        replace(report, run=replace(report.run, id="n3", started="2026-01-03T01:00:00.000Z", finished="2026-01-03T01:01:00.000Z")),
    ]


def leave(directory, *reports):
    for report in reports:
        (directory / report.run.id).mkdir()
        (directory / report.run.id / "report.json").write_text(as_json(report), encoding="utf-8")


def test_runs_are_read_oldest_first_whatever_their_directories(tmp_path, nights):
    leave(tmp_path, nights[2], nights[0], nights[1])
    runs, problems = read_runs(tmp_path)
    assert [run.run.id for run in runs] == ["n1", "n2", "n3"]
    assert problems == []


def test_a_run_that_lies_there_twice_counts_once(tmp_path, nights):
    leave(tmp_path, nights[0])
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "report.json").write_text(as_json(nights[0]), encoding="utf-8")
    assert len(read_runs(tmp_path)[0]) == 1


def test_what_cannot_be_read_is_told_and_the_rest_is_used(tmp_path, nights):
    leave(tmp_path, nights[0])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "report.json").write_text("{")
    runs, problems = read_runs(tmp_path)
    assert len(runs) == 1
    assert "is no JSON" in problems[0]


def test_a_directory_without_packages_is_a_mistake_of_the_user(tmp_path):
    with pytest.raises(ConfigurationError, match="no readable report package"):
        read_runs(tmp_path)


def test_subjects_are_kept_apart(nights):
    other = replace(nights[0], subject=replace(nights[0].subject, name="production"))
    assert [(trend.name, len(trend.runs)) for trend in subject_trends([*nights, other])] == [("staging", 3), ("production", 1)]


def test_restless_checks_come_first_and_quiet_ones_not_at_all(nights):
    (trend,) = subject_trends(nights)
    checks = trend.eventful_checks()
    assert checks[0].changes == 2
    assert "command_is_accepted" not in [check.id for check in checks]


def test_a_run_that_asked_less_makes_no_check_restless(nights):
    asked_less = tuple(replace(check, verdict=Verdict.SKIPPED) for check in nights[1].checks)
    (trend,) = subject_trends([nights[0], replace(nights[1], checks=asked_less), nights[2]])
    assert "command_is_accepted" not in [check.id for check in trend.eventful_checks()]
    assert {check.changes for check in trend.eventful_checks()} == {0}


def test_charts_are_xml_and_have_a_column_for_each_run(nights):
    (trend,) = subject_trends(nights)
    bars, covered, _duration = (ET.fromstring(chart) for chart in charts(trend))
    columns = {rect.get("x") for rect in bars.iter("{http://www.w3.org/2000/svg}rect")}
    assert len(columns) == 3
    assert len(list(covered.iter("{http://www.w3.org/2000/svg}circle"))) == 3


def test_the_page_names_every_run(nights):
    page = as_trend_page(nights)
    assert all(run.run.id in page for run in nights)
    assert "http-equiv" not in page


def test_the_figures_are_openmetrics_in_order_of_time(nights):
    families = {family.name: family for family in text_string_to_metric_families(as_openmetrics(nights))}
    assert set(families) == {"hil_checks", "hil_requirements_covered", "hil_run_duration_seconds", "hil_run_green"}
    assert [sample.value for sample in families["hil_run_green"].samples] == [0, 1, 0]
    assert [sample.value for sample in families["hil_run_duration_seconds"].samples] == [60, 90, 60]
    times = [float(sample.timestamp) for sample in families["hil_run_green"].samples]
    assert times == sorted(times)


def test_each_verdict_is_a_series(nights):
    families = {family.name: family for family in text_string_to_metric_families(as_openmetrics(nights))}
    failed = [sample.value for sample in families["hil_checks"].samples if sample.labels["verdict"] == "fail"]
    assert failed == [1, 0, 1]


@pytest.mark.parametrize(("highest", "labels"), [(0, ["0", "0.5", "1"]), (40.556, ["0", "25", "50"]), (163, ["0", "100", "200"])])
def test_a_scale_ends_at_a_number_that_reads_well(highest, labels):
    root = ET.fromstring(line("a title", [("night", highest, "a tip")]))
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")][:3] == labels
