"""Golden stories of what a download command tells the device."""

import json

OFFER = "https://api.example.test/v2/device/download?key=<key:1>"
EXPIRES = "2023-11-14T22:43:21Z"  # the story's first command is sent at 22:13:21


def offer_with(url=OFFER, expires_at=EXPIRES, **members):
    def happens(story):
        story.command("download_firmware", {"file_name": "fw.bin"})
        story.comes(f"{story.dev}/control/download_firmware", {"url": url, "expires_at": expires_at, **members})

    return happens


def nobody_at_the_url(story):
    story.offer(1)
    story.says("nobody at the URL", origin="http://10.0.0.9", problem="no connection")


def payload(text):
    def happens(story):
        story.command("download_firmware", {"file_name": "fw.bin"})
        story.comes(f"{story.dev}/control/download_firmware", text)

    return happens


def offer_of_a_file_that_is_not_stored(story):
    story.command("download_firmware", {"file_name": "nowhere.bin"})
    story.comes(f"{story.dev}/control/download_firmware", {"file_name": "nowhere.bin"})


def expires(text, **more):
    return lambda story: story.offer(expires=text, **more)


def by_the_date_header(date, text):
    """The target's clock is not ours, as its Date header says."""

    def happens(story):
        story.command("download_firmware", {"file_name": "fw.bin"}, answer_headers=(("Date", date),))
        story.comes(f"{story.dev}/control/download_firmware", {"url": OFFER, "expires_at": text})

    return happens


def with_a_test_clock(*moves, expires_at, after=()):
    def happens(story):
        story.target["clock"] = {"advance_url": "https://…"}
        for seconds, now in moves:
            story.move_clock(seconds, now)
        story.offer(expires=expires_at)
        for seconds, now in after:
            story.move_clock(seconds, now)

    return happens


def two_keys(story):
    story.offer(1)
    story.offer(2)


def one_key_twice(story):
    story.offer(1)
    story.offer(1)


def publish_of(size):
    def happens(story):
        story.offer(1)
        text = json.dumps({"url": OFFER, "expires_at": "2023-11-14T22:43:22Z"})
        topic = f"{story.dev}/control/download_firmware"
        story.packet("PUBLISH", size=size, topic=topic, payload=text, qos=2)
        story.publishes(topic, "{}")

    return happens


GOLDEN = [
    ("download_command_carries_url_and_expiry", "pass", offer_with(file_size=5)),
    ("download_command_carries_url_and_expiry", "fail", nobody_at_the_url),
    ("download_command_carries_url_and_expiry", "inconclusive", offer_of_a_file_that_is_not_stored),
    ("download_command_carries_url_and_expiry", "pass", offer_with("http://h:8080/base/v2/device/download?tenant=a&key=<key:1>")),
    ("download_command_carries_url_and_expiry", "fail", offer_with("https://h/v2/device/download?token=<key:1>")),
    ("download_command_carries_url_and_expiry", "fail", offer_with("/v2/device/download?key=<key:1>")),
    ("download_command_carries_url_and_expiry", "fail", offer_with("https://h/v2/download?key=<key:1>")),
    ("download_command_carries_url_and_expiry", "fail", offer_with("https://[/v2/device/download?key=<key:1>")),
    ("download_command_carries_url_and_expiry", "fail", offer_with(expires_at="2023-11-14 22:43:21")),
    ("download_command_carries_url_and_expiry", "fail", offer_with(expires_at="2023-11-14T22:43:21+00:00")),
    ("download_command_carries_url_and_expiry", "fail", offer_with(expires_at="2023-13-14T22:43:21Z")),
    ("download_command_carries_url_and_expiry", "fail", offer_with(expires_at=1_700_001_800)),
    ("download_command_carries_url_and_expiry", "fail", payload({"file_name": "fw.bin"})),
    ("download_command_carries_url_and_expiry", "fail", payload("[]")),
    ("download_command_carries_url_and_expiry", "fail", payload("no json")),
    ("expiry_is_thirty_minutes_ahead", "pass", expires(EXPIRES)),
    ("expiry_is_thirty_minutes_ahead", "pass", expires("2023-11-14T22:43:19.250Z")),
    ("expiry_is_thirty_minutes_ahead", "deviation", expires("2023-11-14T22:43:26Z")),
    ("expiry_is_thirty_minutes_ahead", "fail", expires("2023-11-14T22:44:21Z")),
    ("expiry_is_thirty_minutes_ahead", "fail", expires("2023-11-14T22:42:21Z")),
    ("expiry_is_thirty_minutes_ahead", "inconclusive", expires("soon")),
    ("expiry_is_thirty_minutes_ahead", "pass", by_the_date_header("Tue, 14 Nov 2023 23:00:00 GMT", "2023-11-14T23:30:00Z")),
    ("expiry_is_thirty_minutes_ahead", "fail", by_the_date_header("Tue, 14 Nov 2023 23:00:00 GMT", "2023-11-14T23:00:00Z")),
    # A test clock may have been moved before this run: where it stood is known from any move that tells its time.
    ("expiry_is_thirty_minutes_ahead", "pass", with_a_test_clock((1, "2023-11-15T10:00:00Z"), expires_at="2023-11-15T10:30:01Z")),
    ("expiry_is_thirty_minutes_ahead", "fail", with_a_test_clock((1, "2023-11-15T10:00:00Z"), expires_at=EXPIRES)),
    ("expiry_is_thirty_minutes_ahead", "pass", with_a_test_clock(expires_at="2023-11-15T10:30:00Z", after=[(60, "2023-11-15T10:01:01Z")])),
    ("expiry_is_thirty_minutes_ahead", "inconclusive", with_a_test_clock(expires_at="2023-11-15T10:30:00Z")),
    ("expiry_is_thirty_minutes_ahead", "inconclusive", with_a_test_clock((1, "noon"), (1, "2023-11-14T22:13:20"), expires_at=EXPIRES)),
    ("every_download_command_has_its_own_key", "pass", two_keys),
    ("every_download_command_has_its_own_key", "fail", one_key_twice),
    ("every_download_command_has_its_own_key", "inconclusive", payload("[]")),
    ("every_download_command_has_its_own_key", "inconclusive", lambda story: story.command("download_firmware", {"file_name": "fw.bin"})),
    ("download_command_fits_in_a_small_buffer", "pass", publish_of(256)),
    ("download_command_fits_in_a_small_buffer", "warning", publish_of(257)),
]
