"""Every check of a device has a hand-written history that it passes, and one that it does not."""

import hashlib
import importlib.util
from pathlib import Path

import pytest

from harness.checks.registry import all_checks
from harness.requirements import CATALOGUE

_spec = importlib.util.spec_from_file_location("device_stories", Path(__file__).with_name("device_stories.py"))
stories = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(stories)
DEV, SHA, OTHER_SHA, TOKEN, URL = stories.DEV, stories.SHA, stories.OTHER_SHA, stories.TOKEN, stories.URL

A, B = {"rate": 1, "low": 2}, {"rate": 3}
FACTORY = {"rate": 300}

GOLDEN = []


def golden(check_id, verdict):
    def register(tell):
        GOLDEN.append((check_id, verdict, tell))
        return tell

    return register


def both(check_id, finding="fail"):
    """A story with one word that decides: `wrong` is False for the device that passes."""

    def register(tell):
        GOLDEN.append((check_id, "pass", lambda story: tell(story, wrong=False)))
        GOLDEN.append((check_id, finding, lambda story: tell(story, wrong=True)))
        return tell

    return register


# --- subscription, login ---


@both("device_subscribes_to_its_own_topics")
def subscribed(story, wrong):
    story.subscribes(("#", 2) if wrong else (f"{DEV}/control/+", 2), (DEV, 0))


@both("device_subscribes_to_its_own_topics")
def subscribed_to_some(story, wrong):
    story.connects()
    declared = [name for name in story.declares["commands"] if not wrong or name != "reset"]
    story.subscribes(*((f"{DEV}/control/{name}", 2) for name in declared))


@golden("device_subscribes_to_its_own_topics", "fail")
def never_subscribed(story):
    story.connects()


@golden("device_subscribes_to_its_own_topics", "inconclusive")
def lost_before_it_could_subscribe(story):
    story.connects()
    story.lost()


@golden("device_asks_for_qos_2", "pass")
def result_topic_with_less(story):
    story.subscribes((f"{DEV}/control/+", 2), (f"{DEV}/control/+/result", 0))


@both("device_asks_for_qos_2")
def asked_for_qos(story, wrong):
    story.subscribes((f"{DEV}/control/+", 1 if wrong else 2))


@both("device_logs_in_with_its_token")
def logged_in(story, wrong):
    story.connects(password="secret" if wrong else TOKEN)


@golden("device_logs_in_with_its_token", "fail")
def logged_in_as_somebody(story):
    story.connects(username="admin")


@both("declared_session_is_kept")
def kept_session(story, wrong):
    story.connects(clean=wrong)


# --- the exchange ---


@both("device_completes_every_exchange")
def exchange(story, wrong):
    story.sent("configuration", A)
    story.received()
    story.released()
    if not wrong:
        story.completed()


@golden("device_completes_every_exchange", "fail")
def left_before_pubrec(story):
    story.sent("reboot")
    story.lost(by="peer")


@golden("device_completes_every_exchange", "inconclusive")
def cut_before_pubrec(story):
    story.sent("configuration", A)
    story.lost(by="fault")


@golden("device_completes_every_exchange", "fail")
def pubrec_that_is_no_mqtt(story):
    story.sent("configuration", A)
    story.sends_nonsense()
    story.lost(by="us")


@both("repeated_publish_has_one_effect")
def repeated(story, wrong):
    story.sent("configuration", A)
    story.sent("configuration", A, dup=True)
    story.received()
    story.received()
    story.result("configuration")
    if wrong:
        story.result("configuration")


@golden("repeated_publish_has_one_effect", "fail")
def second_pubrec_missing(story):
    story.sent("configuration", A)
    story.sent("configuration", A, dup=True)
    story.received()
    story.result("configuration")


@golden("repeated_publish_has_one_effect", "pass")
def second_pubrec_behind_the_pubcomp(story):
    story.sent("configuration", A)
    story.sent("configuration", A, dup=True)
    story.received()
    story.released()
    story.completed()
    story.received()
    story.result("configuration")


