"""Golden stories of what commands leave behind at a device, of its results, and of the observer that shows its configuration."""

A, B, FACTORY = {"rate": 1, "low": 2}, {"rate": 3}, {"rate": 300}
NESTED, NESTED_OTHERWISE = {"limits": {"steps": [1, True]}}, {"limits": {"steps": [1, 1]}}


def configured(*configurations, then=A):
    """Configurations, then a question with its answer; None: no question."""

    def happens(story):
        for configuration in configurations:
            story.configured(configuration)
        if then is not None:
            story.reports(then)

    return happens


def owes_no_results(happens):
    """The same, told of a device that promises no results."""

    def without(story):
        story.declares["results"] = "optional"
        happens(story)

    return without


def observed(value, *, name="configuration"):
    """A question that no result answers, and what the declared observer shows afterwards."""

    def happens(story):
        story.configured(A)
        story.command("send_configuration", packet_id=8)
        story.observes(value, name)

    return owes_no_results(happens)


def answered_with_bare_text(story):
    story.configured(A)
    story.command("send_configuration", packet_id=8)
    story.publishes("control/send_configuration/result", "OK")


def back_after_a_long_boot(story):
    story.boots()
    story.command("reboot")
    story.exits()
    story.wait(20)
    story.connects()


def reset_at_release(times):
    """A reset that is repeated, held back behind a configuration, and done only then: so often as its results say."""

    def happens(story):
        story.sent("reset", packet_id=5)
        story.configured(A, packet_id=6)
        story.sent("reset", packet_id=5, dup=True)
        for _ in range(times):
            story.result("reset")
        story.reports(FACTORY)

    return happens


def repeated_with_two_results(story):
    story.sent("configuration", A)
    story.sent("configuration", A, dup=True)
    story.result("configuration")
    story.result("configuration")


def result_repeated(*, is_released):
    """A result's PUBLISH that comes again: the same one before its PUBREL, a new one behind it."""

    def happens(story):
        story.configured(A)
        story.publishes("control/configuration/result", '{"success": true}', packet_id=900, qos=2)
        if is_released:
            story.packet("client", "PUBREL", packet_id=900)
        story.publishes("control/configuration/result", '{"success": true}', packet_id=900, qos=2, dup=True)

    return happens


def result_with_qos_0(story):
    story.publishes("control/reset/result", "{}")


def published_elsewhere(story):
    story.publishes("measurements", "{}")


def odd(*, is_acknowledged):
    def happens(story):
        story.says("odd message", what="malformed JSON")
        story.sent("send_configuration")
        if is_acknowledged:
            story.acknowledged()

    return owes_no_results(happens)


def lost_before_the_pubrec(story):
    story.sent("configuration", "{")
    story.lost()


def new_session_before_the_pubrec(story):
    story.sent("configuration", "{")
    story.connects()


def unlisted(*, is_refused):
    def happens(story):
        story.command("blink")
        if is_refused:
            story.result("blink", success=False)

    return happens


def unlisted_download(story):
    story.declares["commands"] = ["configuration", "send_configuration"]
    story.offers()
    story.downloads()
    story.failed()


def unlisted_reboot(story):
    story.declares["commands"] = ["configuration"]
    story.boots()
    story.command("reboot")
    story.result("reboot", success=False)
    story.exits()


def echoed(*, is_answered, is_asked=True):
    def happens(story):
        story.configured(A)
        story.says("echo")
        if is_answered:
            story.result("configuration", success=False)
        if is_asked:
            story.reports(A)

    return happens


GOLDEN = [
    ("configuration_is_applied_and_reported", "pass", observed('{"rate": 1, "low": 2}')),
    ("configuration_is_applied_and_reported", "fail", observed('{"rate": 3}')),
    ("configuration_is_applied_and_reported", "inconclusive", observed("rate=1")),
    ("configuration_is_applied_and_reported", "inconclusive", observed("[1, 2]")),
    ("configuration_is_applied_and_reported", "inconclusive", observed("5e" * 32, name="image_sha256")),
    ("configuration_is_applied_and_reported", "pass", configured(NESTED, then=NESTED)),
    ("configuration_is_applied_and_reported", "fail", configured(NESTED, then=NESTED_OTHERWISE)),
    ("configuration_is_applied_and_reported", "deviation", answered_with_bare_text),
    ("reboot_happens_once", "inconclusive", configured(A)),
    ("reboot_happens_once", "fail", back_after_a_long_boot),
    ("last_configuration_wins", "inconclusive", configured(A)),
    ("configuration_replaces_the_old_one", "inconclusive", configured("{", B, then=B)),
    ("configuration_replaces_the_old_one", "inconclusive", configured(A, A)),
    ("reset_restores_the_factory_configuration", "inconclusive", configured(A)),
    ("repeated_reset_happens_once", "inconclusive", configured(A)),
    ("repeated_reset_happens_once", "fail", reset_at_release(2)),
    ("repeated_reset_happens_once", "inconclusive", reset_at_release(0)),
    ("results_come_once_and_in_time", "inconclusive", owes_no_results(configured(A, then=None))),
    ("results_come_once_and_in_time", "inconclusive", repeated_with_two_results),
    ("results_come_once_and_in_time", "pass", result_repeated(is_released=False)),
    ("results_come_once_and_in_time", "fail", result_repeated(is_released=True)),
    ("result_is_a_json_object", "pass", result_with_qos_0),
    ("result_is_a_json_object", "inconclusive", published_elsewhere),
    ("odd_message_does_not_stop_the_device", "pass", odd(is_acknowledged=True)),
    ("odd_message_does_not_stop_the_device", "warning", odd(is_acknowledged=False)),
    ("refused_command_is_acknowledged", "inconclusive", lost_before_the_pubrec),
    ("refused_command_is_acknowledged", "inconclusive", new_session_before_the_pubrec),
    ("unlisted_command_has_no_effect", "inconclusive", unlisted(is_refused=True)),
    ("unlisted_command_has_no_effect", "warning", unlisted(is_refused=False)),
    ("unlisted_command_has_no_effect", "warning", unlisted_reboot),
    ("unlisted_command_has_no_effect", "warning", unlisted_download),
    ("echoed_result_is_not_executed", "inconclusive", echoed(is_answered=False, is_asked=False)),
    ("echoed_result_is_not_executed", "warning", echoed(is_answered=True)),
]
