"""Commands: what a device's list permits, and what a download command tells it."""

import json

import pytest

from harness.wire.commands import DeviceKind, DownloadOffer, command_names, download_key, parse_download_offer, permits

URL = "https://api.example.test/v2/device/download?key="
OFFER = DownloadOffer(URL + "abc", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("allowed_commands", "names"),
    [
        ("", set()),
        (" ; ;", set()),
        ("reboot", {"reboot"}),
        (" reboot ;reset;", {"reboot", "reset"}),
        ("Reboot;reboot", {"Reboot", "reboot"}),
    ],
)
def test_a_list_names_whole_commands_without_blanks_and_empty_entries(allowed_commands, names):
    assert command_names(allowed_commands) == names


@pytest.mark.parametrize(
    ("allowed_commands", "command", "is_permitted"),
    [
        ("", "anything", True),
        (";", "anything", True),
        ("reboot; reset", "reset", True),
        ("reboot", "Reboot", False),
        ("reboot", "reb", False),
    ],
)
def test_a_list_permits_what_it_names_and_an_empty_one_everything(allowed_commands, command, is_permitted):
    assert permits(allowed_commands, command) is is_permitted


def test_only_a_device_that_is_asked_over_http_takes_no_commands():
    assert [kind for kind in DeviceKind if not kind.takes_commands] == [DeviceKind.HTTP]


def test_an_offer_is_read_as_it_was_written():
    assert parse_download_offer(OFFER.payload()) == OFFER
    assert b" " not in OFFER.payload()


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"{", b"\xff", json.dumps({"url": "u"}).encode(), json.dumps({"url": 1, "expires_at": "t"}).encode()]
)
def test_a_payload_without_both_texts_is_no_offer(payload):
    assert parse_download_offer(payload) is None


@pytest.mark.parametrize(
    ("url", "key"),
    [
        (URL + "abc", "abc"),
        (URL + "a%2Fb&x=1", "a/b"),
        (URL, ""),
        (URL + "a&key=b", None),
        ("https://api.example.test/v2/device/download", None),
        ("http://[h/v2/device/download?key=abc", None),
    ],
)
def test_the_key_of_a_url_is_its_one_parameter_key(url, key):
    assert download_key(url) == key