def _older_copied_behind_newer(story, *, shown_between, shown_last, at_release=False):
    story.configured(B, packet_id=1)
    story.sent("configuration", A, packet_id=2)
    story.received(2)
    story.reports(shown_between, packet_id=3)
    story.configured(B, packet_id=4)
    story.result("configuration")
    story.sent("configuration", A, packet_id=2, dup=True)
    story.received(2)
    story.released(2)
    if at_release:
        story.result("configuration")
    story.completed(2)
    story.reports(shown_last, packet_id=5)


@both("copy_behind_another_command_has_no_effect")
def older_copied_behind_newer(story, wrong):
    _older_copied_behind_newer(story, shown_between=A, shown_last=A if wrong else B)


@golden("copy_behind_another_command_has_no_effect", "pass")
def older_applied_at_its_release(story):
    _older_copied_behind_newer(story, shown_between=B, shown_last=A, at_release=True)


@both("release_after_resumption_has_one_effect")
def released_after_resumption(story, wrong):
    story.sent("configuration", A)
    story.received()
    story.lost()
    story.released()
    if not wrong:
        story.completed()
        story.result("configuration")


@golden("release_after_resumption_has_one_effect", "fail")
def released_twice_the_effect(story):
    story.sent("configuration", A)
    story.result("configuration")
    story.received()
    story.lost()
    story.released()
    story.completed()
    story.result("configuration")


@golden("release_after_resumption_has_one_effect", "fail")
def released_without_effect(story):
    story.sent("configuration", A)
    story.received()
    story.lost()
    story.released()
    story.completed()
    story.reports(B)


@both("publish_after_resumption_has_one_effect")
def repeated_after_resumption(story, wrong):
    story.sent("configuration", A)
    story.result("configuration")
    story.lost()
    story.sent("configuration", A, dup=True)
    story.received()
    if wrong:
        story.result("configuration")


@both("packet_id_after_completion_is_a_new_message")
def id_used_again(story, wrong):
    story.configured(A)
    story.result("configuration")
    story.configured(B)
    if not wrong:
        story.result("configuration")


@golden("publish_after_resumption_has_one_effect", "pass")
def effect_seen_in_the_configuration_alone(story):
    story.sent("configuration", A)
    story.lost()
    story.sent("configuration", A, dup=True)
    story.received()
    story.released()
    story.completed()
    story.reports(A)


@golden("publish_after_resumption_has_one_effect", "fail")
def acknowledged_without_effect(story):
    story.sent("configuration", A)
    story.lost()
    story.sent("configuration", A, dup=True)
    story.received()
    story.released()
    story.completed()
    story.reports(B)


@both("packet_id_after_completion_is_a_new_message")
def id_used_again_for_the_same_command(story, wrong):
    for _ in range(2):
        story.configured(A)
        if not wrong:
            story.result("configuration")


@golden("packet_id_after_completion_is_a_new_message", "inconclusive")
def id_used_again_by_a_device_that_owes_no_results(story):
    story.declares["results"] = "optional"
    story.configured(A)
    story.configured(B)


@golden("segmentation_does_not_matter", "fail")
def third_of_a_segment_lost(story):
    story.command("send_configuration", packet_id=1)
    story.says("segmented", how="with 3 in one segment")
    story.sent("configuration", A, packet_id=2)
    story.sent("configuration", B, packet_id=3)
    for packet_id in (2,):
        story.received(packet_id)
        story.released(packet_id)
        story.completed(packet_id)
    story.result("configuration")


@golden("segmentation_does_not_matter", "inconclusive")
def command_of_another_scenario_behind_the_announcement(story):
    story.says("segmented", how="byte by byte")
    story.packet("server", "PUBLISH", scope="", packet_id=3, qos=2, topic=f"{DEV}/control/configuration", payload="{}")


@both("segmentation_does_not_matter")
def connack_in_pieces(story, wrong):
    story.command("send_configuration", packet_id=1)
    story.says("segmented", how="behind a CONNACK in pieces")
    story.lost()
    for _ in range(2 if wrong else 1):
        story.connects(present=True)
    story.command("send_configuration", packet_id=2)


