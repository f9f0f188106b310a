"""A finding's script: the steps that its evidence names, with what made them possible, and no secret."""

import subprocess
from dataclasses import replace

import pytest

from harness.checks.verdict import CheckResult, Verdict
from harness.history import events as ev
from harness.history.timeline import History
from harness.report.findings import finding_of
from harness.report.recipe import Ask, HangUp, Listen, MoveClock, Run, Say, recipe
from harness.report.shell_script import shell_script

DEVICE, OTHER = "dev-1", "dev-2"
API = "http://platform.example:8080"
TARGET = {
    "api_url": API,
    "mqtt_url": "mqtts://broker.example",
    "tls": {"ca": "/etc/ca of ours.pem", "insecure": False},
    "http": {"headers": {}, "proxy": "http://proxy.example:3128"},
    "clock": {"advance_url": API + "/advance"},
}
START = ev.RunStarted(ev.SCHEMA, "run-1", "1", "hil", 1, "quick", "platform", "staging", "should", TARGET, {}, ())
TRACE = ("traceparent", "00-1-1-01")


def command(exchange, name="download_firmware", body=None, device=DEVICE):
    url = f"{API}/v2/projects/p/devices/{device}/communication/command"
    headers = (TRACE, ("Authorization", "Bearer <api-key:full>"), ("Content-Type", "application/json"))
    body = f'{{"command": "{name}", "data": {{"it": "isn\'t"}}}}' if body is None else body
    return ev.HttpRequest(exchange, "command", "POST", url, "api-key:full", headers, body, "p", device)


def fetch(exchange, key="<key:7>", authorization=f"Basic <token:{DEVICE}>", credential=f"token:{DEVICE}", method="GET"):
    url = f"{API}/v2/device/download?key={key}"
    return ev.HttpRequest(exchange, "download", method, url, credential, (TRACE, ("Authorization", authorization)), device_id=DEVICE)


def answered(exchange, status=200, **ended):
    return [ev.HttpResponse(exchange, status, ()), ev.HttpEnded(exchange, 10, True, **ended)]


def connects(connection, device=DEVICE, *, clean=True):
    login = {"client_id": device, "username": device, "password": f"<token:{device}>", "clean_session": clean}
    return [
        ev.MqttOpened(connection, device),
        ev.MqttPacket(connection, device, "client", "CONNECT", 50, **login),
        ev.MqttPacket(connection, device, "client", "SUBSCRIBE", 30, packet_id=1, filters=((f"{device}/control/+", 2),)),
    ]


def delivered(connection, key="<key:7>", device=DEVICE):
    payload = f'{{"url":"{API}/v2/device/download?key={key}"}}'
    return ev.MqttDelivered(connection, device, f"{device}/control/download_firmware", payload, 2, False, False)


def story(*facts, scope="asking"):
    """A history of one platform scenario. Steps of the clock belong to another."""
    started = ev.ScenarioStarted(scope, "platform", ("a_check",), {})
    told = [(START, ""), (started, scope), *((fact, "elsewhere" if isinstance(fact, ev.ClockAdvanced) else scope) for fact in facts)]
    return History(tuple(ev.Event(line, float(line), float(line), where, fact) for line, (fact, where) in enumerate(told, 1)))


def found(history, *fact_types, detail="401 was wanted"):
    """A finding whose evidence is all events of these types."""
    lines = tuple(event.line for event in history.events if isinstance(event.fact, fact_types))
    return CheckResult("a_check", "A title", ("KEY-02",), "MUST", Verdict.FAIL, detail, "a cause", lines, 0.0, lines)


USED_TWICE = story(
    *connects(1),
    command(2),
    delivered(1),
    *answered(2),
    fetch(3),
    *answered(3),
    ev.ClockAdvanced(60.0, "now"),
    fetch(4),
    *answered(4),
)


def test_a_download_needs_its_command_and_the_device_that_hears_it():
    downloads = [event.line for event in USED_TWICE.events if isinstance(event.fact, ev.HttpRequest) and event.fact.endpoint == "download"]
    steps = recipe(USED_TWICE, downloads)
    assert [type(step) for step in steps] == [Listen, Ask, Ask, MoveClock, Ask]
    assert [step.keys for step in steps if isinstance(step, Ask)] == [("<key:7>",), (), ()]


def test_a_message_needs_its_command():
    steps = recipe(USED_TWICE, [event.line for event in USED_TWICE.events if isinstance(event.fact, ev.MqttDelivered)])
    assert [type(step) for step in steps] == [Listen, Ask]


def test_a_kept_session_is_left_and_taken_up_again():
    history = story(*connects(1, clean=False), ev.MqttClosed(1, DEVICE, "us", "cut"), command(2), *answered(2), *connects(3, clean=False))
    steps = recipe(history, [event.line for event in history.events if isinstance(event.fact, ev.HttpRequest)])
    assert [type(step) for step in steps] == [Listen, HangUp, Ask]
    assert steps[1].abruptly


