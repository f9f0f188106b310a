"""Golden stories of the QoS 2 exchange from the device's side: effects count, not packets."""

from tests.harness.checks.device_stories import DEV, URL, GoldenStories

A, B = {"rate": 1, "low": 2}, {"rate": 3}

GOLDEN = GoldenStories()
golden, both = GOLDEN.golden, GOLDEN.both


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


@both("device_completes_every_exchange")
def released_again_after_its_end(story, wrong):
    """The PUBCOMP was lost with the connection: the resumed session begins with PUBREL, and another command follows."""
    story.connects()
    story.sent("configuration", A)
    story.acknowledged()
    story.lost()
    story.connects(present=True)
    story.released()
    if not wrong:
        story.completed()
    story.configured(B, packet_id=8)


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
def second_pubrec_on_its_way_when_it_restarted(story):
    story.sent("configuration", A)
    story.sent("configuration", A, dup=True)
    story.acknowledged()
    story.result("configuration")
    story.lost(by="peer")


@golden("repeated_publish_has_one_effect", "pass")
def second_pubrec_behind_the_pubcomp(story):
    story.sent("configuration", A)
    story.sent("configuration", A, dup=True)
    story.acknowledged()
    story.received()
    story.result("configuration")


def _older_copied_behind_newer(story, *, shown_between, shown_last, at_release=False, newer=1):
    story.configured(B, packet_id=1)
    story.sent("configuration", A, packet_id=2)
    story.received(2)
    story.reports(shown_between, packet_id=3)
    for _ in range(newer):
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


@golden("copy_behind_another_command_has_no_effect", "pass")
def older_applied_at_its_release_behind_several(story):
    _older_copied_behind_newer(story, shown_between=B, shown_last=A, at_release=True, newer=3)


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


@both("publish_after_resumption_has_one_effect")
def acknowledged_again_after_resumption(story, wrong):
    story.sent("configuration", A)
    story.result("configuration")
    story.lost()
    story.sent("configuration", A, dup=True)
    if not wrong:
        story.received()
    story.reports(A)


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
    story.acknowledged()
    story.reports(A)


@golden("publish_after_resumption_has_one_effect", "fail")
def acknowledged_without_effect(story):
    story.sent("configuration", A)
    story.lost()
    story.sent("configuration", A, dup=True)
    story.acknowledged()
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
    story.acknowledged(2)
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
