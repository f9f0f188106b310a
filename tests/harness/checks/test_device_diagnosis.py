"""What a device shows of its stack, and the hint that follows: never a verdict."""

import pytest

from tests.harness.checks.device_stories import DEV, DeviceStory

OWN = f"{DEV}/control/+"


def hint(*filters, clean=True, keep_alive_s=60):
    """The hint about a device that asks for these filters."""
    story = DeviceStory()
    story.connects(clean=clean, keep_alive_s=keep_alive_s)
    story.subscribes(*filters)
    return story.judged("device_asks_for_qos_2").hint


@pytest.mark.parametrize(
    ("filters", "how", "stack"),
    [
        (((DEV, 0), (OWN, 0)), {}, "Arduino library"),
        (((OWN, 1),), {"keep_alive_s": 15}, "PubSubClient"),
        (((OWN, 0),), {"keep_alive_s": 0}, "umqtt"),
        (((OWN, 0),), {"keep_alive_s": 120}, "esp-mqtt"),
    ],
)
def test_defaults_of_a_stack_name_it(filters, how, stack):
    assert stack in hint(*filters, **how)


def test_device_without_the_traits_of_a_known_stack_gets_no_guess():
    assert hint((OWN, 1), clean=False) == ""


def test_connection_that_ends_right_after_a_qos_2_publish_points_to_umqtt():
    story = DeviceStory()
    story.connects(clean=False)
    story.sent("reboot")
    story.lost(by="peer")
    assert "umqtt.simple" in story.judged("device_completes_every_exchange").hint


def test_doubled_effect_names_the_libraries_that_keep_no_ids_and_the_traits_besides():
    story = DeviceStory()
    story.connects(clean=True)
    story.sent("configuration", {"a": 1})
    story.sent("configuration", {"a": 1}, dup=True)
    story.received()
    story.received()
    story.result("configuration")
    story.result("configuration")
    found = story.judged("repeated_publish_has_one_effect").hint
    assert "keeps no packet ids" in found
    assert "clean session" in found
