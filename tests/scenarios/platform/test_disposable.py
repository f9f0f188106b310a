"""A device that the target file calls not disposable is never rebooted or reset, whatever is asked of the platform."""

import pytest

from harness.history.events import HttpRequest
from simulators.platform.personalities import REFERENCE


def commands_that_name(history, *names):
    """The calls of the command endpoint whose body holds one of these words, well-formed or not."""
    asked = [seen.fact for seen in history.of(HttpRequest) if seen.fact.endpoint == "command"]
    return [request.body for request in asked if any(name in request.body for name in names)]


@pytest.mark.slow
def test_no_scenario_reboots_or_resets_a_device_that_is_not_disposable(certify):
    outcome = certify(REFERENCE, device_changes={"disposable": False})
    assert commands_that_name(outcome.history, "reboot", "reset") == []


@pytest.mark.slow
def test_a_disposable_device_is_rebooted(certify):
    outcome = certify(REFERENCE, rows=("CMD-01",))
    assert commands_that_name(outcome.history, "reboot") != []
