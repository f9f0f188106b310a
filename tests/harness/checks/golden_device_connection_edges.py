"""Golden stories of a device's connection: logging in, QoS 1, slow downloads, coming back."""

A = {"rate": 1, "low": 2}
OFFER = {"url": "http://h/v2/device/download?key=<key:1>", "expires_at": "2026-01-01T00:00:00Z"}


def logged_in_as_another_client(story):
    story.connects(client_id="sensor-1")


def session_resumed(story):
    story.connects(present=True)


def repeated_with_qos_1(command, data, *, reboots=0):
    def happens(story):
        story.boots()
        story.sent(command, data, qos=1)
        story.sent(command, data, qos=1, dup=True)
        for _ in range(reboots):
            story.exits()

    return happens


def sent_once_with_qos_1(story):
    story.sent("reboot", qos=1)


def slow(lasts_s, *, keep_alive_s=5, declared_s=5, method="GET"):
    """A slow download, during which the device pings all the time."""

    def happens(story):
        story.declares["keep_alive_s"] = declared_s
        story.connects(keep_alive_s=keep_alive_s)
        exchange = story.asks_for_a_slow_one(method=method)
        for _ in range(lasts_s):
            story.wait(1)
            story.packet("client", "PINGREQ")
        story.gets(exchange=exchange)

    return happens


def asked_at_the_end_of_a_download(story):
    exchange = story.asks_for_a_slow_one()
    story.command("send_configuration", packet_id=9)
    story.gets(exchange=exchange)
    story.result("send_configuration", configuration=A)


def acknowledged_during_a_download(*, is_completed):
    """A device that promises no results shows by its acknowledgement that it serves."""

    def happens(story):
        story.declares["results"] = "optional"
        exchange = story.asks_for_a_slow_one()
        story.sent("send_configuration", packet_id=9)
        if is_completed:
            story.acknowledged(9)
        story.wait(13)
        story.gets(exchange=exchange)

    return happens


def refused_connects(*waits_s, is_refused=True):
    def happens(story):
        story.says("connection lost", how="refused connects", is_refused=is_refused)
        story.connects(code=3)
        for wait_s in waits_s:
            story.wait(wait_s)
            story.connects(code=3)

    return happens


GOLDEN = [
    ("device_subscribes_to_its_own_topics", "inconclusive", session_resumed),
    ("device_logs_in_with_its_token", "fail", logged_in_as_another_client),
    ("repeated_qos_1_command_has_one_effect", "inconclusive", sent_once_with_qos_1),
    ("repeated_qos_1_command_has_one_effect", "pass", repeated_with_qos_1("reboot", {}, reboots=1)),
    ("repeated_qos_1_command_has_one_effect", "fail", repeated_with_qos_1("reboot", {}, reboots=2)),
    ("repeated_qos_1_command_has_one_effect", "inconclusive", repeated_with_qos_1("configuration", A)),
    ("repeated_qos_1_command_has_one_effect", "inconclusive", repeated_with_qos_1("download_firmware", OFFER)),
    ("slow_download_keeps_the_connection", "fail", slow(12, keep_alive_s=10)),
    ("slow_download_keeps_the_connection", "inconclusive", slow(12, keep_alive_s=0, declared_s=0)),
    ("slow_download_keeps_the_connection", "inconclusive", slow(2)),
    ("slow_download_keeps_the_connection", "inconclusive", slow(12, method="HEAD")),
    ("commands_are_answered_during_a_download", "inconclusive", asked_at_the_end_of_a_download),
    ("commands_are_answered_during_a_download", "pass", acknowledged_during_a_download(is_completed=True)),
    ("commands_are_answered_during_a_download", "warning", acknowledged_during_a_download(is_completed=False)),
    ("reconnects_back_off", "pass", refused_connects(0.1, 0.4, 1.0)),
    ("reconnects_back_off", "inconclusive", refused_connects(1)),
    ("reconnects_back_off", "inconclusive", refused_connects(1, 1, 1, is_refused=False)),
]
