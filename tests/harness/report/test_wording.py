"""Every kind of fact has one line of words and a lane."""

import pytest

from harness.history import events as ev
from harness.report.wording import Lane, lane_of, words

PROMISES = tuple(ev.BrokerPromise(name, "A title", ("BRK-01",), "MUST", name, "") for name in ("pass", "fail"))

FACTS = [
    (ev.BrokerChecked("embedded", PROMISES), "broker embedded checked: 1 of 2 promises kept"),
    (ev.RunEnded(True), "run ends, aborted"),
    (ev.ScenarioEnded("x", "the relay is gone"), "scenario x ends: the relay is gone"),
    (ev.Stimulus("restart", {"after_s": 1}), "stimulus restart: after_s 1"),
    (
        ev.HttpRequest(1, "download", "GET", "http://h:1/v2/device/download?key=<key:1>", "none", ()),
        "→ GET /v2/device/download?key=<key:1> as none",
    ),
    (ev.HttpRequest(1, "download", "GET", "http://[h/v2", "none", ()), "→ GET /v2 as none"),
    (ev.HttpResponse(1, 404, ()), "← 404"),
    (ev.HttpProgress(1, 12_345), "… 12,345 bytes"),
    (ev.HttpEnded(1, 10, False, problem="reset", closed_by="peer"), "■ body cut off, 10 bytes, closed by peer: reset"),
    (ev.MqttOpened(3, "d"), "connection 3 opens"),
    (
        ev.MqttPacket(1, "d", "server", "PUBLISH", 9, packet_id=7, topic="d/control/x", payload="{}", qos=2, dup=True, retain=False),
        "← PUBLISH id 7 QoS 2 DUP d/control/x {}",
    ),
    (ev.MqttPacket(1, "d", "client", "SUBSCRIBE", 9, packet_id=1, filters=(("d/#", 2),)), "→ SUBSCRIBE id 1 filters d/# (QoS 2)"),
    (
        ev.MqttPacket(1, "d", "client", "CONNECT", 9, client_id="d", clean_session=False, keep_alive_s=30),
        "→ CONNECT client d clean session 0 keep-alive 30 s",
    ),
    (ev.MqttPacket(1, "d", "server", "CONNACK", 4, session_present=True, return_codes=(0,)), "← CONNACK session present 1 codes 0"),
    (ev.MqttDelivered(1, "d", "d/control/x", "{}", 2, True, False), "★ delivered d/control/x {} QoS 2 RETAIN"),
    (ev.MqttMalformed(1, "d", "reserved bits", "MQTT-3.6.1-1", "x"), "⚠ no MQTT: reserved bits [MQTT-3.6.1-1]"),
    (ev.MqttClosed(1, "d", "fault", "cut"), "connection 1 closed by fault: cut"),
    (ev.FaultInjected("cut", "d", "byte 4711"), "fault: cut (byte 4711)"),
    (ev.ClockAdvanced(1800, "2026-01-01T00:00:00Z"), "test clock moved by 1800 s, now 2026-01-01T00:00:00Z"),
    (ev.HookRun("restart", "sh", 0, ""), "hook restart ended with 0"),
    (ev.DeviceStarted("d", 2), "device started, boot 2"),
    (ev.DeviceExited("d", 0, False), "device exited with status 0"),
    (ev.DeviceExited("d", 0, True), "device stopped by us"),
    (ev.SerialLine("d", "board", "Booting\x1b[0m"), "← Booting·[0m"),
    (ev.Observed("d", "image_sha256", "ab"), "observed image_sha256 = ab"),
    (ev.SecretSeen("<key:1>", "download key", 32, "base64url", 192.0), "secret seen: label=<key:1>, what=download key"),
]


@pytest.mark.parametrize(("fact", "text"), FACTS, ids=[f"{number}-{type(fact).__name__}" for number, (fact, _) in enumerate(FACTS)])
def test_a_fact_reads_as_one_line(fact, text):
    assert words(fact).startswith(text)
    assert "\n" not in words(fact)


def test_a_long_payload_is_cut():
    assert len(words(ev.MqttDelivered(1, "d", "t", "x" * 10_000, 2, False, False))) < 250


@pytest.mark.parametrize(
    ("fact", "lane"),
    [
        (ev.HttpResponse(1, 200, ()), Lane.REST),
        (ev.HttpResponse(2, 200, ()), Lane.HTTP),
        (ev.MqttOpened(1, "d"), Lane.MQTT),
        (ev.SerialLine("d", "us", "?"), Lane.SERIAL),
        (ev.FaultInjected("cut", "d", ""), Lane.BENCH),
    ],
)
def test_a_fact_has_its_lane(fact, lane):
    assert lane_of(fact, frozenset({1})) is lane