@both("segmentation_does_not_matter")
def segmented(story, wrong):
    story.says("segmented", how="byte by byte")
    story.sent("configuration", A)
    if not wrong:
        story.received()


@both("segmentation_does_not_matter")
def segment_cut_off_by_the_bench(story, wrong):
    """A connection that we end in the middle of an exchange says nothing of how the device reads; one that it ends does."""
    story.command("send_configuration", packet_id=1)
    story.says("segmented", how="byte by byte")
    story.command("configuration", A, packet_id=2)
    story.sent("send_configuration", packet_id=3)
    story.lost("peer" if wrong else "us")


@golden("segmentation_does_not_matter", "pass")
def other_scenario_after_a_segmented_one(story):
    story.command("send_configuration", packet_id=1)
    story.says("segmented", how="byte by byte")
    story.command("configuration", A, packet_id=2)
    topic = f"{DEV}/control/configuration"
    story.packet("server", "PUBLISH", packet_id=3, topic=topic, payload="{}", qos=2, scope="another scene")


@both("receipts_keep_the_order")
def in_order(story, wrong):
    story.sent("configuration", A, packet_id=1)
    story.sent("configuration", B, packet_id=2)
    for packet_id in (2, 1) if wrong else (1, 2):
        story.received(packet_id)


@both("repeated_qos_1_command_has_one_effect")
def qos_1_repeated(story, wrong):
    offer = {"url": f"http://h{URL}", "expires_at": "x"}
    story.sent("download_firmware", offer, qos=1)
    story.sent("download_firmware", offer, qos=1, dup=True)
    story.downloads()
    if wrong:
        story.downloads(401)


# --- what commands leave behind ---


@both("configuration_is_applied_and_reported")
def reported(story, wrong):
    story.configured(A)
    story.reports(FACTORY if wrong else A)


@golden("configuration_is_applied_and_reported", "fail")
def reported_more_than_asked(story):
    story.configured(A)
    story.reports(A, keys=["rate"])


@golden("configuration_is_applied_and_reported", "fail")
def keys_left_unanswered(story):
    story.configured(A)
    story.command("send_configuration", {"keys": ["rate"]}, packet_id=8)


@golden("configuration_is_applied_and_reported", "fail")
def plain_question_refused(story):
    story.configured(A)
    story.command("send_configuration", packet_id=8)
    story.result("send_configuration", success=False)


@golden("configuration_is_applied_and_reported", "fail")
def number_in_place_of_a_boolean(story):
    story.configured({"on": False})
    story.reports({"on": 0})


@golden("configuration_is_applied_and_reported", "pass")
def sixty_is_a_number_however_it_is_written(story):
    story.configured({"rate": 60})
    story.reports({"rate": 60.0})


@golden("configuration_is_applied_and_reported", "pass")
def unknown_key_reported_as_null(story):
    story.configured(A)
    story.reports({"rate": 1, "no such": None}, keys=["rate", "no such"])


@golden("configuration_is_applied_and_reported", "pass")
def unknown_key_refused(story):
    story.configured(A)
    story.command("send_configuration", {"keys": ["no such"]}, packet_id=8)
    story.result("send_configuration", success=False)


@golden("configuration_is_applied_and_reported", "deviation")
def reported_elsewhere(story):
    story.configured(A)
    story.reports("see topic x")


@both("reboot_happens_once")
def rebooted(story, wrong):
    story.boots()
    story.command("reboot")
    story.exits()
    if wrong:
        story.exits()


@both("reboot_happens_once")
def rebooted_for_each_of_two_commands(story, wrong):
    story.boots()
    for packet_id in (7, 9):
        story.command("reboot", packet_id=packet_id)
        story.exits()
    if wrong:
        story.exits()


@golden("reboot_happens_once", "fail")
def not_rebooted(story):
    story.boots()
    story.command("reboot")
    story.result("reboot")


