"""Golden stories of a device's downloads: what it asks for, what it installs, when it gives up."""

import hashlib

from tests.harness.checks.device_stories import OTHER_SHA, SHA, TOKEN, URL, GoldenStories

GOLDEN = GoldenStories()
golden, both = GOLDEN.golden, GOLDEN.both


@both("download_uses_the_url_and_the_raw_token")
def downloaded(story, wrong):
    story.offers()
    story.downloads(path=URL.lower() + "&x=1" if wrong else URL)


@golden("download_uses_the_url_and_the_raw_token", "fail")
def downloaded_as_bearer(story):
    story.offers()
    story.downloads(401, authorization=f"Bearer {TOKEN}")


@golden("download_uses_the_url_and_the_raw_token", "fail")
def downloaded_with_base64(story):
    story.offers()
    story.downloads(401, credential="unknown")


@golden("download_uses_the_url_and_the_raw_token", "fail")
def downloaded_in_parts(story):
    story.offers()
    story.downloads(extra=(("Range", "bytes=0-9"),))


@golden("download_uses_the_url_and_the_raw_token", "fail")
def asked_for_the_head(story):
    story.offers()
    story.downloads(method="HEAD")


@both("download_uses_the_url_and_the_raw_token")
def asked_at_the_port_of_the_url(story, wrong):
    story.says("offer altered", query="", expires_in_s=None, port=8081)
    story.offers()
    story.downloads(extra=(("Host", "h:8080" if wrong else "h:8081"),))


@golden("download_uses_the_url_and_the_raw_token", "pass")
def asked_with_a_host_that_names_no_port(story):
    story.says("offer altered", query="", expires_in_s=None, port=8081)
    story.offers()
    story.downloads(extra=(("Host", "h"),))


@golden("download_uses_the_url_and_the_raw_token", "fail")
def asked_with_a_fragment(story):
    story.offers()
    story.downloads(path=URL + "#firmware")


@both("download_uses_the_url_and_the_raw_token")
def given_up_and_asked_again(story, wrong):
    story.offers()
    story.downloads(complete=False)
    if not wrong:
        story.lost(by="peer")  # a device that rebooted in between starts anew
        story.connects(present=True)
    story.downloads(401)


@golden("download_uses_the_url_and_the_raw_token", "fail")
def never_asked(story):
    story.offers()


@both("download_uses_the_url_and_the_raw_token")
def offered_in_other_words(story, wrong):
    story.says("offer altered", query="", expires_in_s=None, port=None, spelled_otherwise=True)
    story.offers()
    if not wrong:
        story.downloads()


@golden("download_uses_the_url_and_the_raw_token", "inconclusive")
def met_the_device_on_its_way_out(story):
    offer = {"url": "http://h/v2/device/download?key=<key:1>", "expires_at": "2026-01-01T00:00:00Z"}
    story.sent("download_firmware", offer)
    story.received()
    story.lost(by="peer")
    story.connects(present=True)
    story.released()
    story.completed()


@golden("download_uses_the_url_and_the_raw_token", "inconclusive")
def refused_in_words(story):
    """What it has against the key is DEV-22's business."""
    story.offers()
    story.failed()


@golden("download_uses_the_url_and_the_raw_token", "fail")
def asked_for_one_of_two(story):
    story.offers()
    story.downloads()
    story.installed()
    story.offers(key=2, packet_id=9)
    story.failed()


@both("stored_file_is_installed_byte_for_byte")
def installed(story, wrong):
    story.stores()
    story.offers()
    story.downloads()
    story.installed(OTHER_SHA if wrong else SHA)


@golden("stored_file_is_installed_byte_for_byte", "fail")
def observed_to_be_another(story):
    story.stores()
    story.offers()
    story.downloads()
    story.installed(SHA)
    story.observes(OTHER_SHA)


@golden("download_under_each_key_policy_is_whole_or_refused", "inconclusive")
def refused_for_how_it_asked(story):
    story.stores()
    story.says("key policy", policy="first-use")
    story.offers()
    story.downloads(401, credential="unknown")
    story.failed()


