"""A small run, made by hand: a download that ends early, a duplicate delivery, and one check for every verdict."""

import pytest

from harness.checks.verdict import CheckResult, RunVerdict, Verdict
from harness.history import events as ev
from harness.history.timeline import History
from harness.report.package import report_of

T0 = 1_763_800_000.0
DEVICE = "0b6c1d5e-0000-4000-8000-000000000001"
PROJECT = "7f0c1d5e-0000-4000-8000-000000000002"
TARGET = {
    "name": "staging",
    "api_url": "http://platform.example:8080",
    "devices": [{"id": DEVICE, "project_id": PROJECT, "token": f"<token:{DEVICE}>"}],
}

RESULTS = (
    CheckResult(
        "command_is_accepted", "A command is accepted with 200", ("CMD-01a",), "MUST", Verdict.PASS, "kept 1 of 1 times", "", (4, 5), 0.2
    ),
    CheckResult(
        "delivered_once",
        "A command reaches its device exactly once",
        ("CMD-03",),
        "MUST",
        Verdict.FAIL,
        "2 deliveries for 1 command <script>alert(1)</script>",
        "the broker repeats PUBLISH & keeps no ids",
        (9, 10),
        1.5,
    ),
    CheckResult("error_has_members", "An error body is complete", ("CMD-17b",), "SHOULD", Verdict.WARNING, "`action` is missing", "", (5,)),
    CheckResult("texts_of_the_answer", "The answer's texts", ("CMD-01b",), "READ", Verdict.DEVIATION, "message is 'ok'", "", (5,)),
    CheckResult(
        "offline_gets_nothing", "Offline, clean session", ("CMD-20",), "MUST", Verdict.INCONCLUSIVE, "nothing in this run showed it"
    ),
    CheckResult("key_is_one_time", "A key works once", ("KEY-02",), "MUST", Verdict.ERROR, "scenario reuse: connection refused"),
    CheckResult("scope_is_needed", "Scope", ("CMD-14",), "MUST", Verdict.NOT_APPLICABLE, "[platform.api_keys] has no read_only"),
    CheckResult("key_dies", "A key dies after 30 minutes", ("KEY-01a", "KEY-01b"), "MUST", Verdict.SKIPPED, "only under --profile full"),
)


def timeline():
    """The events as (seconds after the start, scope, fact)."""
    url = "http://platform.example:8080"
    command_url = f"{url}/v2/projects/{PROJECT}/devices/{DEVICE}/communication/command"
    publish = {"topic": f"{DEVICE}/control/reboot", "payload": "{}", "qos": 2, "retain": False, "packet_id": 7}
    delivered = ev.MqttDelivered(1, DEVICE, f"{DEVICE}/control/reboot", "{}", 2, False, False, 7)
    start = ev.RunStarted(
        ev.SCHEMA, "run-1", "0.1.0", "hil certify platform --target t.toml", 42, "quick", "platform", "staging", "should", TARGET, {}, ()
    )
    json_header = (("Content-Type", "application/json"),)
    download_headers = (("Content-Length", "5000"), ("Content-Type", "application/octet-stream"))
    return [
        (0.0, "", start),
        (0.1, "reboot", ev.ScenarioStarted("reboot", "platform", ("delivered_once",), {"device": DEVICE})),
        (0.2, "reboot", ev.MqttOpened(1, DEVICE)),
        (1.0, "reboot", ev.HttpRequest(1, "command", "POST", command_url, "api-key:full", json_header, '{"command":"reboot","data":{}}')),
        (1.1, "reboot", ev.HttpResponse(1, 200, json_header)),
        (1.1, "reboot", ev.HttpEnded(1, 16, True, "", '{"success":true}')),
        (1.2, "reboot", ev.MqttPacket(1, DEVICE, "server", "PUBLISH", 50, **publish, dup=False)),
        (1.3, "reboot", ev.FaultInjected("cut after PUBLISH", DEVICE, "packet 7")),
        (1.4, "reboot", delivered),
        (1.5, "reboot", delivered),
        (1.6, "reboot", ev.MqttPacket(1, DEVICE, "client", "PUBREC", 4, packet_id=7)),
        (
            2.0,
            "reboot",
            ev.HttpRequest(
                2, "download", "GET", f"{url}/v2/device/download?key=<key:1>", "token:" + DEVICE, (("Authorization", "Basic <token>"),)
            ),
        ),
        (2.1, "reboot", ev.HttpResponse(2, 200, download_headers)),
        (2.5, "reboot", ev.HttpProgress(2, 2500)),
        (3.0, "reboot", ev.HttpEnded(2, 4000, False, "", "", "connection reset", "peer")),
        (3.1, "reboot", ev.SerialLine(DEVICE, "board", "Booting v1.0 \x1b[0m")),
        (3.2, "reboot", ev.MqttClosed(1, DEVICE, "peer", "reset")),
        (3.3, "reboot", ev.ScenarioEnded("reboot")),
        (3.4, "", ev.RunEnded()),
    ]


@pytest.fixture
def history():
    placed = enumerate(timeline(), 1)
    return History(tuple(ev.Event(line, 100 + at, T0 + at, scope, fact) for line, (at, scope, fact) in placed))


@pytest.fixture
def results():
    return RESULTS


@pytest.fixture
def report(history):
    return report_of(history, RESULTS, RunVerdict.FAIL, environment={"python": "CPython 3.11"})


@pytest.fixture(autouse=True)
def no_keys_of_the_user(monkeypatch, tmp_path_factory):
    """Keys are made in a directory of the test's own."""
    directory = tmp_path_factory.mktemp("configuration")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory))
    return directory / "hil"
