"""An official certificate: granted where nothing is missing, else refused with the list; a rerun counts only as one of its own."""

from dataclasses import replace

import pytest

from harness.checks.verdict import CheckResult, RunVerdict, Verdict, run_verdict
from harness.errors import ConfigurationError
from harness.history import events as ev
from harness.history.timeline import History
from harness.report.certificate import DownloadedImage
from harness.report.keys import create_key, known_keys
from harness.report.official import official, refuse_options, rerun_problems
from harness.report.package import report_of
from harness.report.rerun import merged
from harness.report.writer import write_package

DECLARATION = {"declares": {"commands": ["reboot", "download_firmware"]}}
IMAGE = DownloadedImage("hil-1.bin", "app.bin", 100, "5e" * 32, "the hash in its result")
START = ev.RunStarted(ev.SCHEMA, "run-1", "0.1.0", "hil certify device", 1, "quick", "device", "ACME", "should", {}, DECLARATION, ())


def history(declaration=DECLARATION):
    return History((ev.Event(1, 0.0, 0.0, "", replace(START, declaration=declaration)), ev.Event(2, 1.0, 1.0, "", ev.RunEnded())))


def certificate(*verdicts, level="MUST", images=(IMAGE,), aborted=False):
    checks = tuple(
        CheckResult(f"check_{number}", "t", ("DEV-03",), level, verdict, "its detail") for number, verdict in enumerate(verdicts)
    )
    return replace(report_of(history(), checks, run_verdict(checks, aborted=aborted)), images=images)


def test_whole_plan_with_every_must_passed_and_a_named_image_is_granted():
    found = official(certificate(Verdict.PASS, Verdict.WARNING, Verdict.NOT_APPLICABLE), DECLARATION)
    assert (found.is_granted, found.runs) == (True, 1)


@pytest.mark.parametrize(
    ("verdict", "word"),
    [
        (Verdict.FAIL, "check_1 (DEV-03) is fail: its detail"),
        (Verdict.ERROR, "check_1 (DEV-03) is error: its detail"),
        (Verdict.INCONCLUSIVE, "check_1 (DEV-03) is inconclusive: its detail"),
        (Verdict.SKIPPED, "check_1 (DEV-03) was not asked: its detail"),
    ],
)
def test_must_that_did_not_pass_is_missing(verdict, word):
    assert word in official(certificate(Verdict.PASS, verdict), DECLARATION).missing


def test_what_is_only_recommended_may_be_left_out():
    assert official(certificate(Verdict.PASS, Verdict.SKIPPED, level="SHOULD"), DECLARATION).is_granted


def test_image_must_have_been_seen_where_downloads_are_declared():
    assert "sha256" in official(certificate(Verdict.PASS, images=()), DECLARATION).missing[0]
    assert official(certificate(Verdict.PASS, images=()), {"declares": {"commands": ["reboot"]}}).is_granted


def test_aborted_run_is_refused():
    assert "the run was aborted" in official(certificate(Verdict.PASS, aborted=True), DECLARATION).missing


def test_options_that_change_the_plan_are_refused_by_name():
    refuse_options({"--only": False})
    with pytest.raises(ConfigurationError, match="--skip does not go with it"):
        refuse_options({"--only": False, "--skip": True})


# --- reruns ---


@pytest.fixture
def first(tmp_path, no_keys_of_the_user):
    """An official run that was red, as a signed package; with its directory."""
    red = certificate(Verdict.PASS, Verdict.FAIL)
    red = replace(red, official=official(red, DECLARATION))
    write_package(tmp_path / "first", red, history(), key=create_key(no_keys_of_the_user))
    return red, tmp_path / "first"


@pytest.fixture
def own(no_keys_of_the_user):
    create_key(no_keys_of_the_user)
    return known_keys(no_keys_of_the_user)


def second(earlier):
    return merged(certificate(Verdict.SKIPPED, Verdict.PASS), earlier)


def test_rerun_keeps_what_was_green_and_is_counted(first, own):
    both = second(first[0])
    assert rerun_problems(both, DECLARATION, *first, own) == []
    assert official(both, DECLARATION).runs == 2
    assert official(both, DECLARATION).is_granted
    assert both.coverage.covered == ("DEV-03",)


def test_rerun_of_an_altered_package_is_refused(first, own):
    earlier, directory = first
    (directory / "report.json").write_text((directory / "report.json").read_text().replace('"fail"', '"pass"'))
    assert "report.json: was altered" in rerun_problems(second(earlier), DECLARATION, earlier, directory, own)[0]


def test_rerun_under_another_declaration_is_refused(first, own):
    other = {"declares": {"commands": ["reboot"]}}
    assert "under another declaration" in rerun_problems(second(first[0]), other, *first, own)[0]


def test_rerun_of_a_run_that_was_not_official_is_refused(first, own):
    earlier, directory = first
    assert "no official run" in rerun_problems(second(earlier), DECLARATION, replace(earlier, official=None), directory, own)[0]


def test_rerun_asks_a_verdict_of_all_together(first):
    assert second(first[0]).verdict is RunVerdict.PASS