def test_what_a_device_published_is_published_again_and_it_does_not_listen_meanwhile():
    spoken = ev.MqttPacket(1, DEVICE, "client", "PUBLISH", 9, topic=f"{OTHER}/x", payload="hi", qos=1)
    history = story(*connects(1), *connects(2, OTHER), spoken, ev.MqttDelivered(2, OTHER, f"{OTHER}/x", "hi", 1, False, False))
    steps = recipe(history, [len(history.events) - 1, len(history.events)])
    assert [(type(step), step.device_id) for step in steps] == [(Listen, OTHER), (Say, DEVICE)]


def test_a_hook_is_part_of_what_happened():
    history = story(*connects(1), ev.HookRun("upload_file", "upload 'a b'", 0, ""), command(2), *answered(2))
    assert Run(6, "upload 'a b'") in recipe(history, [7])


def test_what_a_hook_changed_before_is_changed_again_and_undone_behind():
    stop, start = ev.HookRun("stop_broker", "stop", 0, ""), ev.HookRun("start_broker", "start", 0, "")
    steps = recipe(story(stop, command(2), *answered(2), start), [4])
    assert [type(step) for step in steps] == [Run, Ask, Run]


def test_a_refused_key_comes_with_what_was_offered_to_its_device_meanwhile():
    later = [command(5), delivered(1, "<key:8>"), *answered(5)]
    history = story(*connects(1), command(2), delivered(1), *answered(2), *later, fetch(3), *answered(3, 401))
    asks = [step for step in recipe(history, [len(history.events)]) if isinstance(step, Ask)]
    assert [step.keys for step in asks] == [("<key:7>",), ("<key:8>",), ()]


def test_who_gave_no_name_gives_none_again():
    opened, connect, subscribe = connects(1)
    history = story(opened, replace(connect, username=None, password=None), subscribe)
    (listen,) = recipe(history, [4])
    assert (listen.client_id, listen.username, listen.password) == (DEVICE, "", "")


def test_what_a_device_scenario_showed_has_no_recipe():
    events = tuple(
        replace(event, fact=replace(event.fact, subject="device")) if isinstance(event.fact, ev.ScenarioStarted) else event
        for event in USED_TWICE.events
    )
    assert recipe(History(events), [6]) == ()
    assert shell_script(found(History(events), ev.HttpRequest), History(events)) is None


def test_no_evidence_has_no_recipe():
    assert recipe(USED_TWICE, ()) == ()


@pytest.fixture
def script():
    return shell_script(found(USED_TWICE, ev.HttpRequest), USED_TWICE)


def test_a_script_is_one_for_bash(script):
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_a_script_says_what_it_shows_and_where_it_stands(script):
    for words in ("# a_check: A title", "# fail: 401 was wanted", "# KEY-02 MUST, source D: ", "# likely cause: a cause"):
        assert words in script


def test_a_body_comes_out_of_the_shell_as_it_was(script):
    (call,) = [line for line in script.splitlines() if line.startswith("call -X POST")]
    printed = subprocess.run(
        ["bash", "-c", f"call() {{ printf '%s\\n' \"$@\"; }}; API_URL=u API_KEY_FULL=k\n{call}"], capture_output=True, text=True
    )
    assert '{"command": "download_firmware", "data": {"it": "isn\'t"}}' in printed.stdout.splitlines()


def test_secrets_are_variables_to_be_filled_in(script):
    assert "TOKEN_1=${TOKEN_1:?the token of device dev-1}" in script
    assert "API_KEY_FULL=${API_KEY_FULL:?[platform.api_keys] full}" in script
    assert "<token" not in script.partition("say ")[0]
    assert "-H 'Authorization: Basic '\"${TOKEN_1}\"" in script


def test_the_key_is_taken_from_the_message_and_used(script):
    assert script.count('download?key=\'"${KEY_7}"') == 2
    assert "next_key 1; KEY_7=$KEY" in script


def test_the_target_files_tls_and_proxy_are_used(script):
    assert "CURL=(--max-time 1000 --cacert '/etc/ca of ours.pem' --proxy http://proxy.example:3128)" in script
    assert "MQTT=(--cafile '/etc/ca of ours.pem')" in script
    assert "MQTT_PORT=${MQTT_PORT:-8883}" in script


def test_our_trace_is_not_repeated(script):
    assert "traceparent" not in script


def test_requests_that_were_under_way_together_are_sent_together():
    history = story(*connects(1), command(2), delivered(1), *answered(2), fetch(3), fetch(4), *answered(3), *answered(4))
    script = shell_script(found(history, ev.HttpRequest, ev.HttpEnded), history)
    assert "say '2 requests side by side'" in script
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("beginning", "user"),
    [("", "''"), ("On", ":"), ("ZGV2LTE6", "dev-1:"), ("c29tZW9uZTo6", "''")],
)
def test_a_token_in_base64_is_written_in_base64_again(beginning, user):
    history = story(fetch(2, authorization=f"Basic {beginning}<token:{DEVICE}>", credential=f"base64-token:{DEVICE}"), *answered(2))
    script = shell_script(found(history, ev.HttpRequest), history)
    assert f'"Authorization: Basic $(printf %s {user}"${{TOKEN_1}}" | base64 -w 0)"' in script


