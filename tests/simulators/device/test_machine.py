"""The device as a whole, without input and output: its logins, its reboots, its downloads one after the other."""

from dataclasses import replace

import pytest

from harness.mqtt.packets import Connack, Pubcomp, Publish, Pubrec, Pubrel, Subscribe
from simulators.device.downloader import Begin, Body, BodyEnd, Failed, Request, Response
from simulators.device.flash import Flash, MemoryStorage
from simulators.device.machine import BeginDownload, DeviceMachine, ExpectReboot, Restart, boot
from simulators.device.personality import REFERENCE
from simulators.device.settings import DeviceSettings

SETTINGS = DeviceSettings.reference(device_id="dev-1", token="token", mqtt_url="mqtt://127.0.0.1")


def machine_with(flash=None, settings=SETTINGS, personality=REFERENCE):
    storage = MemoryStorage()
    if flash is not None:
        storage.save(flash)
    return DeviceMachine(settings, boot(storage.load(), settings, personality, storage.sha256), personality)


def logged_in(machine, *, session_present=False):
    machine.connect()
    return machine.received(Connack(session_present, 0))


def test_a_device_fresh_from_the_factory_has_the_factory_configuration():
    assert machine_with().flash.configuration == {"sampling_rate": 300}


def test_connect_carries_id_token_and_a_persistent_session():
    connect = machine_with().connect()
    assert (connect.client_id, connect.username, connect.password, connect.clean_session) == ("dev-1", "dev-1", b"token", False)


def test_a_new_session_subscribes_with_qos_2():
    (subscribe,) = logged_in(machine_with()).send
    assert subscribe.filters == (("dev-1/control/+", 2),)


def test_a_resumed_session_that_is_subscribed_does_not_subscribe_again():
    assert logged_in(machine_with(Flash(is_subscribed=True)), session_present=True).send == []


def test_a_resumed_session_whose_subscription_was_never_confirmed_subscribes():
    assert [type(packet) for packet in logged_in(machine_with(Flash()), session_present=True).send] == [Subscribe]


def test_a_session_that_the_server_lost_is_subscribed_anew():
    assert [type(packet) for packet in logged_in(machine_with(Flash(is_subscribed=True))).send] == [Subscribe]


def test_a_result_that_a_lost_session_took_along_is_sent_again():
    machine = machine_with()
    logged_in(machine)
    machine.received(Publish("dev-1/control/configuration", b"{}", 2, packet_id=7))
    machine.connection_lost()
    results = [packet for packet in logged_in(machine).send if isinstance(packet, Publish)]
    assert [packet.topic for packet in results] == ["dev-1/control/configuration/result"]


def test_a_repeated_publish_gets_its_pubrec_and_nothing_else():
    machine = machine_with()
    logged_in(machine)
    publish = Publish("dev-1/control/configuration", b"{}", 2, packet_id=7)
    machine.received(publish)
    assert machine.received(replace(publish, dup=True)).send == [Pubrec(7)]


def test_reboot_waits_for_its_exchanges():
    machine = machine_with()
    logged_in(machine)
    first = machine.received(Publish("dev-1/control/reboot", b"{}", 2, packet_id=7))
    result = next(packet for packet in first.send if isinstance(packet, Publish))
    assert [type(action) for action in first.actions] == [ExpectReboot]
    assert machine.received(Pubrel(7)).actions == []
    machine.received(Pubrec(result.packet_id))
    assert machine.received(Pubcomp(result.packet_id)).actions == [Restart()]


def test_reboot_happens_after_the_grace_where_the_exchanges_do_not_end():
    assert machine_with().grace_over().actions == [Restart()]


def test_a_boot_is_the_reboot_that_was_due():
    assert machine_with(Flash(is_reboot_due=True)).flash.is_reboot_due is False


@pytest.mark.parametrize("events", [[], [Begin()], [Begin(), Response(200, {"content-length": "3"}), Body(b"ab")]])
def test_a_download_that_power_cut_off_fails_once_and_is_not_asked_again(events):
    machine = machine_with()
    logged_in(machine)
    machine.received(Publish("dev-1/control/download_logo", b'{"url":"http://h/x"}', 2, packet_id=7))
    for event in events:
        machine.downloading(1, event)
    second = machine_with(machine.flash)
    step = second.power_on()
    assert step.actions == []
    (result,) = step.save.session.outgoing
    assert b'"success":false' in result.payload


def test_downloads_run_one_after_the_other_and_the_last_one_stays():
    machine = machine_with()
    logged_in(machine)
    started = []
    for packet_id in (7, 8):
        step = machine.received(Publish("dev-1/control/download_firmware", b'{"url":"http://h/x"}', 2, packet_id=packet_id))
        started += [action for action in step.actions if isinstance(action, BeginDownload)]
    assert [action.number for action in started] == [1]
    for number, content in ((1, b"old"), (2, b"new!")):
        for event in (Begin(), Response(200, {"content-length": str(len(content))}), Body(content), BodyEnd()):
            step = machine.downloading(number, event)
    assert step.save.firmware.current.size_bytes == 4
    assert len(step.save.session.outgoing) == 2


def test_an_event_of_a_download_that_is_over_is_ignored():
    assert machine_with().downloading(1, Failed("late")).actions == []


def test_the_first_request_leaves_after_the_job_was_saved_as_started():
    machine = machine_with()
    logged_in(machine)
    step = machine.received(Publish("dev-1/control/download_logo", b'{"url":"http://h/x"}', 2, packet_id=7))
    assert [job.is_started for job in step.save.jobs] == [True]
    assert not any(isinstance(action, Request) for action in step.actions)
