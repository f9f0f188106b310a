"""Topics of a device: which are made for a command, which are its own, and which names are no level of a topic."""

import pytest

from harness.mqtt.topic_filters import matches
from harness.wire.topics import (
    ControlTopic,
    command_name_problem,
    control_filter,
    control_topic,
    is_of_device,
    parse_control_topic,
    result_topic,
)


@pytest.mark.parametrize(
    ("topic", "parsed"),
    [
        (control_topic("dev-1", "reboot"), ControlTopic("dev-1", "reboot", "control")),
        (result_topic("dev-1", "reboot"), ControlTopic("dev-1", "reboot", "result")),
        ("dev-1/control/result", ControlTopic("dev-1", "result", "control")),
        ("dev-1", None),
        ("dev-1/control", None),
        ("dev-1/control/", None),
        ("/control/reboot", None),
        ("dev-1/control//result", None),
        ("dev-1/control/reboot/result/more", None),
        ("dev-1/other/reboot", None),
    ],
)
def test_a_topic_is_taken_apart_or_is_no_control_topic(topic, parsed):
    assert parse_control_topic(topic) == parsed


def test_the_filter_of_a_device_hears_its_commands_and_no_results():
    assert matches(control_filter("dev-1"), control_topic("dev-1", "reboot"))
    assert not matches(control_filter("dev-1"), result_topic("dev-1", "reboot"))


@pytest.mark.parametrize(
    ("topic", "is_its_own"), [("dev-1", True), ("dev-1/control/reboot", True), ("dev-12/control/reboot", False), ("x/dev-1", False)]
)
def test_a_device_owns_its_id_and_what_is_below(topic, is_its_own):
    assert is_of_device(topic, "dev-1") is is_its_own


@pytest.mark.parametrize("name", ["reboot", "blink_led", "ä", "a b", "n" * 64, "a$"])
def test_a_plain_name_is_a_level_of_a_topic(name):
    assert command_name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "empty"),
        ("a/b", "'/'"),
        ("a+", "'+'"),
        ("#", "'#'"),
        ("$SYS", "'$'"),
        ("a\0", "control character"),
        ("a\x7f", "control character"),
        ("a\x9f", "control character"),
        ("\ud800", "Unicode"),
        ("n" * 65, "65 bytes"),
        ("ä" * 33, "66 bytes"),
    ],
)
def test_a_name_that_is_no_level_is_refused_in_words(name, words):
    assert words in str(command_name_problem(name))
