"""The firmware's decisions: one message in, effects out, by tables."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.wire.commands import STANDARD_COMMANDS
from simulators.device.firmware import (
    JOBS_MAX,
    ApplyConfiguration,
    DropDownloads,
    FirmwareRules,
    Message,
    PublishResult,
    Reboot,
    RestoreFactory,
    StartDownload,
    WhenBusy,
    apply,
    decide,
)
from simulators.device.flash import Flash

RULES = FirmwareRules("dev-1", factory_configuration={"sampling_rate": 300})
FLASH = Flash(configuration={"a": 1, "b": 2})
OFFER = b'{"url":"http://127.0.0.1/v2/device/download?key=k%2B1","expires_at":"2024-01-15T11:00:00Z"}'


def message(command, payload=b"{}", *, device_id="dev-1", suffix="", retain=False):
    return Message(f"{device_id}/control/{command}{suffix}", payload, retain=retain)


def body(effects):
    (result,) = [effect for effect in effects if isinstance(effect, PublishResult)]
    return result.body


def flash_after(effects, flash=FLASH):
    for effect in effects:
        flash = apply(effect, flash)
    return flash


def test_configuration_replaces_the_whole_configuration():
    effects = decide(RULES, FLASH, message("configuration", b'{"c": 3}'))
    assert effects[0] == ApplyConfiguration({"c": 3})
    assert flash_after(effects).configuration == {"c": 3}
    assert body(effects)["success"] is True


@pytest.mark.parametrize(
    ("payload", "configuration"),
    [
        (b"{}", {"a": 1, "b": 2}),
        (b"null", {"a": 1, "b": 2}),
        (b'{"keys": null}', {"a": 1, "b": 2}),
        (b'{"keys": ["b"]}', {"b": 2}),
        (b'{"keys": ["b", "unknown"]}', {"b": 2}),
        (b'{"keys": []}', {}),
    ],
)
def test_send_configuration_reports_all_or_the_keys(payload, configuration):
    effects = decide(RULES, FLASH, message("send_configuration", payload))
    assert body(effects)["success"] is True
    assert body(effects)["configuration"] == configuration
    assert flash_after(effects) == FLASH


def test_reset_restores_the_factory_configuration():
    effects = decide(RULES, FLASH, message("reset"))
    assert effects[0] == RestoreFactory({"sampling_rate": 300})
    assert flash_after(effects).configuration == {"sampling_rate": 300}


def test_reboot_answers_before_it_reboots():
    effects = decide(RULES, FLASH, message("reboot"))
    assert [type(effect) for effect in effects] == [PublishResult, Reboot]
    assert flash_after(effects).is_reboot_due


@pytest.mark.parametrize("command", ["download_firmware", "download_logo"])
def test_download_starts_with_the_url_verbatim_and_owes_its_result(command):
    (start,) = decide(RULES, FLASH, message(command, OFFER))
    assert start == StartDownload(command, "http://127.0.0.1/v2/device/download?key=k%2B1", "2024-01-15T11:00:00Z", "")
    (job,) = apply(start, FLASH).jobs
    assert (job.number, job.url, job.is_started) == (1, start.url, False)


def test_download_without_an_expiry_is_still_tried():
    (start,) = decide(RULES, FLASH, message("download_logo", b'{"url":"https://h/x"}'))
    assert isinstance(start, StartDownload)


REFUSED = [
    ("configuration", b""),
    ("configuration", b"{"),
    ("configuration", b"null"),
    ("configuration", b"[]"),
    ("configuration", b"NaN"),
    ("configuration", b'{"a": Infinity}'),
    ("configuration", b"\xff\xfe"),
    ("configuration", b"[" * 4000),
    ("configuration", b'{"a": "' + b"x" * 4096 + b'"}'),
    ("send_configuration", b'{"keys": "a"}'),
    ("send_configuration", b'{"keys": [1]}'),
    ("send_configuration", b"1"),
    ("download_firmware", b"{}"),
    ("download_firmware", b"null"),
    ("download_firmware", b'{"url": 5}'),
    ("download_firmware", b'{"url": "ftp://h/x"}'),
    ("reboot", b""),
    ("reboot", b"[1]"),
    ("reset", b"x"),
    ("custom", b"{}"),
    ("Reboot", b"{}"),
    ("c" * 70, b"{}"),
]


@pytest.mark.parametrize(("command", "payload"), REFUSED)
def test_refused_commands_change_nothing_and_get_one_failure_result(command, payload):
    effects = decide(RULES, FLASH, message(command, payload))
    assert body(effects)["success"] is False
    assert flash_after(effects) == FLASH


@pytest.mark.parametrize("command", STANDARD_COMMANDS)
def test_retained_commands_are_refused(command):
    effects = decide(RULES, FLASH, message(command, OFFER, retain=True))
    assert body(effects)["success"] is False
    assert flash_after(effects) == FLASH


@pytest.mark.parametrize(
    "stray",
    [
        message("configuration", suffix="/result"),
        message("configuration", device_id="dev-2"),
        Message("dev-1", b"{}"),
        Message("dev-1/control", b"{}"),
        Message("dev-1/control/", b"{}"),
        Message("dev-1/control/configuration/result/more", b"{}"),
    ],
)
def test_what_is_no_command_of_this_device_has_no_effect_and_no_result(stray):
    assert decide(RULES, FLASH, stray) == ()


def test_a_command_that_the_declaration_leaves_out_is_refused():
    rules = replace(RULES, commands=frozenset({"configuration"}))
    assert body(decide(rules, FLASH, message("reboot")))["success"] is False


def busy_flash(jobs):
    flash = FLASH
    for _ in range(jobs):
        flash = apply(StartDownload("download_firmware", "http://h/x", "", ""), flash)
    return flash


def test_a_second_download_waits_its_turn():
    assert [type(effect) for effect in decide(RULES, busy_flash(1), message("download_firmware", OFFER))] == [StartDownload]


def test_downloads_beyond_the_queue_are_refused():
    assert body(decide(RULES, busy_flash(JOBS_MAX), message("download_firmware", OFFER)))["success"] is False


def test_policy_refuse_refuses_a_second_download():
    rules = replace(RULES, when_busy=WhenBusy.REFUSE)
    assert body(decide(rules, busy_flash(1), message("download_firmware", OFFER)))["success"] is False


def test_policy_replace_gives_the_first_download_up():
    rules = replace(RULES, when_busy=WhenBusy.REPLACE)
    effects = decide(rules, busy_flash(1), message("download_firmware", OFFER))
    assert [type(effect) for effect in effects] == [DropDownloads, StartDownload]


@given(st.sampled_from([*STANDARD_COMMANDS, "custom", "x"]), st.binary(max_size=200), st.booleans())
def test_any_payload_gets_at_most_one_result_and_a_download_gets_it_later(command, payload, retain):
    effects = decide(RULES, FLASH, message(command, payload, retain=retain))
    results = sum(isinstance(effect, (PublishResult, StartDownload)) for effect in effects)
    assert results == 1


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=4))
def test_any_object_is_applied_as_it_came(configuration):
    effects = decide(RULES, FLASH, message("configuration", json.dumps(configuration).encode()))
    assert flash_after(effects).configuration == configuration
