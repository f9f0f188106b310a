"""The ledger that a history alone gives: commands over REST, download keys, clean sessions; each history small enough to check by eye."""

import json

import pytest

from harness.clock import ManualClock
from harness.history.events import HttpEnded, HttpRequest, HttpResponse, MqttClosed, MqttPacket
from harness.history.recorder import Recorder
from simulators.fleet.from_history import ledger_from_history

DEVICE = "dev-1"


def ledger_of(*facts):
    recorder = Recorder(ManualClock())
    for fact in facts:
        recorder.record(fact)
    return ledger_from_history(recorder.history(), operator_id="operator")


def command(exchange, name, data, status=200):
    body = json.dumps({"command": name, "data": data})
    request = HttpRequest(exchange, "command", "POST", "http://p/command", "api-key:full", (), body, "p", DEVICE)
    return request, HttpResponse(exchange, status, ())


def delivery(packet_id, name, payload):
    publish = MqttPacket(1, DEVICE, "server", "PUBLISH", 9, packet_id, f"{DEVICE}/control/{name}", json.dumps(payload), 2)
    return publish, *(MqttPacket(1, DEVICE, "client", kind, 4, packet_id) for kind in ("PUBREC", "PUBCOMP"))


def offer(packet_id, key):
    return delivery(packet_id, "download_firmware", {"url": f"http://p/v2/device/download?key={key}"})


def fetch(exchange, key, status, *, received_bytes, complete):
    request = HttpRequest(exchange, "download", "GET", f"http://p/v2/device/download?key={key}", "token:dev-1", (), device_id=DEVICE)
    return request, HttpResponse(exchange, status, ()), HttpEnded(exchange, received_bytes, complete)


def test_a_command_over_rest_and_its_delivery_find_together():
    totals = ledger_of(*command(1, "reboot", {"hil": "a"}), *delivery(7, "reboot", {"hil": "a"})).totals()
    assert (totals.sent, totals.delivered_once) == (1, 1)


def test_the_same_packet_id_after_pubcomp_is_a_second_delivery():
    twice = delivery(7, "reboot", {"hil": "a"})
    assert ledger_of(*command(1, "reboot", {"hil": "a"}), *twice, *twice).totals().duplicated == 1


@pytest.mark.parametrize(
    ("status", "deliveries", "column", "unexpected"),
    [
        (200, 0, "lost", 0),
        (500, 0, "unknown", 0),
        (500, 1, "unknown", 0),  # A server may fail after it has published.
        (500, 2, "unknown", 1),
        (403, 0, "refused", 0),
        (403, 1, "refused", 1),
    ],
)
def test_each_answer_allows_its_deliveries(status, deliveries, column, unexpected):
    arrivals = [fact for _ in range(deliveries) for fact in delivery(7, "reboot", {"hil": "a"})]
    totals = ledger_of(*command(1, "reboot", {"hil": "a"}, status), *arrivals).totals()
    assert (getattr(totals, column), totals.sent, totals.unexpected) == (1, 1, unexpected)


def test_a_command_without_an_answer_is_unknown_and_one_that_nobody_sent_is_unexpected():
    request, _ = command(1, "reboot", {"hil": "a"})
    totals = ledger_of(request, *delivery(7, "reboot", {})).totals()
    assert (totals.unknown, totals.unexpected) == (1, 1)


def test_a_result_before_pubcomp_is_no_second_delivery():
    publish, pubrec, pubcomp = delivery(7, "reboot", {"hil": "a"})
    result = MqttPacket(1, DEVICE, "client", "PUBLISH", 9, 7, f"{DEVICE}/control/reboot/result", '{"hil": "a"}', 2)
    totals = ledger_of(*command(1, "reboot", {"hil": "a"}), publish, pubrec, result, pubcomp).totals()
    assert (totals.delivered_once, totals.unexpected) == (1, 0)


def test_a_download_that_was_refused_takes_no_key_from_the_next():
    first, second = command(1, "download_firmware", {"file_name": "x"}, 404), command(2, "download_firmware", {"file_name": "y"})
    totals = ledger_of(*first, *second, *offer(7, "k")).totals()
    assert (totals.refused, totals.delivered_once, totals.lost, totals.unexpected) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("status", "complete", "column"), [(200, True, "used"), (200, False, "cut"), (401, True, "refused"), (404, True, "refused")]
)
def test_the_end_of_a_download_is_the_end_of_its_key(status, complete, column):
    order = command(1, "download_firmware", {"file_name": "x"})
    keys = ledger_of(*order, *offer(7, "k"), *fetch(2, "k", status, received_bytes=5, complete=complete)).totals().keys
    assert (keys["issued"], keys[column], keys["bytes"]) == (1, 1, 5)
    assert sum(keys[name] for name in ("used", "cut", "refused", "unused")) == 1


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_packet_id_of_a_session_that_is_gone_means_nothing_to_the_next(is_clean):
    """A cut before PUBCOMP, and a server that knows of no session: the same packet id is a new message."""
    connect = MqttPacket(1, DEVICE, "client", "CONNECT", 9, client_id=DEVICE, clean_session=is_clean)
    connack = MqttPacket(1, DEVICE, "server", "CONNACK", 4, session_present=False, return_codes=(0,))
    suback = MqttPacket(1, DEVICE, "server", "SUBACK", 5, 1, return_codes=(2,))
    arrival = (connect, connack, suback)
    commands = [command(number, "reboot", {"hil": str(number)}) for number in (1, 2)]
    first, second = delivery(7, "reboot", {"hil": "1"}), delivery(7, "reboot", {"hil": "2"})
    totals = ledger_of(*arrival, *commands[0], *first[:2], *arrival, *commands[1], *second).totals()
    assert (totals.delivered_once, totals.lost) == (2, 0)


def test_what_was_sent_to_a_clean_session_that_ended_is_not_owed():
    connect = MqttPacket(1, DEVICE, "client", "CONNECT", 9, client_id=DEVICE, clean_session=True)
    suback = MqttPacket(1, DEVICE, "server", "SUBACK", 5, 1, return_codes=(2,))
    gone = MqttClosed(1, DEVICE, "peer")
    totals = ledger_of(connect, suback, *command(1, "reboot", {"hil": "a"}), gone, *command(2, "reboot", {"hil": "b"})).totals()
    assert (totals.not_owed, totals.lost) == (2, 0)
