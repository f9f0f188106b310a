"""A small fleet on the embedded broker: what the ledger says is what happened."""

import asyncio
import json
from dataclasses import replace

from harness.faults import Drop, Duplicate, FaultPlan, PacketEvent, PacketFault
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.fleet.behaviour import parse_mix
from simulators.fleet.bookkeeping import CORRELATION
from simulators.fleet.figures import quantile_ms
from simulators.fleet.run import FleetRun, Plan
from simulators.world.world import World
from tests.simulators.fleet.small_fleet import in_a_world, platform, run_fleet


def test_every_command_is_delivered_once_and_answered():
    outcome = in_a_world()
    assert outcome.is_complete
    assert (outcome.totals.sent, outcome.totals.delivered_once) == (60, 60)
    assert outcome.totals.is_green
    assert outcome.figures["results"] == 60


def test_the_same_on_real_sockets():
    outcome = asyncio.run(run_fleet())
    assert outcome.totals.is_green
    assert outcome.figures["connected"] == 20


def first_command(action):
    """A fault plan for the first command on its way to each device."""
    event = PacketEvent(packet="PUBLISH", sent_by="server", qos=2)
    return FaultPlan(packets=(PacketFault(name="fault", at=event, action=action),))


def faulty(plan):
    """Puts the plan to work before the commands leave."""

    async def meanwhile(run, broker):
        broker.set_faults(plan)

    return meanwhile


def test_a_wrong_device_turns_the_ledger_red_and_the_ledger_names_the_commands():
    outcome = in_a_world(mix=parse_mix("delivers-twice"), meanwhile=faulty(first_command(Duplicate(dup=True))))
    assert (outcome.totals.duplicated, outcome.totals.delivered_once) == (20, 40)
    assert len(outcome.totals.named["duplicated"]) == 20
    assert outcome.totals.adds_up()


def test_reference_devices_stay_green_under_the_same_duplicates():
    outcome = in_a_world(meanwhile=faulty(first_command(Duplicate(dup=True))))
    assert outcome.totals.is_green
    assert outcome.totals.delivered_once == 60


def test_a_broker_that_drops_commands_turns_the_ledger_red():
    outcome = in_a_world(meanwhile=faulty(first_command(Drop())), settle_s=20.0)
    assert (outcome.totals.lost, outcome.totals.delivered_once) == (20, 40)
    assert outcome.totals.adds_up()


def test_a_wrong_device_is_found_out_by_a_reconnect_storm():
    """The storm swallows PUBRECs: what is sent again is what the wrong device executes again."""
    outcome = in_a_world(mix=parse_mix("delivers-twice"), churn_s=1.0, hold_s=10.0, commands=20_000)
    assert outcome.totals.duplicated > 0
    assert outcome.totals.delivered_once + outcome.totals.duplicated == 20_000


def test_clean_sessions_in_a_reconnect_storm_accuse_nobody():
    outcome = in_a_world(clean_session=True, churn_s=1.0, commands=20_000)
    assert outcome.totals.not_owed > 0
    assert outcome.totals.is_green
    assert outcome.totals.adds_up()


def test_a_broker_that_drops_commands_of_clean_sessions_is_red_all_the_same():
    outcome = in_a_world(clean_session=True, meanwhile=faulty(first_command(Drop())), settle_s=20.0)
    assert (outcome.totals.lost, outcome.totals.delivered_once) == (20, 40)


def test_what_a_run_that_was_cut_short_left_behind_does_not_turn_the_next_one_red():
    async def two_runs():
        broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
        await broker.start()
        settings = Plan(devices=20, seed=1, commands=60, via="mqtt")
        former = FleetRun(replace(settings, run="former", commands=0), platform(broker.mqtt_url, 20))
        await former.run()
        for device in former.platform.devices:
            await broker.publish(f"{device.id}/control/configuration", json.dumps({CORRELATION: f"former-{device.id}"}).encode())
        outcome = await FleetRun(replace(settings, run="latter"), platform(broker.mqtt_url, 20)).run()
        await broker.stop()
        return outcome.totals

    with World(1) as world:
        totals = world.run("server", two_runs(), within_s=600)
    assert (totals.left_over, totals.delivered_once) == (20, 60)
    assert totals.is_green


def test_a_forged_command_is_unexpected():
    async def forge(run, broker):
        while run.phase != "settling":
            await asyncio.sleep(0.01)
        await broker.publish("dev-3/control/reboot", b"{}")

    outcome = in_a_world(meanwhile=forge, settle_s=5.0, hold_s=1.0)
    assert outcome.totals.unexpected == 1
    assert outcome.totals.named["unexpected"] == ["foreign:dev-3/control/reboot"]


def test_stop_ends_early_with_clean_disconnects_and_a_ledger_that_adds_up():
    async def stop(run, broker):
        await asyncio.sleep(1.0)
        run.stop()

    outcome = in_a_world(hold_s=1000.0, meanwhile=stop)
    assert not outcome.is_complete
    assert outcome.totals.adds_up()


def test_quantiles():
    assert quantile_ms([0.001 * number for number in range(1, 101)], 50) == 51.0
    assert quantile_ms([], 50) is None


def test_the_figures_are_json():
    assert json.loads(json.dumps(in_a_world().to_json()))["ledger"]["sent"] == 60
