"""The personalities as data: names, rows, and that each differs from the reference."""

import re

import pytest

from harness.requirements import CATALOGUE, Side
from simulators.device.imitations import IMITATIONS
from simulators.device.personalities import PERSONALITIES, WRONG_DEVICES
from simulators.device.personality import REFERENCE
from simulators.device.settings import DeviceSettings

SETTINGS = DeviceSettings.reference(device_id="dev-1", token="token", mqtt_url="mqtt://127.0.0.1")


def test_there_are_enough_of_them():
    assert len(WRONG_DEVICES) >= 35
    assert len(IMITATIONS) >= 7
    assert len(PERSONALITIES) == 1 + len(WRONG_DEVICES) + len(IMITATIONS)


@pytest.mark.parametrize("personality", PERSONALITIES.values(), ids=lambda personality: personality.name)
def test_names_are_kebab_case_and_rows_exist(personality):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", personality.name)
    assert personality.story.endswith(".")
    for row in (*personality.breaks, *personality.also):
        assert Side.DEVICE in CATALOGUE[row].sides


@pytest.mark.parametrize("personality", WRONG_DEVICES, ids=lambda personality: personality.name)
def test_a_wrong_device_breaks_a_row_and_replaces_a_decision(personality):
    assert personality.breaks
    assert not personality.imitates
    same = personality.tunes(SETTINGS) == SETTINGS and personality.exchanges is REFERENCE.exchanges
    assert not (same and personality.executes is REFERENCE.executes and personality.boots is REFERENCE.boots)


@pytest.mark.parametrize("personality", IMITATIONS, ids=lambda personality: personality.name)
def test_an_imitation_names_its_stack(personality):
    assert personality.imitates


def test_every_row_about_a_device_has_a_wrong_device_that_breaks_it():
    broken = {row for personality in WRONG_DEVICES for row in personality.breaks}
    rows = {row for row in CATALOGUE if row.startswith("DEV-")}
    # DEV-08b is where the configuration is reported, DEV-12b needs images that a vendor calls invalid.
    assert rows - broken == {"DEV-08b", "DEV-12b"}
