"""Every check of a platform has golden stories: one that it passes, one that makes it fail, each of a few events."""

from harness.checks.registry import all_checks
from harness.requirements import CATALOGUE

PLATFORM_FAMILIES = {"CMD", "KEY", "DLD", "LST"}
FOUND_WRONG = {"fail", "warning", "deviation"}


def platform_checks():
    """The checks of the platform's families, but for those that ask a device (CMD-28 is a row of both)."""
    found = [check for check in all_checks().values() if PLATFORM_FAMILIES & {name[:3] for name in check.requirements}]
    return {check.id for check in found if not check.judge.__module__.startswith("harness.checks.device_")}


def test_a_golden_story_is_judged_as_it_says(story, golden):
    check_id, verdict, happens = golden
    happens(story)
    result = story.judged(check_id)
    assert (result.verdict.value, result.detail and result.verdict.value) == (verdict, verdict), result.detail


def test_every_finding_shows_its_evidence(story, golden):
    check_id, verdict, happens = golden
    happens(story)
    result = story.judged(check_id)
    assert bool(result.evidence) == (verdict in FOUND_WRONG or verdict == "pass")


def test_every_check_has_a_story_that_makes_it_fail(all_golden):
    made_fail = {check_id for check_id, verdict, _ in all_golden if verdict in FOUND_WRONG}
    assert platform_checks() - made_fail == set()


def test_every_check_has_a_story_that_it_passes(all_golden):
    assert platform_checks() - {check_id for check_id, verdict, _ in all_golden if verdict == "pass"} == set()


def test_every_must_that_is_broken_is_a_fail(all_golden):
    fails = {check_id for check_id, verdict, _ in all_golden if verdict == "fail"}
    checks = {check.id: check for check in all_checks().values()}
    musts = {
        name for name in platform_checks() if any(CATALOGUE[requirement].level.value == "MUST" for requirement in checks[name].requirements)
    }
    assert musts - fails == set()
