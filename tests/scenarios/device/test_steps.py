"""What the sentences of the device scenarios ask of the bench, operation by operation."""

import json

import pytest

from harness.bench.device_file import Declares, Device, Run
from harness.device_operations import Observe, Store, StoredFile, Tell, Until
from harness.device_scenario import DeviceCast
from harness.history.events import Event, MqttClosed, MqttPacket
from harness.wire.commands import DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO
from scenarios.device.steps import RESTART_S, download

DEV = "dev-1"


def cast(**claims):
    return DeviceCast(Device(vendor="v", model="m", firmware_version="1", declares=Declares(**claims), run=Run(exec="d")), DEV)


def event(fact):
    return Event(1, 0.0, 0.0, "", fact)


def result(command, *, success):
    topic = f"{DEV}/control/{command}/result"
    return event(MqttPacket(1, DEV, "client", "PUBLISH", 10, topic=topic, payload=json.dumps({"success": success})))


def asked_after(steps, outcome):
    """The operation that follows this outcome."""
    return steps.send(outcome)


def told(command, **claims):
    """A download up to the wait for its result."""
    steps = download(cast(**claims), command)
    assert isinstance(next(steps), Store)
    assert isinstance(asked_after(steps, StoredFile("f.bin", 1, "00")), Tell)
    assert isinstance(asked_after(steps, 200), Until)
    return steps


def test_after_an_installed_firmware_a_restart_is_waited_for():
    steps = told(DOWNLOAD_FIRMWARE, connect_s=20, reboot_s=4)
    restart = asked_after(steps, [result(DOWNLOAD_FIRMWARE, success=True)])
    assert (restart.within_s, restart.matches(MqttClosed(1, DEV, "peer"))) == (RESTART_S, True)
    back = asked_after(steps, [event(MqttClosed(1, DEV, "peer"))])
    assert (back.within_s, back.matches(MqttPacket(2, DEV, "server", "SUBACK", 5))) == (24, True)
    assert isinstance(asked_after(steps, []), Observe)


def test_device_that_does_not_restart_is_asked_on():
    steps = told(DOWNLOAD_FIRMWARE)
    asked_after(steps, [result(DOWNLOAD_FIRMWARE, success=True)])
    assert isinstance(asked_after(steps, []), Observe)


@pytest.mark.parametrize(("command", "success"), [(DOWNLOAD_FIRMWARE, False), (DOWNLOAD_LOGO, True)])
def test_nobody_restarts_for_a_failure_or_a_logo(command, success):
    steps = told(command)
    assert isinstance(asked_after(steps, [result(command, success=success)]), Observe)