@pytest.mark.parametrize(("key", "written"), [("<key:7-cut>", "${KEY_7%?}"), ("<key:7-case-changed>", "tr 'A-Za-z' 'a-zA-Z'")])
def test_a_key_that_was_cut_or_changed_is_so_again(key, written):
    history = story(*connects(1), command(2), delivered(1), *answered(2), fetch(3, key), *answered(3))
    assert written in shell_script(found(history, ev.HttpRequest), history)


def test_a_body_that_is_no_text_is_sent_byte_for_byte():
    history = story(command(2, body="base64:/wA="), *answered(2))
    script = shell_script(found(history, ev.HttpRequest), history)
    assert "echo /wA= | base64 -d | call -X POST" in script
    assert "--data-binary @-" in script


def test_a_transfer_that_we_broke_off_is_broken_off():
    history = story(fetch(2), ev.HttpResponse(2, 200, ()), ev.HttpEnded(2, 4711, False, problem="aborted by us", closed_by="us"))
    assert "ABORT_AFTER=4711 call -X GET" in shell_script(found(history, ev.HttpRequest), history)


def test_a_message_that_its_device_s_command_does_not_explain_comes_with_the_commands_to_others():
    def heard(payload):
        asked = [command(2, "configuration", device=DEVICE), *answered(2), command(3, "configuration", device=OTHER), *answered(3)]
        message = ev.MqttDelivered(1, DEVICE, f"{DEVICE}/control/configuration", payload, 2, False, False)
        history = story(*connects(1), *asked, message)
        return [step.exchange.request.device_id for step in recipe(history, [len(history.events)]) if isinstance(step, Ask)]

    assert heard('{"it":"isn\'t"}') == [DEVICE]
    assert heard('{"from":"next door"}') == [DEVICE, OTHER]


def test_a_clock_that_moved_during_a_transfer_moves_during_it():
    history = story(fetch(2), ev.HttpResponse(2, 200, ()), ev.ClockAdvanced(600.0, "now"), ev.HttpEnded(2, 400_000, False))
    script = shell_script(found(history, ev.HttpRequest), history)
    called, moved, waited = (
        script.index(text) for text in ("BYTES_PER_S=100000", "the test clock is moved by 600 s", 'wait "${CALLS[@]}"')
    )
    assert called < moved < waited


def test_a_slow_transfer_is_read_slowly():
    history = story(fetch(2), ev.HttpResponse(2, 200, ()), *[ev.HttpProgress(2, 1)] * 9, ev.HttpEnded(2, 1_000_000, True))
    assert "BYTES_PER_S=100000" in shell_script(found(history, ev.HttpRequest), history)


def test_a_websocket_broker_asks_for_a_listener_that_mosquitto_sub_speaks_to():
    target = TARGET | {"mqtt_url": "wss://broker.example/mqtt"}
    events = (replace(USED_TWICE.events[0], fact=replace(START, target=target)), *USED_TWICE.events[1:])
    assert "name a listener for MQTT over TCP here" in shell_script(found(USED_TWICE, ev.HttpRequest), History(events))


def test_of_a_device_the_platform_s_part_was_sent_and_the_device_s_came_back():
    started = ev.ScenarioStarted("asking", "device", ("a_check",), {})
    command = ev.MqttPacket(1, DEVICE, "server", "PUBLISH", 9, packet_id=7, topic=f"{DEVICE}/control/reboot", payload="{}", qos=2)
    told = [START, started, command, ev.MqttPacket(1, DEVICE, "client", "PUBREC", 4, packet_id=7), fetch(2), *answered(2, 401)]
    history = History(tuple(ev.Event(line, float(line), float(line), "asking", fact) for line, fact in enumerate(told, 1)))
    finding = finding_of(found(history, ev.MqttPacket, ev.HttpRequest, ev.HttpResponse), history)
    assert finding.sent == (f"← PUBLISH id 7 QoS 2 {DEVICE}/control/reboot {{}}", "← 401")
    assert finding.came_back == ("→ PUBREC id 7", f"→ GET /v2/device/download?key=<key:7> as token:{DEVICE}")


def test_a_finding_tells_what_was_sent_and_what_came_back():
    finding = finding_of(found(USED_TWICE, ev.HttpRequest, ev.HttpResponse), USED_TWICE)
    assert finding.sent[1] == f"→ GET /v2/device/download?key=<key:7> as token:{DEVICE}"
    assert finding.came_back == ("← 200",) * 3
    assert finding.requirements[0].statement.startswith("one-time")
    assert (finding.requirements[0].source_titles, finding.script) == (("Download device file",), "reproduce/a_check.sh")
