"""Golden stories of the QoS 2 exchange from the device's side: copies, packet ids, the order of receipts."""

A, B = {"rate": 1, "low": 2}, {"rate": 3}
OFFER = {"url": "http://h/v2/device/download?key=<key:1>", "expires_at": "2026-01-01T00:00:00Z"}


def with_qos_1(story):
    story.sent("configuration", A, qos=1)


def repeated(command, data, *then):
    """A command that is sent twice with one packet id, acknowledged twice, and what it caused."""

    def happens(story):
        story.boots()
        for dup in (False, True):
            story.sent(command, data, dup=dup)
            story.received()
        for cause in then:
            cause(story)

    return happens


def download(story):
    story.downloads()


def reboot(story):
    story.exits()


def result_of_a_reboot(story):
    story.result("reboot")


def lost(story):
    story.lost()


def repeated_with_nothing_in_between(story):
    story.sent("configuration", A)
    story.sent("configuration", A, dup=True)
    story.reports(A)


def applied_at_release_with_a_result_too_many(story):
    """What its results tell is judged elsewhere: that a configuration came last is what a device that acts at PUBREL does."""
    story.sent("configuration", A, packet_id=2)
    story.reports(B, packet_id=3)
    story.configured(B, packet_id=4)
    story.sent("configuration", A, packet_id=2, dup=True)
    story.released(2)
    for _ in range(3):
        story.result("configuration")
    story.reports(A, packet_id=5)


def id_used_again_for_another_command(story):
    story.configured(A)
    story.command("reboot")
    story.result("reboot")


def receipts(*, is_second_acknowledged):
    """Two commands, of which the second comes when the first one has its PUBREC."""

    def happens(story):
        story.sent("configuration", A, packet_id=1)
        story.received(1)
        story.sent("configuration", B, packet_id=2)
        if is_second_acknowledged:
            story.received(2)

    return happens


GOLDEN = [
    ("device_completes_every_exchange", "inconclusive", with_qos_1),
    ("repeated_publish_has_one_effect", "pass", repeated("download_firmware", OFFER, download)),
    ("repeated_publish_has_one_effect", "fail", repeated("download_firmware", OFFER, download, download)),
    ("repeated_publish_has_one_effect", "pass", repeated("reboot", {}, reboot)),
    ("repeated_publish_has_one_effect", "fail", repeated("reboot", {}, reboot, reboot)),
    ("repeated_publish_has_one_effect", "pass", repeated("reboot", {}, result_of_a_reboot)),
    ("repeated_publish_has_one_effect", "inconclusive", repeated("configuration", A)),
    ("repeated_publish_has_one_effect", "inconclusive", repeated("configuration", A, lost)),
    ("copy_behind_another_command_has_no_effect", "inconclusive", repeated_with_nothing_in_between),
    ("copy_behind_another_command_has_no_effect", "inconclusive", applied_at_release_with_a_result_too_many),
    ("packet_id_after_completion_is_a_new_message", "inconclusive", id_used_again_for_another_command),
    ("receipts_keep_the_order", "inconclusive", receipts(is_second_acknowledged=True)),
    ("receipts_keep_the_order", "inconclusive", receipts(is_second_acknowledged=False)),
]
