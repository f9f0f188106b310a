"""From which platforms a device can be updated, and what a downloader of parts may do where the first request uses the key up."""

import pytest

from harness.checks.device_key_policies import updates_by_key_policy
from tests.harness.checks.device_stories import OTHER_SHA, DeviceStory

CHECK = "download_under_each_key_policy_is_whole_or_refused"
REFUSAL = {"message": "part 2 was answered 401"}


@pytest.fixture
def story():
    told = DeviceStory()
    told.stores()
    return told


def asked_under(story, policy, *statuses):
    story.says("key policy", policy=policy)
    story.offers()
    for status in statuses:
        story.downloads(status)


def test_a_file_that_is_installed_is_an_update(story):
    asked_under(story, "first-use", 200)
    story.installed()
    assert updates_by_key_policy(story.history(CHECK)) == {"first-use": "updated"}


def test_a_downloader_of_parts_may_refuse_what_it_cannot_finish(story):
    story.declares["download"] = "range"
    asked_under(story, "first-use", 200, 401)
    story.result("download_firmware", success=False, **REFUSAL)
    assert story.judged(CHECK).verdict.value == "pass"
    assert updates_by_key_policy(story.history(CHECK)) == {"first-use": "not updated: part 2 was answered 401"}


def test_a_downloader_of_whole_files_may_not(story):
    asked_under(story, "complete-delivery", 200)
    story.failed()
    result = story.judged(CHECK)
    assert result.verdict.value == "fail"
    assert result.detail.startswith("where keys end with complete-delivery: not updated")


@pytest.mark.parametrize("style", ["range", "single"])
def test_half_a_file_that_is_reported_as_installed_is_wrong_for_any_downloader(story, style):
    story.declares["download"] = style
    asked_under(story, "first-use", 200, 401)
    story.installed(OTHER_SHA)
    assert story.judged(CHECK).verdict.value == "fail"


def test_an_observer_that_shows_the_old_image_shows_a_refusal(story):
    story.declares |= {"download": "range", "results": "none"}
    story.observes(OTHER_SHA)
    asked_under(story, "first-use", 200, 401)
    story.observes(OTHER_SHA)
    assert story.judged(CHECK).verdict.value == "pass"
    assert updates_by_key_policy(story.history(CHECK)) == {"first-use": "not updated: no result"}


def test_an_observer_that_shows_a_third_image_convicts(story):
    story.declares |= {"download": "range", "results": "none"}
    story.observes(OTHER_SHA)
    asked_under(story, "first-use", 200, 401)
    story.observes("77" * 32)
    assert story.judged(CHECK).verdict.value == "fail"


def test_a_download_of_which_nothing_is_seen_says_nothing(story):
    asked_under(story, "first-use", 200)
    assert story.judged(CHECK).verdict.value == "inconclusive"
    assert updates_by_key_policy(story.history(CHECK)) == {}


def test_other_checks_do_not_look_at_downloads_under_a_foreign_policy(story):
    story.declares["download"] = "range"
    asked_under(story, "first-use", 200, 401)
    story.failed()
    assert story.judged("stored_file_is_installed_byte_for_byte").verdict.value == "inconclusive"


@pytest.mark.parametrize("announced", [{"what": "key policy", "policy": "first-use"}, {"what": "offer altered", "expires_in_s": -3_600.0}])
def test_what_an_earlier_scenario_announced_ended_with_it(announced):
    story = DeviceStory()
    story.says(announced.pop("what"), scope="an earlier scene", **announced)
    story.stores()
    story.offers()
    story.downloads(401)
    story.downloads()
    story.installed()
    assert updates_by_key_policy(story.history(CHECK)) == {}
    assert story.judged("stale_download_is_tried_once_at_most").verdict.value == "inconclusive"


def test_words_of_a_device_that_utf_8_cannot_say_can_stand_in_a_report(story):
    asked_under(story, "first-use", 401)
    story.publishes("control/download_firmware/result", '{"success": false, "message": "\\ud800"}', packet_id=900, qos=1)

    updates = updates_by_key_policy(story.history(CHECK))

    assert {policy: outcome.encode() for policy, outcome in updates.items()} == {"first-use": b"not updated: \\ud800"}
