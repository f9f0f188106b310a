"""Lines of a timeline: from the audit trail, from packets, from a download's progress; none for devices that nobody watches."""

import json

import pytest

from harness.clock import ManualClock
from harness.mqtt.packets import Connect, Publish, Pubrec
from simulators.broker.port import Direction
from simulators.platform.portal.timeline import WATCHER_LINES_MAX, Timeline, line_of, packet_line, result_line
from simulators.platform.store import AuditEntry

AT = "2023-11-14T22:13:20.000Z"


def drained(watcher):
    return [watcher.lines.get_nowait() for _ in range(watcher.lines.qsize())]


def test_only_the_watched_device_is_told_of():
    timeline = Timeline(ManualClock())
    with timeline.watch("d1") as watcher:
        for device in ("d1", "d2"):
            timeline.packet(1, device, Direction.FROM_CLIENT, Pubrec(7), 4)
            timeline.audited(AuditEntry(1, 0.0, "key used", device, "", {"key": 3}))
            timeline.progressed(device, 3, 50, 100)
        assert [(line.lane, line.text) for line in drained(watcher)] == [
            ("mqtt", "← PUBREC 7"),
            ("download", "key used"),
            ("download", "50 of 100 bytes"),
        ]
    timeline.packet(1, "d1", Direction.FROM_CLIENT, Pubrec(7), 4)
    assert drained(watcher) == []


def test_a_watcher_that_does_not_read_is_let_go():
    timeline = Timeline(ManualClock())
    with timeline.watch("d") as watcher:
        for number in range(WATCHER_LINES_MAX + 100):
            timeline.packet(1, "d", Direction.TO_CLIENT, Pubrec(number % 65_535 + 1), 4)
        *lines, end = drained(watcher)
    assert len(lines) == WATCHER_LINES_MAX
    assert end is None


def test_progress_is_told_in_steps_and_at_the_end():
    timeline = Timeline(ManualClock())
    with timeline.watch("d") as watcher:
        for sent in range(0, 10_001, 10):
            timeline.progressed("d", 1, sent, 10_000)
        shares = [line.progress for line in drained(watcher)]
    assert shares[-1] == 1.0
    assert len(shares) <= 51


def test_the_next_download_with_a_key_is_told_from_its_beginning_though_the_last_was_cut():
    timeline = Timeline(ManualClock())
    with timeline.watch("d") as watcher:
        timeline.progressed("d", 1, 80, 100)
        timeline.audited(AuditEntry(1, 0.0, "download ended", "d", "", {"key": 1, "complete": False}))
        timeline.progressed("d", 1, 10, 100)
        assert [line.progress for line in drained(watcher) if line.text.endswith("bytes")] == [0.8, 0.1]


def test_secrets_do_not_stand_in_lines():
    connect = packet_line(AT, Direction.FROM_CLIENT, Connect("d", username="d", password=b"t0ken"), 30)
    offer = Publish("d/control/download_firmware", b'{"url":"http://x/v2/device/download?key=s3cret","expires_at":"z"}', 2, False, False, 1)
    line = packet_line(AT, Direction.TO_CLIENT, offer, 100)
    assert "t0ken" not in connect.json()
    assert "s3cret" not in line.json()
    assert '?key=…","expires_at":"z"}' in line.detail


@pytest.mark.parametrize(
    ("topic", "payload", "text", "outcome"),
    [
        ("d/control/download_firmware/result", b'{"success":true}', "download_firmware: installed", "good"),
        ("d/control/reboot/result", b'{"success":true}', "reboot: done", "good"),
        ("d/control/reboot/result", b'{"success":false}', "reboot: failed", "bad"),
        ("d/control/reboot/result", b"\xff", "reboot: a result that is no JSON object", "bad"),
        ("d/control/reboot/result", b"[" * 100_000, "reboot: a result that is no JSON object", "bad"),
    ],
)
def test_results(topic, payload, text, outcome):
    line = result_line(AT, Publish(topic, payload, 1, False, False, 1))
    assert (line.text, line.outcome) == (text, outcome)


def test_a_message_that_is_no_result_makes_no_result_line():
    assert result_line(AT, Publish("d", b"{}", 0, False, False, None)) is None


def test_a_refusal_in_the_trail_is_shown_as_bad():
    line = line_of(AuditEntry(1, 0.0, "command refused", "d", "", {"status": 403, "code": "command_not_allowed"}))
    assert (line.outcome, json.loads(line.json())["lane"]) == ("bad", "command")
