"""Every check of a device has a hand-written history that it passes, and one that it does not."""

import pytest

from harness.checks.registry import all_checks
from harness.requirements import CATALOGUE
from tests.harness.checks.device_stories import DeviceStory
from tests.harness.checks.golden import golden_stories

GOLDEN = golden_stories(of_devices=True)


def device_checks():
    return {check.id for check in all_checks().values() if check.requirements[0].startswith("DEV")}


@pytest.mark.parametrize(
    ("check_id", "verdict", "tell"), GOLDEN, ids=[f"{number}-{entry[0]}-{entry[1]}" for number, entry in enumerate(GOLDEN)]
)
def test_a_golden_story_of_a_device_is_judged_as_it_says(check_id, verdict, tell):
    story = DeviceStory()
    tell(story)
    result = story.judged(check_id)
    assert result.verdict.value == verdict, result.detail
    assert bool(result.evidence) == (verdict != "inconclusive")


def test_requests_of_an_earlier_command_are_not_held_against_a_later_one():
    story = DeviceStory()
    for key, packet_id in ((1, 7), (2, 9)):
        story.offers(key=key, packet_id=packet_id)
        story.downloads(401)
    assert story.judged("download_uses_the_url_and_the_raw_token").detail == (
        "the download command was acknowledged, and no request came for its URL"
    )


def test_every_device_check_has_a_story_that_it_passes():
    assert device_checks() - {check_id for check_id, verdict, _ in GOLDEN if verdict == "pass"} == set()


def test_every_device_check_has_a_story_that_it_does_not_pass():
    found = {check_id for check_id, verdict, _ in GOLDEN if verdict in ("fail", "warning", "deviation")}
    assert device_checks() - found == set()


def test_every_broken_must_of_a_device_is_a_fail():
    fails = {check_id for check_id, verdict, _ in GOLDEN if verdict == "fail"}
    checks = all_checks()
    musts = {name for name in device_checks() if any(CATALOGUE[row].level.value == "MUST" for row in checks[name].requirements)}
    assert musts - fails == set()
