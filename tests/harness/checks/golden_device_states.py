"""Golden stories of what commands leave behind at a device, and of what must leave nothing."""

from tests.harness.checks.device_stories import DEV, URL, GoldenStories

A, B, FACTORY = {"rate": 1, "low": 2}, {"rate": 3}, {"rate": 300}

GOLDEN = GoldenStories()
golden, both = GOLDEN.golden, GOLDEN.both


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


@golden("reboot_happens_once", "pass")
def restarted_without_an_exit(story):
    story.boots()
    story.connects()
    story.command("reboot")
    story.lost(by="peer")
    story.connects(present=True)


@golden("reboot_happens_once", "fail")
def not_rebooted_but_cut_off_its_power_by_us(story):
    story.boots()
    story.connects()
    story.command("reboot")
    story.lost(by="peer")
    story.exits(-9, by_us=True)
    story.connects(present=True)


@both("reboot_happens_once")
def rebooted_long_after_its_connection_was_lost(story, wrong):
    """The time that it was away is not the time that it takes to reboot."""
    story.boots()
    story.connects()
    story.sent("reboot")
    story.lost()
    story.wait(0 if wrong else 30)
    story.connects(present=True)
    story.sent("reboot", dup=True)
    story.received()
    story.released()
    story.wait(30 if wrong else 0)
    story.exits()
    story.connects(present=True)


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


def _cut_off_and_back(story):
    story.connects()
    story.sent("reboot")
    story.lost()
    story.connects(present=True)
    story.sent("reboot", dup=True)
    story.acknowledged()


@golden("reboot_happens_once", "inconclusive")
def may_have_rebooted_while_it_was_cut_off(story):
    _cut_off_and_back(story)


@golden("reboot_happens_once", "fail")
def forgot_to_reboot_when_it_was_cut_off(story):
    """Its reboots are exits, as an earlier one shows."""
    story.boots()
    story.command("reboot", packet_id=9)
    story.exits()
    story.boots()
    _cut_off_and_back(story)


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


@both("configuration_replaces_the_old_one", "deviation")
def null_replaced(story, wrong):
    story.configured({"rate": 1, "low": None})
    story.configured(B)
    story.reports({"low": None} | B if wrong else B)


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
def retained_download(story, wrong):
    story.sent("download_firmware", {"url": "http://h" + URL, "expires_at": "2026-01-01T00:00:00Z"}, retain=True)
    if wrong:
        story.downloads()
    story.failed()


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
