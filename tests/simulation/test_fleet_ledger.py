"""The fleet's ledger against the same ledger recomputed from what the broker saw: equal, whatever goes wrong on the way."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from harness.bench.target import Target
from harness.clock import SystemClock
from harness.faults import Cut, Delay, Drop, Duplicate, FaultPlan, PacketEvent, PacketFault
from harness.history.recorder import Recorder
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.counterpart.recording import PacketRecorder
from simulators.fleet.from_history import ledger_from_history
from simulators.fleet.run import FleetRun, Plan
from simulators.world.world import World

COLUMNS = ("sent", "refused", "accepted", "unknown", "delivered_once", "duplicated", "lost", "not_owed", "unexpected")

ACTIONS = st.one_of(
    st.just(Cut(when="before")),
    st.just(Cut(when="after")),
    st.just(Duplicate(dup=True)),
    st.just(Drop()),
    st.builds(Delay, seconds=st.floats(0.01, 2.0)),
)
EVENTS = st.builds(
    PacketEvent,
    packet=st.sampled_from(["PUBLISH", "PUBREC", "PUBREL", "PUBCOMP"]),
    client_id=st.sampled_from(["dev-0", "dev-1"]),
    skip=st.integers(0, 6),
)
FAULTS = st.lists(st.tuples(EVENTS, ACTIONS), max_size=4)


def platform(mqtt_url):
    devices = [{"id": f"dev-{number}", "project_id": "p", "token": "t", "kind": "mqtt"} for number in range(3)]
    tables = {"name": "bare", "api_url": "http://127.0.0.1:1", "mqtt_url": mqtt_url, "api_keys": {"full": "k"}}
    return Target.model_validate({"platform": tables | {"projects": [{"id": "p"}], "devices": devices}}).platform


async def run_fleet(recorder, faults, commands, *, clean_session):
    observer = PacketRecorder(recorder, lambda device_id: "")
    broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything(), observer=observer)
    await broker.start()
    broker.set_faults(
        FaultPlan(
            packets=tuple(PacketFault(name=f"fault {number}", at=event, action=action) for number, (event, action) in enumerate(faults))
        )
    )
    # Held until the exchanges have ended: a PUBREC that a cut swallowed is seen by the broker only after the next connection.
    plan = Plan(devices=3, seed=1, commands=commands, via="mqtt", settle_s=30.0, hold_s=20.0, keep_alive_s=5, clean_session=clean_session)
    run = FleetRun(plan, platform(broker.mqtt_url))

    async def heal():
        """What was lost without a cut comes again with the next connection: the liveness phase."""
        await asyncio.sleep(10.0)
        broker.set_faults(None)
        for line in run.fleet.lines:
            line.abort()

    healing = asyncio.create_task(heal())
    try:
        return await run.run()
    finally:
        healing.cancel()
        await broker.stop()


def both_ledgers(seed, faults, commands, *, clean_session=False):
    with World(seed) as world:
        recorder = Recorder(SystemClock())
        outcome = world.run("server", run_fleet(recorder, faults, commands, clean_session=clean_session), within_s=600)
        assert world.unhandled == []
    return outcome.totals, ledger_from_history(recorder.history(), operator_id="operator").totals()


@pytest.mark.slow
@given(seed=st.integers(0, 1000), faults=FAULTS, commands=st.integers(1, 12))
@hypothesis_settings(max_examples=60, deadline=None)
def test_the_ledger_equals_the_one_recomputed_from_the_history(seed, faults, commands):
    own, recomputed = both_ledgers(seed, faults, commands)
    assert [getattr(own, column) for column in COLUMNS] == [getattr(recomputed, column) for column in COLUMNS]
    assert own.adds_up()
    # The reference device and the embedded broker keep "exactly once" through all of it.
    assert own.delivered_once == own.sent == commands


@pytest.mark.slow
@given(seed=st.integers(0, 1000), cuts=st.lists(st.tuples(EVENTS, st.sampled_from([Cut(when="before"), Cut(when="after")])), max_size=4))
@hypothesis_settings(max_examples=30, deadline=None)
def test_clean_sessions_owe_nothing_across_a_cut_in_either(seed, cuts):
    """Cuts only: a message that a fault drops on a connection that lives on is lost for good.

    A cut may swallow a PUBREC, which never comes again: what the device had, the history then calls not owed.
    """
    own, recomputed = both_ledgers(seed, cuts, 12, clean_session=True)
    for ledger in (own, recomputed):
        assert ledger.adds_up()
        assert ledger.is_green
        assert ledger.delivered_once + ledger.not_owed == ledger.accepted == 12
    assert recomputed.delivered_once <= own.delivered_once


def test_a_lost_command_is_lost_in_both():
    forever = PacketEvent(packet="PUBLISH", sent_by="server", qos=2, client_id="dev-1", times=None)
    with World(1) as world:
        recorder = Recorder(SystemClock())

        async def without_healing():
            observer = PacketRecorder(recorder, lambda device_id: "")
            broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything(), observer=observer)
            await broker.start()
            broker.set_faults(FaultPlan(packets=(PacketFault(name="drops", at=forever, action=Drop()),)))
            outcome = await FleetRun(Plan(devices=3, seed=1, commands=6, via="mqtt", settle_s=5.0), platform(broker.mqtt_url)).run()
            await broker.stop()
            return outcome

        own = world.run("server", without_healing(), within_s=600).totals
    recomputed = ledger_from_history(recorder.history(), operator_id="operator").totals()
    assert own.lost == recomputed.lost == 2
    assert own.delivered_once == recomputed.delivered_once == 4