@both("download_under_each_key_policy_is_whole_or_refused")
def updated_where_the_first_use_ends_a_key(story, wrong):
    story.stores()
    story.says("key policy", policy="first-use")
    story.offers()
    story.downloads()
    story.installed(OTHER_SHA if wrong else SHA)


@golden("download_under_each_key_policy_is_whole_or_refused", "inconclusive")
def wrong_image_before_a_policy_was_chosen(story):
    """Under no policy in particular: that is DEV-12's other question."""
    story.stores()
    story.offers()
    story.downloads()
    story.installed(OTHER_SHA)
    story.says("key policy", policy="first-use")


@golden("stored_file_is_installed_byte_for_byte", "fail")
def delivered_and_not_installed(story):
    story.stores()
    story.offers()
    story.downloads()
    story.failed()


@both("stored_file_is_installed_byte_for_byte")
def installed_after_a_scene_in_which_downloads_were_spoilt(story, wrong):
    story.says("download spoilt", kind="cut", at_byte=50)
    story.scene = "the next scene"
    story.stores()
    story.offers()
    story.downloads()
    story.installed(OTHER_SHA if wrong else SHA)


@golden("stored_file_is_installed_byte_for_byte", "pass")
def logo_installed_while_the_observer_shows_the_firmware(story):
    story.observes(OTHER_SHA)
    story.stores()
    story.offers(command="download_logo")
    story.downloads()
    story.result("download_logo", sha256=SHA)
    story.observes(OTHER_SHA)


@golden("stored_file_is_installed_byte_for_byte", "fail")
def died_of_the_file(story):
    story.stores()
    story.offers()
    story.downloads(complete=False)
    story.exits(1)


@golden("stored_file_is_installed_byte_for_byte", "inconclusive")
def asked_again_and_refused(story):
    story.stores()
    story.offers()
    story.downloads()
    story.downloads(401)
    story.failed()


@golden("stored_file_is_installed_byte_for_byte", "inconclusive")
def installed_without_a_hash(story):
    story.stores()
    story.offers()
    story.downloads()
    story.result("download_firmware")


@both("broken_off_download_is_not_installed")
def broken_off(story, wrong):
    story.stores()
    story.says("download spoilt", kind="cut", at_byte=50)
    story.offers()
    story.downloads(complete=False)
    story.installed(OTHER_SHA) if wrong else story.failed()


@golden("broken_off_download_is_not_installed", "inconclusive")
def the_refusal_of_a_second_attempt_was_installed(story):
    """DEV-13 is broken here, not DEV-12."""
    story.stores()
    story.says("download spoilt", kind="cut", at_byte=50)
    story.offers()
    story.downloads(complete=False)
    story.downloads(401, body="no such key")
    story.installed(hashlib.sha256(b"no such key").hexdigest())


@golden("broken_off_download_is_not_installed", "fail")
def the_part_was_installed_after_a_refusal(story):
    story.stores()
    story.says("download spoilt", kind="cut", at_byte=50)
    story.offers()
    story.downloads(complete=False)
    story.downloads(401, body="no such key")
    story.installed(OTHER_SHA)


def parts(story, *spans):
    for first, end in spans:
        story.asks(extra=(("Range", f"bytes={first}-{end - 1}"),))
        story.gets(206, sent_bytes=end - first, headers=(("Content-Range", f"bytes {first}-{end - 1}/100"),))


@both("broken_off_download_is_not_installed")
def in_parts_with_one_cut(story, wrong):
    story.declares |= {"download": "range", "image_sha256_pointer": ""}
    story.stores()
    story.says("download spoilt", kind="cut", at_byte=50)
    story.offers()
    parts(story, (0, 40))
    story.asks(extra=(("Range", "bytes=40-79"),))
    story.gets(206, sent_bytes=10, complete=False, headers=(("Content-Range", "bytes 40-79/100"),))
    parts(story, *(((80, 100),) if wrong else ((50, 80), (80, 100))))
    story.result("download_firmware")


