"""A recorded run is asked by kind, scenario, exchange and delivery."""

import pytest

from harness.clock import ManualClock
from harness.errors import JournalError
from harness.history.events import (
    ClockAdvanced,
    HttpEnded,
    HttpRequest,
    HttpResponse,
    MqttDelivered,
    MqttPacket,
    RunEnded,
    Stimulus,
)
from harness.history.recorder import Recorder, scope
from harness.history.timeline import History

OFFER = '{"url":"https://h/v2/device/download?key=<key:1>","expires_at":"2024-01-15T11:00:00Z"}'


def recorded(*facts):
    recorder = Recorder(ManualClock())
    for fact in facts:
        recorder.record(fact)
    return recorder.history()


def test_an_exchange_is_put_together_from_its_events():
    history = recorded(
        HttpRequest(1, "command", "POST", "https://h/c", "api-key:full", (("X-Y", "z"),), '{"command": "reboot"}'),
        HttpRequest(2, "files", "GET", "https://h/f", "none", ()),
        HttpResponse(1, 200, (("Content-Type", "a"), ("content-type", "b"))),
        HttpEnded(1, 2, True, body="{}"),
    )
    first, second = history.exchanges
    assert (first.status, first.lines, first.header("CONTENT-TYPE"), first.body_json, first.command) == (
        200,
        (1, 3, 4),
        "a, b",
        {},
        "reboot",
    )
    assert (second.status, second.header("x"), second.body, second.body_json, second.command, second.is_delivered_whole) == (
        None,
        None,
        "",
        None,
        None,
        False,
    )
    assert (list(history.commands()), list(history.lists()), list(history.downloads())) == ([first], [second], [])
    assert first.header("x") is None
    assert (first.sent_header("x-y"), first.sent_header("x"), first.media_type, second.media_type) == ("z", None, "a, b", "")


def test_a_head_delivers_nothing():
    history = recorded(
        HttpRequest(1, "download", "HEAD", "https://h/d?key=<key:1>", "none", ()), HttpResponse(1, 200, ()), HttpEnded(1, 0, True)
    )
    (head,) = history.downloads()
    assert (head.is_delivered_whole, head.key) == (False, "<key:1>")


def test_downloads_are_found_by_their_key():
    first, second = "https://h/d?key=<key:1>", "https://h/d?key=<key:2>"
    urls = (first, second, first, f"{first}&key=<key:2>", "https://h/d")
    history = recorded(*(HttpRequest(number, "download", "GET", url, "none", ()) for number, url in enumerate(urls, 1)))

    found = {key: [exchange.request.exchange for exchange in exchanges] for key, exchanges in history.downloads_by_key.items()}
    assert found == {"<key:1>": [1, 3], "<key:2>": [2], None: [4, 5]}


def test_a_delivery_knows_its_topic_and_its_offer():
    (delivery,) = recorded(MqttDelivered(1, "d", "d/control/download_logo", OFFER, 2, False, False)).deliveries
    assert (delivery.topic.command, delivery.offer.expires_at, delivery.payload_json["expires_at"], delivery.line) == (
        "download_logo",
        "2024-01-15T11:00:00Z",
        "2024-01-15T11:00:00Z",
        1,
    )


def test_packets_are_found_by_type_and_device():
    history = recorded(
        MqttPacket(1, "a", "client", "PUBLISH", 9, topic="t", payload="p"),
        MqttPacket(2, "b", "server", "PUBLISH", 9, topic="t", payload="q"),
    )
    assert [seen.fact.device_id for seen in history.packets("PUBLISH", device_id="b")] == ["b"]
    assert history.published_by_clients == {("t", "p")}


def test_views_are_limited_to_a_scenario_or_leave_one_out():
    recorder = Recorder(ManualClock())
    for name in ("", "a", "b"):
        recorder.record(Stimulus(name, {}), in_scope=name)
    history = recorder.history()
    assert [event.scope for event in history.within("a").events] == ["", "a"]
    assert [event.scope for event in history.without({"a"}).events] == ["", "b"]
    assert [seen.at_s for seen in history.of(Stimulus, scope="b")] == [history.events[2].at_s]
    assert [seen.fact.name for seen in history.stimuli("a")] == ["a"]


def test_moves_of_the_test_clock_are_summed_between_two_lines():
    history = recorded(ClockAdvanced(1.0, ""), ClockAdvanced(2.0, ""), ClockAdvanced(4.0, ""))
    assert (history.advanced_s(1, 3), history.advanced_s(0, 4)) == (2.0, 7.0)


def test_a_history_without_its_first_event_says_so():
    with pytest.raises(JournalError, match="run started"):
        _ = History(()).start


def test_a_history_that_starts_with_something_else_says_so():
    with pytest.raises(JournalError, match="run started"):
        _ = recorded(RunEnded()).start


def test_the_same_part_of_a_history_is_the_same_object():
    history = recorded(Stimulus("x", {}))
    assert (history.within("a") is history.within("a"), history.without({"a"}) is history.without({"a"})) == (True, True)


def test_a_scope_of_the_run_may_be_asked_for():
    recorder = Recorder(ManualClock())
    with scope("a"):
        assert recorder.record(RunEnded()).scope == "a"
    assert [seen.line for seen in recorder.history().of(RunEnded, scope="b")] == []


def test_everything_around_an_event_is_told():
    history = recorded(
        HttpRequest(1, "download", "GET", "https://h/d", "none", ()), HttpResponse(1, 200, ()), HttpEnded(1, 5, True), Stimulus("x", {})
    )
    (whole,) = history.downloads()
    assert (whole.is_delivered_whole, whole.scope, whole.status) == (True, "", 200)
