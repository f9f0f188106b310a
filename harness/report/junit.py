"""`junit.xml`: the report in the form that every CI reads. Its rules stand in interfaces.md, "Report package"."""

import re
from xml.etree import ElementTree as ET

from harness.checks.verdict import CheckResult, Verdict
from harness.report.package import Report

JUNIT_FILE = "junit.xml"

_OUTCOME = {
    Verdict.FAIL: "failure",
    Verdict.ERROR: "error",
    Verdict.INCONCLUSIVE: "error",
    Verdict.NOT_APPLICABLE: "skipped",
    Verdict.SKIPPED: "skipped",
}
_PASSES_WITH_A_WORD = (Verdict.WARNING, Verdict.DEVIATION)
# XML 1.0 has no way to write these, not even as a reference.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(report: Report) -> str:
    """The text of `junit.xml`: one test case per check, in the class of its requirement family."""
    suite = ET.Element(
        "testsuite",
        {
            "name": _clean(f"hil {report.subject.kind} {report.subject.name}"),
            "timestamp": report.run.started,
            "time": f"{report.run.duration_s:.3f}",
            "tests": str(len(report.checks)),
            **{_plural(word): str(_count(report, word)) for word in ("failure", "error", "skipped")},
        },
    )
    _properties(suite, [("run", report.run.id), ("seed", str(report.run.seed)), ("verdict", report.verdict.value)])
    for check in report.checks:
        suite.append(_case(check))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(check: CheckResult) -> ET.Element:
    case = ET.Element("testcase", {"classname": check.family or "hil", "name": check.id, "time": f"{check.duration_s:.3f}"})
    _properties(case, [("requirement", requirement) for requirement in check.requirements])
    word = _OUTCOME.get(check.verdict)
    if word is not None:
        outcome = ET.SubElement(case, word, {"type": check.verdict.value, "message": _clean(check.detail)})
        outcome.text = _clean(_explanation(check))
    elif check.verdict in _PASSES_WITH_A_WORD:
        ET.SubElement(case, "system-out").text = _clean(f"{check.verdict.value}: {check.detail}")
    return case


def _explanation(check: CheckResult) -> str:
    evidence = ", ".join(str(line) for line in check.evidence)
    lines = [check.title, check.detail, check.hint and f"hint: {check.hint}", evidence and f"history.jsonl lines {evidence}"]
    return "\n".join(line for line in lines if line)


def _properties(parent: ET.Element, pairs: list[tuple[str, str]]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in pairs:
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})


def _count(report: Report, word: str) -> int:
    return sum(_OUTCOME.get(check.verdict) == word for check in report.checks)


def _plural(word: str) -> str:
    return word if word == "skipped" else f"{word}s"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