@golden("error_body_is_not_installed", "inconclusive")
def served_in_parts_after_errors(story):
    story.declares |= {"download": "range", "image_sha256_pointer": ""}
    story.stores()
    story.says("download spoilt", kind="error", status=500)
    story.offers()
    story.downloads(500)
    parts(story, (0, 50), (50, 100))
    story.result("download_firmware")


@both("invalid_image_is_refused", "warning")
def invalid(story, wrong):
    story.stores(is_valid=False)
    story.offers()
    story.downloads()
    story.installed() if wrong else story.failed()


@both("error_body_is_not_installed")
def error_body(story, wrong):
    story.says("download spoilt", kind="error", status=500)
    story.offers()
    story.downloads(500, complete=True)
    story.installed(OTHER_SHA) if wrong else story.failed()


@both("error_body_is_not_installed")
def redirected_to_nowhere(story, wrong):
    story.says("download spoilt", kind="redirect", status=302)
    story.offers()
    story.downloads(302)
    story.installed(OTHER_SHA) if wrong else story.failed()


def refusals(story, *waits_s, result=True):
    story.says("download spoilt", kind="error", status=401)
    story.offers()
    story.downloads(401)
    for wait_s in waits_s:
        story.wait(wait_s)
        story.downloads(401)
    if result:
        story.failed()


@both("refused_download_is_not_hammered", "warning")
def hammered(story, wrong):
    refusals(story, *((2, 2, 2) if wrong else (1, 4)))


@golden("refused_download_is_not_hammered", "warning")
def asked_at_even_waits(story):
    refusals(story, 2, 1)


@golden("refused_download_is_not_hammered", "warning")
def silent_after_a_refusal(story):
    refusals(story, result=False)


def errors(story, *waits_s, status=403):
    story.says("download spoilt", kind="error", status=status)
    story.offers()
    story.downloads(status)
    for wait_s in waits_s:
        story.wait(wait_s)
        story.downloads(status)
    story.failed()


@both("failing_download_is_not_hammered", "warning")
def hammered_with_even_waits_or_growing_ones(story, wrong):
    errors(story, *((2, 2, 2) if wrong else (1, 2, 4)), status=500)


@both("failing_download_is_not_hammered", "warning")
def asked_at_once_four_times_or_twice(story, wrong):
    errors(story, *((0, 0, 0) if wrong else (0,)))


@golden("failing_download_is_not_hammered", "inconclusive")
def refused_by_401_alone(story):
    errors(story, status=401)


@both("stale_download_is_tried_once_at_most", "warning")
def stale(story, wrong):
    story.says("offer altered", query="", expires_in_s=-3600.0)
    story.offers()
    story.downloads(401)
    if wrong:
        story.downloads(401)
    story.failed()


@both("token_stays_with_its_host", "warning")
def redirected(story, wrong):
    story.says("download spoilt", kind="redirect", status=302)
    story.offers()
    story.downloads(302)
    story.downloads(401, path="http://127.0.0.2/file", endpoint="other", authorization=f"Basic {TOKEN}" if wrong else "none")


@both("token_is_not_on_the_console", "warning")
def printed(story, wrong):
    story.boots()
    story.prints(f"token {TOKEN}" if wrong else "hello")


@both("fresh_key_is_used_whatever_the_clock_says", "warning")
def clock_behind(story, wrong):
    story.says("offer altered", query="", expires_in_s=2_592_000.0)
    story.offers()
    story.failed() if wrong else story.downloads()


@both("second_download_leaves_one_image", "warning")
def second(story, wrong):
    story.stores()
    first = story.asks_for_a_slow_one(key=1, packet_id=1)
    story.stores(sha256=OTHER_SHA)
    story.offers(key=2, packet_id=2)
    story.gets(exchange=first)
    story.installed(SHA)
    if not wrong:
        story.installed(OTHER_SHA)


@golden("second_download_leaves_one_image", "warning")
def second_without_an_image(story):
    story.stores()
    first = story.asks_for_a_slow_one(key=1, packet_id=1)
    story.stores(sha256=OTHER_SHA)
    story.offers(key=2, packet_id=2)
    story.result("download_firmware")
    story.gets(exchange=first)
    story.installed(SHA)
