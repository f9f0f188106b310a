"""Known failures excuse what they name while they last, and are held against the run when they are no longer true."""

from datetime import date
from pathlib import Path

import pytest

from harness.checks.verdict import CheckResult, RunVerdict, Verdict
from harness.errors import ConfigurationError
from harness.report.expectations import Expectation, read_expectations, weigh

TODAY = date(2026, 11, 22)


def result(name: str, verdict: Verdict, *requirements: str) -> CheckResult:
    return CheckResult(name, name, requirements or ("KEY-05",), "MUST", verdict, "detail")


def known(directory: Path, requirement: str) -> Path:
    path = directory / "known.toml"
    path.write_text(f'[[expected]]\nrequirement = "{requirement}"\nreason = "r"\nowner = "o"\nuntil = 2026-12-31\n')
    return path


def expecting(requirement: str, until: date = TODAY) -> Expectation:
    return Expectation(requirement=requirement, reason="ticket 7", owner="Ada", until=until)


@pytest.mark.parametrize("name", ["KEY-05", "key_is_spared"])
def test_an_expected_failure_does_not_turn_the_run_red(name):
    results = [result("key_is_spared", Verdict.FAIL), result("other", Verdict.PASS, "KEY-01a")]

    weighed = weigh(results, RunVerdict.FAIL, [expecting(name)], TODAY)

    assert weighed.verdict is RunVerdict.PASS_WITH_WARNINGS
    assert "expected" in weighed.notes[0]


def test_a_row_stands_for_its_parts():
    weighed = weigh([result("a", Verdict.FAIL, "KEY-01a")], RunVerdict.FAIL, [expecting("KEY-01")], TODAY)

    assert weighed.verdict is RunVerdict.PASS_WITH_WARNINGS


def test_another_failure_stays_red():
    results = [result("a", Verdict.FAIL), result("b", Verdict.FAIL, "KEY-01a")]

    assert weigh(results, RunVerdict.FAIL, [expecting("KEY-05")], TODAY).verdict is RunVerdict.FAIL


def test_an_expired_expectation_excuses_nothing():
    weighed = weigh([result("a", Verdict.FAIL)], RunVerdict.FAIL, [expecting("KEY-05", date(2026, 11, 21))], TODAY)

    assert weighed.verdict is RunVerdict.FAIL
    assert "expired on 2026-11-21" in weighed.notes[0]


def test_a_failure_that_no_longer_happens_turns_the_run_red():
    weighed = weigh([result("a", Verdict.PASS)], RunVerdict.PASS, [expecting("KEY-05")], TODAY)

    assert weighed.verdict is RunVerdict.FAIL
    assert "no longer happens" in weighed.notes[0]


@pytest.mark.parametrize("verdict", [Verdict.WARNING, Verdict.DEVIATION])
def test_what_happens_as_a_warning_has_not_gone_away(verdict):
    weighed = weigh([result("a", verdict)], RunVerdict.PASS_WITH_WARNINGS, [expecting("KEY-05")], TODAY)

    assert weighed.verdict is RunVerdict.PASS_WITH_WARNINGS
    assert f"KEY-05 is a {verdict.value} only" in weighed.notes[0]


def test_an_expectation_about_what_was_not_judged_changes_nothing():
    weighed = weigh([result("a", Verdict.SKIPPED), result("b", Verdict.PASS, "KEY-01a")], RunVerdict.PASS, [expecting("KEY-05")], TODAY)

    assert weighed.verdict is RunVerdict.PASS


def test_the_file_is_read_and_its_mistakes_are_named(tmp_path: Path):
    path = tmp_path / "known.toml"
    path.write_text('[[expected]]\nrequirement = "KEY-05"\nreason = "r"\nowner = "o"\nuntil = 2026-12-31\n')

    assert read_expectations(path) == (Expectation(requirement="KEY-05", reason="r", owner="o", until=date(2026, 12, 31)),)
    path.write_text('[[expected]]\nrequirement = "KEY-05"\nreason = "r"\nowner = "o"\n')
    with pytest.raises(ConfigurationError, match=r"known\.toml: \[expected\.0\] until: is missing"):
        read_expectations(path)


@pytest.mark.parametrize("name", ["KEY-05", "KEY-01", "key_works_once"])
def test_a_known_failure_is_named_by_requirement_row_or_check(tmp_path: Path, name):
    assert read_expectations(known(tmp_path, name))[0].requirement == name


def test_a_name_that_no_check_can_have_is_a_mistake_and_excuses_nothing_in_silence(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"known\.toml: \[expected\.0\] requirement: 'KEY-5' is neither a requirement nor a check"):
        read_expectations(known(tmp_path, "KEY-5"))