@golden("reboot_happens_once", "fail")
def crashed_in_place_of_a_reboot(story):
    story.boots()
    story.command("reboot")
    story.exits(1)


@both("last_configuration_wins", "warning")
def configured_twice(story, wrong):
    story.configured(A)
    story.configured(B)
    story.reports(A if wrong else B)


@both("configuration_replaces_the_old_one", "deviation")
def replaced(story, wrong):
    story.configured(A)
    story.configured(B)
    story.reports(A | B if wrong else B)


@both("reset_restores_the_factory_configuration")
def reset(story, wrong):
    story.factory = FACTORY
    story.command("reset")
    story.reports(A if wrong else FACTORY)


@both("reset_restores_the_factory_configuration")
def reset_of_what_was_configured(story, wrong):
    story.factory = FACTORY
    story.configured(A)
    story.command("reset")
    story.reports(FACTORY | ({"low": 2} if wrong else {"low": 9, "serial": "0815"}))


@both("reset_restores_the_factory_configuration")
def reset_to_an_undeclared_configuration(story, wrong):
    for number, configured in enumerate((A, B)):
        story.configured(configured)
        story.command("reset")
        story.reports({"rate": configured["rate"] if wrong else 300, "uptime_s": number}, packet_id=8 + number)


@both("repeated_reset_happens_once")
def reset_repeated(story, wrong):
    story.sent("reset", packet_id=5)
    story.received(5)
    story.result("reset")
    story.configured(A, packet_id=6)
    story.sent("reset", packet_id=5, dup=True)
    story.reports(FACTORY if wrong else A)


@golden("repeated_reset_happens_once", "pass")
def reset_at_release(story):
    story.sent("reset", packet_id=5)
    story.configured(A, packet_id=6)
    story.sent("reset", packet_id=5, dup=True)
    story.result("reset")
    story.reports(FACTORY)


@both("results_come_once_and_in_time")
def answered(story, wrong):
    story.configured(A)
    story.wait(9 if wrong else 1)
    story.result("configuration")


@golden("results_come_once_and_in_time", "fail")
def answered_twice(story):
    story.configured(A)
    story.result("configuration")
    story.result("configuration")


@golden("results_come_once_and_in_time", "fail")
def never_answered(story):
    story.configured(A)


@both("result_is_a_json_object", "deviation")
def result_retained(story, wrong):
    story.packet("client", "PUBLISH", packet_id=9, topic=f"{DEV}/control/reset/result", payload="{}", qos=1, retain=wrong)


@golden("result_is_a_json_object", "deviation")
def result_of_bare_text(story):
    story.packet("client", "PUBLISH", packet_id=9, topic=f"{DEV}/control/reset/result", payload="OK", qos=1)


@golden("results_come_once_and_in_time", "pass")
def answered_after_the_reboot(story):
    story.command("reboot")
    story.wait(9)
    story.result("reboot")


@both("odd_message_does_not_stop_the_device", "warning")
def odd_question(story, wrong):
    story.says("odd message", what="keys that are none")
    story.command("send_configuration", {"keys": 5}, packet_id=4)
    if wrong:
        story.result("send_configuration", success=False)
        story.command("send_configuration", packet_id=5)
    else:
        story.reports(A)


@golden("odd_message_does_not_stop_the_device", "warning")
def restarted_over_an_odd_message(story):
    story.boots()
    story.says("odd message", what="malformed JSON")
    story.command("configuration", "{", packet_id=4)
    story.exits(0)
    story.reports(A)


@both("odd_message_does_not_stop_the_device", "warning")
def odd(story, wrong):
    story.says("odd message", what="malformed JSON")
    story.command("configuration", "{", packet_id=4)
    if wrong:
        story.exits(1)
    story.reports(A)


@both("refused_command_is_acknowledged")
def refused(story, wrong):
    story.sent("configuration", "{")
    story.received()
    if not wrong:
        story.completed()


@both("payload_up_to_the_declared_size_is_taken", "warning")
def big(story, wrong):
    story.says("payload of", size_bytes=4096)
    story.configured(A)
    story.reports(FACTORY if wrong else A)


