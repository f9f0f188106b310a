"""The recorder stamps facts in the one order in which they were seen."""

import asyncio

from harness.clock import ManualClock
from harness.history.events import (
    BrokerChecked,
    BrokerPromise,
    RunEnded,
    Stimulus,
)
from harness.history.recorder import Recorder, scope

OFFER = '{"url":"https://h/v2/device/download?key=<key:1>","expires_at":"2024-01-15T11:00:00Z"}'


class Sink:
    def __init__(self):
        self.events = []

    def write(self, event):
        self.events.append(event)


def test_events_are_numbered_and_stamped_by_both_clocks():
    clock = ManualClock(monotonic_s=10.0, utc_s=1_000.0)
    recorder = Recorder(clock)
    recorder.record(RunEnded())
    clock.advance(2.5)
    event = recorder.record(RunEnded())
    assert (event.line, event.at_s, event.utc_s, event.scope) == (2, 12.5, 1_002.5, "")


def test_a_secret_is_replaced_in_facts_within_facts_too():
    recorder = Recorder(ManualClock())
    recorder.redactor.register("QB_secret_of_all", label="<api-key:full>", what="api key")
    promise = BrokerPromise("login", "A login", ("BRK-07",), "MUST", "fail", "refused with QB_secret_of_all")
    event = recorder.record(BrokerChecked("mosquitto", (promise,)))
    assert [each.detail for each in event.fact.promises] == ["refused with <api-key:full>"]


def test_sinks_get_every_event_from_when_they_were_added():
    early, late = Sink(), Sink()
    recorder = Recorder(ManualClock(), sinks=(early,))
    recorder.record(RunEnded())
    recorder.add_sink(late)
    recorder.record(RunEnded())
    assert ([event.line for event in early.events], [event.line for event in late.events]) == ([1, 2], [2])


def test_numbers_are_unique_in_a_run():
    recorder = Recorder(ManualClock())
    assert [recorder.next_number() for _ in range(3)] == [1, 2, 3]


def test_a_fact_without_secrets_is_kept_as_it_is():
    recorder = Recorder(ManualClock())
    fact = Stimulus("x", {})
    assert recorder.record(fact).fact is fact


def test_the_scope_travels_with_the_task_and_the_tasks_that_it_starts():
    recorder = Recorder(ManualClock())

    async def speaks(name):
        with scope(name):
            await asyncio.create_task(listens())
        recorder.record(Stimulus("after", {}))

    async def listens():
        await asyncio.sleep(0)
        recorder.record(Stimulus("inside", {}))

    async def run():
        await asyncio.gather(speaks("a"), speaks("b"))

    asyncio.run(run())
    assert [event.scope for event in recorder.history().events] == ["a", "b", "", ""]


def test_a_port_outside_of_the_scenarios_task_may_name_the_scope():
    recorder = Recorder(ManualClock())
    assert recorder.record(RunEnded(), in_scope="theirs").scope == "theirs"


def test_what_is_reported_after_the_end_is_not_kept():
    sink = Sink()
    recorder = Recorder(ManualClock(), sinks=(sink,))
    recorder.record(RunEnded())
    recorder.close()
    recorder.record(RunEnded())
    assert (len(recorder.history().events), len(sink.events)) == (1, 1)


def test_a_secret_that_is_seen_later_stands_where_it_was_seen():
    recorder = Recorder(ManualClock())
    recorder.record(RunEnded())
    recorder.redactor.register("a-token-of-a-device", label="<token:d>", what="token")
    assert [event.line for event in recorder.history().events] == [1, 2]
