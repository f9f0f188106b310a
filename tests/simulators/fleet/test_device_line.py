"""One device of a fleet, driven by hand: what it does about the packets of one read."""

from dataclasses import dataclass, field, replace

import pytest

from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Pingresp, Puback, Publish, Suback
from simulators.device.personality import REFERENCE
from simulators.device.settings import FACTORY_CONFIGURATION, DeviceSettings
from simulators.fleet.behaviour import STEADY
from simulators.fleet.device_line import DeviceLine

REBOOT = Publish("dev-1/control/reboot", b"{}")
CONFIGURATION = Publish("dev-1/control/configuration", b'{"a": 1}')


@dataclass
class Transport:
    """Keeps what was written, and how it was ended."""

    written: bytes = b""
    ended: list = field(default_factory=list)

    def write(self, data):
        self.written += data

    def close(self):
        self.ended.append("close")

    def abort(self):
        self.ended.append("abort")


class Surroundings:
    """A fleet that notes what its device asks for."""

    def __init__(self):
        self.crashes, self.cancelled = [], []

    def now_s(self):
        return 0.0

    def crashed(self, line, error):
        self.crashes.append(error)

    def cancel(self, line, number):
        self.cancelled.append(number)

    def __getattr__(self, name):
        return lambda *arguments, **options: None


@pytest.fixture
def fleet():
    return Surroundings()


@pytest.fixture
def line(fleet):
    """A device that is connected and subscribed."""
    made = connecting(fleet)
    say(made, Connack(False, 0))
    say(made, Suback(1, (2,)))
    return made


def connecting(fleet):
    """A device whose CONNECT has left. Its results are of QoS 1, as in every fleet."""
    settings = replace(DeviceSettings.reference(device_id="dev-1", token="t", mqtt_url="mqtt://h"), result_qos=1)
    made = DeviceLine(fleet, settings, STEADY, REFERENCE)
    made.connection_made(Transport())
    return made


def say(line, *packets):
    line.data_received(b"".join(map(encode, packets)))


def last_said(line):
    return Decoder().feed(line._transport.written)[-1]


def test_what_stands_behind_the_end_of_a_life_is_left_to_the_next_one(line, fleet):
    say(line, REBOOT)
    say(line, Puback(last_said(line).packet_id), CONFIGURATION)
    assert fleet.crashes == []
    assert line.machine.flash.configuration == FACTORY_CONFIGURATION


@pytest.mark.parametrize("answers", [(Connack(False, 0), Connack(False, 0)), (Connack(False, 5),)])
def test_what_stands_behind_the_reason_to_hang_up_is_not_executed(fleet, answers):
    line = connecting(fleet)
    transport = line._transport
    say(line, *answers, CONFIGURATION)
    assert fleet.crashes == []
    assert transport.ended == ["abort"]
    assert line.machine.flash.configuration == FACTORY_CONFIGURATION


def test_bytes_that_are_no_mqtt_end_the_connection_though_a_packet_stands_before_them(line):
    transport = line._transport
    line.data_received(encode(CONFIGURATION) + b"\xf0\x00")
    assert transport.ended == ["abort"]


def test_pings_that_are_answered_keep_the_connection(line):
    for _ in range(5):
        line.keep_alive()
        say(line, Pingresp())
    assert line._transport.ended == []


def test_a_reboot_ends_the_download_that_runs(line, fleet):
    say(line, Publish("dev-1/control/download_firmware", b'{"url": "http://h/f?key=k", "expires_at": ""}'))
    say(line, REBOOT)
    line.grace_over()
    assert fleet.cancelled == [1]