@both("unlisted_command_has_no_effect", "warning")
def unlisted(story, wrong):
    story.command("blink", {})
    story.result("blink", success=wrong)
    story.configured(A, packet_id=2)
    story.command("blink", {}, packet_id=3)
    story.result("blink", success=False)
    story.reports(A)


@golden("payload_up_to_the_declared_size_is_taken", "warning")
def silent_after_one_of_two_payloads(story):
    for number, size_bytes in enumerate((128, 256)):
        story.says("payload of", size_bytes=size_bytes)
        story.configured(A)
        story.command("send_configuration", packet_id=8)
        if number:
            story.result("send_configuration", configuration=A)


@golden("payload_up_to_the_declared_size_is_taken", "inconclusive")
def big_and_reported_elsewhere(story):
    story.says("payload of", size_bytes=4096)
    story.configured(A)
    story.command("send_configuration", packet_id=8)
    story.result("send_configuration")


@both("unlisted_command_has_no_effect", "warning")
def refused_twice(story, wrong):
    story.configured(A, packet_id=2)
    story.command("blink", {}, packet_id=3)
    for _ in range(2 if wrong else 1):
        story.result("blink", success=False)
    story.reports(A)


@both("retained_command_is_not_executed", "warning")
def reboot_retained(story, wrong):
    story.boots()
    story.command("reboot", retain=True)
    if wrong:
        story.exits()


@both("retained_command_is_not_executed", "warning")
def retained(story, wrong):
    story.configured(A)
    story.command("configuration", B, packet_id=9, retain=True)
    story.reports(B if wrong else A)


@both("echoed_result_is_not_executed", "warning")
def echoed(story, wrong):
    story.configured(A)
    story.says("echo")
    story.reports(B if wrong else A)


# --- downloads ---


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
    story.says("download spoilt", kind="trickle")
    story.offers(key=1, packet_id=1)
    first = story.asks()
    story.stores(sha256=OTHER_SHA)
    story.offers(key=2, packet_id=2)
    story.gets(exchange=first)
    story.installed(SHA)
    if not wrong:
        story.installed(OTHER_SHA)


@golden("second_download_leaves_one_image", "warning")
def second_without_an_image(story):
    story.stores()
    story.says("download spoilt", kind="trickle")
    story.offers(key=1, packet_id=1)
    first = story.asks()
    story.stores(sha256=OTHER_SHA)
    story.offers(key=2, packet_id=2)
    story.result("download_firmware")
    story.gets(exchange=first)
    story.installed(SHA)


# --- the connection ---


@both("slow_download_keeps_the_connection")
def slow(story, wrong):
    story.connects()
    story.says("download spoilt", kind="trickle")
    story.offers()
    exchange = story.asks()
    for _ in range(2 if wrong else 4):
        story.wait(8 if wrong else 3)
        story.packet("client", "PINGREQ")
    story.gets(exchange=exchange)


@golden("slow_download_keeps_the_connection", "fail")
def slow_and_lost(story):
    story.connects()
    story.says("download spoilt", kind="trickle")
    story.offers()
    exchange = story.asks()
    story.wait(8)
    story.lost(by="us")
    story.wait(7)
    story.gets(exchange=exchange)


@golden("slow_download_keeps_the_connection", "inconclusive")
def silence_in_which_our_own_broker_stood_still(story):
    story.connects()
    story.says("download spoilt", kind="trickle")
    story.offers()
    exchange = story.asks()
    story.wait(30)
    story.packet("client", "PINGREQ")
    story.gets(exchange=exchange)


@both("slow_download_keeps_the_connection")
def slow_and_given_up_by_the_device(story, wrong):
    story.connects()
    story.says("download spoilt", kind="trickle")
    story.offers()
    exchange = story.asks()
    for _ in range(3):
        story.wait(7 if wrong else 2)
        story.packet("client", "PINGREQ")
    story.gets(exchange=exchange, sent_bytes=40, complete=False)
    story.failed()


