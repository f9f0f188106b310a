"""Runs of a fleet that prove nothing: our own crash, a target that has gone or never let anybody in, a mistake of the user."""

import asyncio
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from harness.errors import ConfigurationError, OptionError, TargetUnavailable
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Publish
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.device.personality import REFERENCE
from simulators.fleet.behaviour import BEHAVIOURS, Behaviour, Mix, parse_mix
from simulators.fleet.cli import run_watched
from simulators.fleet.ledger import Ledger
from simulators.fleet.operators import MqttOperator
from simulators.fleet.run import FleetRun, Plan
from simulators.world.world import World
from tests.simulators.fleet.small_fleet import in_a_world, platform, run_fleet


def slips(notes, settings, flash, cause, effects):
    raise TypeError("a slip of ours")


def test_a_device_whose_own_program_crashes_accuses_nobody_and_makes_the_run_void():
    defective = Behaviour("defective", personality=replace(REFERENCE, name="defective", executes=slips))
    outcome = in_a_world(mix=Mix(((BEHAVIOURS["steady"], 1), (defective, 1))))
    crashed = outcome.totals.unknown // 2  # Each was sent three commands, and crashed over the first.
    assert outcome.judgement.exit_status == 3
    assert outcome.judgement.voids == (f"our own program crashed ({crashed} ×): TypeError: a slip of ours",)
    assert 0 < crashed < 20
    assert outcome.totals.delivered_once == 60 - 2 * crashed


def test_a_crash_outside_any_device_is_no_less_one_of_our_own():
    def slip():
        raise TypeError("another slip of ours")

    async def scenario():
        broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
        await broker.start()
        try:
            run = FleetRun(Plan(devices=1, seed=1), platform(broker.mqtt_url, 1))
            asyncio.get_running_loop().call_soon(slip)
            return await run_watched(run, Console(file=StringIO()), None)
        finally:
            await broker.stop()

    judgement = asyncio.run(scenario()).judgement
    assert (judgement.exit_status, judgement.voids) == (3, ("our own program crashed (1 ×): TypeError: another slip of ours",))


def test_too_few_devices_are_a_mistake_of_the_user():
    with pytest.raises(ConfigurationError, match="--provision"):
        asyncio.run(run_fleet(devices=21))


def test_a_target_that_goes_away_in_the_middle_is_void_and_the_line_says_so():
    async def stop_broker(run, broker):
        while run.ledger.totals().accepted < 1000:
            await asyncio.sleep(0.01)
        await broker.stop()

    outcome = in_a_world(commands=20_000, settle_s=10.0, meanwhile=stop_broker)
    assert outcome.judgement.exit_status == 3
    gone, unsent = outcome.judgement.voids
    assert gone.startswith("no device was connected any more at the end (")
    assert unsent == f"only {outcome.totals.sent} of 20000 commands were sent: the operator lost its connection"
    assert outcome.totals.adds_up()


def test_devices_that_never_got_in_are_owed_nothing_and_the_run_is_void():
    """The target takes commands for them, and has no session that would keep one."""

    class OperatorOnly(AnyoneMayDoAnything):
        def authenticate(self, client_id, username, password):
            return super().authenticate(client_id, username, password) if client_id == "operator" else None

    async def scenario():
        broker = EmbeddedBroker(BrokerSettings(), OperatorOnly())
        await broker.start()
        try:
            plan = Plan(devices=2, seed=1, commands=4, via="mqtt", connect_s=5.0, settle_s=5.0)
            return await FleetRun(plan, platform(broker.mqtt_url, 2)).run()
        finally:
            await broker.stop()

    with World(1) as world:
        outcome = world.run("server", scenario(), within_s=600)
    assert (outcome.totals.accepted, outcome.totals.not_owed, outcome.totals.lost) == (4, 4, 0)
    assert outcome.judgement.exit_status == 3
    assert outcome.judgement.voids == ("no device was ever connected (the server refused the login with code 5)",)


def test_downloads_whose_keys_nobody_could_issue_are_refused():
    plan = Plan(devices=1, seed=1, via="mqtt", mix=parse_mix("firmware=1,steady=9"))
    with pytest.raises(OptionError, match="--via: mqtt is for mixes without downloads"):
        FleetRun(plan, platform("mqtt://127.0.0.1:1", 1))


def test_an_operator_without_a_broker_is_a_void_run():
    async def scenario():
        run = FleetRun(Plan(devices=1, seed=1, commands=1, via="mqtt", connect_s=0.1), platform("mqtt://127.0.0.1:1", 1))
        await run.run()

    with pytest.raises(TargetUnavailable):
        asyncio.run(scenario())


def test_an_operator_whose_login_is_refused_says_so_whatever_stands_behind_the_refusal():
    async def scenario():
        def refuse(reader, writer):
            writer.write(encode(Connack(False, 5)) + encode(Publish("dev-1/control/reboot", b"{}")))

        server = await asyncio.start_server(refuse, "127.0.0.1", 1999)
        operator = MqttOperator(Ledger(), mqtt_url="mqtt://127.0.0.1:1999", client_id="operator", login=None, tls=None)
        with pytest.raises(TargetUnavailable, match="code 5"):
            await operator.open()
        await operator.close()
        server.close()

    with World(1) as world:
        world.run("server", scenario(), within_s=60)
        assert world.unhandled == []
