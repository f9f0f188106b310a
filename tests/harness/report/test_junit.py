"""`junit.xml` by the rules of interfaces.md."""

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from harness.checks.verdict import CheckResult, Verdict
from harness.report.junit import as_junit


@pytest.fixture
def suite(report):
    return ET.fromstring(as_junit(report).encode()).find("testsuite")


def case(suite, name):
    return next(case for case in suite.findall("testcase") if case.get("name") == name)


def test_there_is_one_case_per_check_in_the_class_of_its_family(suite, report):
    assert [(c.get("classname"), c.get("name")) for c in suite.findall("testcase")] == [
        (k.requirements[0][:3], k.id) for k in report.checks
    ]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("delivered_once", "failure"),
        ("offline_gets_nothing", "error"),
        ("key_is_one_time", "error"),
        ("scope_is_needed", "skipped"),
        ("key_dies", "skipped"),
    ],
)
def test_what_did_not_pass_has_its_element(suite, name, word):
    assert [child.tag for child in case(suite, name)] == ["properties", word]


@pytest.mark.parametrize("name", ["error_has_members", "texts_of_the_answer"])
def test_warnings_and_deviations_pass_with_a_word(suite, name):
    assert [child.tag for child in case(suite, name)] == ["properties", "system-out"]


def test_a_pass_has_its_requirements_and_no_more(suite):
    assert [child.tag for child in case(suite, "command_is_accepted")] == ["properties"]


def test_requirement_ids_are_properties(suite):
    properties = case(suite, "key_dies").findall("properties/property")
    assert [(p.get("name"), p.get("value")) for p in properties] == [("requirement", "KEY-01a"), ("requirement", "KEY-01b")]


def test_a_failure_carries_detail_hint_and_evidence(suite):
    failure = case(suite, "delivered_once").find("failure")
    assert failure.get("message") == "2 deliveries for 1 command <script>alert(1)</script>"
    assert "hint: the broker repeats PUBLISH & keeps no ids" in failure.text
    assert "history.jsonl lines 9, 10" in failure.text


def test_the_counts_add_up(suite):
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "8",
        "failures": "1",
        "errors": "2",
        "skipped": "2",
    }


def test_what_xml_cannot_hold_is_replaced(report):
    report = replace(report, subject=replace(report.subject, name="lab\x07"))
    odd = CheckResult("odd", "Odd", ("CMD-18b",), "SHOULD", Verdict.FAIL, "name '\x00\x1b\ud800' was taken")
    root = ET.fromstring(as_junit(replace(report, checks=(odd,))).encode())
    assert root.find(".//failure").get("message") == "name '\ufffd\ufffd\ufffd' was taken"
    assert root.find("testsuite").get("name") == "hil platform lab\ufffd"
