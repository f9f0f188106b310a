"""The declaration decides: what is asked of a device, what is not and why, and what it is held to."""

import pytest

from harness.checks.verdict import Verdict
from simulators.device.personalities import PERSONALITIES

pytestmark = pytest.mark.slow


def findings(results):
    allowed = (Verdict.PASS, Verdict.SKIPPED, Verdict.NOT_APPLICABLE)
    return {name: result.detail for name, result in results.items() if result.verdict not in allowed}


def excluded(results):
    return {name: result.detail for name, result in results.items() if result.verdict is Verdict.NOT_APPLICABLE}


def test_device_without_results_is_not_asked_for_what_only_they_could_show(certified):
    results = certified(PERSONALITIES["results-missing"], results="none")
    assert findings(results) == {}
    assert 'results = "none"' in excluded(results)["results_come_once_and_in_time"]
    assert "image_sha256" in excluded(results)["stored_file_is_installed_byte_for_byte"]


def test_device_that_declares_parts_may_ask_for_them(certified):
    assert findings(certified(PERSONALITIES["ranges-undeclared"], download="range", only=["DEV-11", "DEV-12", "DEV-15", "DEV-23"])) == {}


def test_device_that_declares_head_first_may_ask_it(certified):
    assert findings(certified(PERSONALITIES["head-undeclared"], download="head-get", only=["DEV-11", "DEV-12a"])) == {}


def test_profile_qos_1_demands_idempotent_handling(certified):
    results = certified(PERSONALITIES["qos1-only"], qos=1, only=["DEV-02", "DEV-03", "DEV-04", "DEV-08a"])
    assert set(findings(results)) == {"repeated_qos_1_command_has_one_effect"}
    assert excluded(results)["repeated_publish_has_one_effect"] == "[device.declares] qos = 1"


def test_declared_keep_alive_that_the_connect_does_not_say_is_a_fail(certified):
    results = certified(PERSONALITIES["umqtt-like"], keep_alive_s=2, only=["slow_download_keeps_the_connection"])
    assert results["slow_download_keeps_the_connection"].verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)


def test_reset_is_never_sent_where_it_is_not_allowed(certified):
    results = certified(PERSONALITIES["reference"], allow_reset=False, only=["DEV-10", "DEV-24"])
    assert findings(results) == {}
    assert set(excluded(results).values()) == {"[device.declares] allow_reset = false"}


@pytest.mark.requirement("DEV-15")
def test_device_with_a_logo_only_is_asked_about_downloads_as_one_with_a_firmware(certified):
    rows = ["DEV-11", "DEV-12a", "DEV-13", "DEV-14", "DEV-15", "DEV-16", "DEV-17", "DEV-18", "DEV-22", "DEV-23", "DEV-25"]
    commands = ["configuration", "send_configuration", "download_logo"]
    results = certified(PERSONALITIES["reference"], commands=commands, only=rows)
    asked = {row for result in results.values() if result.verdict is Verdict.PASS for row in result.requirements}
    assert asked == set(rows)