@golden("slow_download_keeps_the_connection", "inconclusive")
def given_up_before_the_keep_alive_is_over(story):
    story.connects()
    story.says("download spoilt", kind="trickle")
    story.offers()
    exchange = story.asks()
    story.wait(2)
    story.gets(exchange=exchange, sent_bytes=40, complete=False)
    story.failed()


@golden("slow_download_keeps_the_connection", "pass")
def silence_in_which_other_scenarios_ran(story):
    story.packet("client", "PINGREQ", scope="")
    story.wait(60)
    story.says("download spoilt", kind="trickle")
    offer = {"url": "http://h/v2/device/download?key=<key:1>", "expires_at": "2026-01-01T00:00:00Z"}
    story.sent("download_firmware", offer)
    exchange = story.asks()
    story.received()
    for _ in range(3):
        story.wait(3)
        story.packet("client", "PINGREQ")
    story.gets(exchange=exchange)


@golden("slow_download_keeps_the_connection", "pass")
def slow_and_back(story):
    slow_and_lost(story)
    story.connects(present=True)


@both("commands_are_answered_during_a_download", "warning")
def asked_meanwhile(story, wrong):
    story.says("download spoilt", kind="trickle")
    story.offers()
    exchange = story.asks()
    story.command("send_configuration", packet_id=9)
    story.wait(13 if wrong else 0)
    story.result("send_configuration", configuration=A)
    story.wait(0 if wrong else 13)
    story.gets(exchange=exchange)


@both("device_comes_back")
def back_by_itself_or_started_again(story, wrong):
    story.boots()
    story.says("connection lost", how="a lost network connection")
    story.lost()
    story.exits(3 if wrong else 0)
    story.boots()
    story.connects(present=True)
    story.configured(A)


@both("device_comes_back")
def came_back(story, wrong):
    story.says("connection lost", how="a restart of the broker")
    story.connects()
    if not wrong:
        story.subscribes((f"{DEV}/control/+", 2))
        story.configured(A)


@golden("device_comes_back", "fail")
def came_back_deaf(story):
    story.says("connection lost", how="a lost network connection")
    story.connects(present=True)
    story.sent("configuration", A)


def refused_connects(story, *waits_s):
    story.says("connection lost", how="refused connects", is_refused=True)
    story.connects(code=3)
    for wait_s in waits_s:
        story.wait(wait_s)
        story.connects(code=3)


@both("reconnects_back_off", "warning")
def backed_off(story, wrong):
    refused_connects(story, *((1, 1, 1) if wrong else (1, 2, 4)))


@golden("reconnects_back_off", "pass")
def waits_at_their_limit_drawn_by_chance(story):
    refused_connects(story, 3.3, 2.96, 3.5)


@golden("reconnects_back_off", "warning")
def hammering_with_uneven_waits(story):
    refused_connects(story, 0.05, 0.1, 0.02, 0.05)


@golden("reconnects_back_off", "warning")
def hammering_by_chance(story):
    refused_connects(story, 0.3, 0.1, 0.2)


@both("reconnects_are_scattered", "warning")
def scattered(story, wrong):
    refused_connects(story, 1, 2, 4)
    refused_connects(story, *((1, 2, 4) if wrong else (1.3, 2.5, 4.4)))


# --- the tests ---

GOLDEN += stories.golden_of_the_families()


def device_checks():
    return {check.id for check in all_checks().values() if check.requirements[0].startswith("DEV")}


@pytest.mark.parametrize(
    ("check_id", "verdict", "tell"), GOLDEN, ids=[f"{number}-{entry[0]}-{entry[1]}" for number, entry in enumerate(GOLDEN)]
)
def test_a_golden_story_of_a_device_is_judged_as_it_says(check_id, verdict, tell):
    story = stories.DeviceStory()
    tell(story)
    result = story.judged(check_id)
    assert result.verdict.value == verdict, result.detail
    assert bool(result.evidence) == (verdict != "inconclusive")


def test_requests_of_an_earlier_command_are_not_held_against_a_later_one():
    story = stories.DeviceStory()
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
