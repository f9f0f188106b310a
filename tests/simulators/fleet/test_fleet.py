"""A small fleet on the embedded broker, in virtual time and on sockets: what the ledger says is what happened."""

import asyncio
import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from harness.bench.target import Target
from harness.entropy import SeededEntropy
from harness.errors import ConfigurationError, OptionError, TargetUnavailable
from harness.faults import Drop, Duplicate, FaultPlan, PacketEvent, PacketFault
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Disconnect, Publish
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.device.personality import REFERENCE
from simulators.fleet import fleet as fleet_module
from simulators.fleet.admission import Credentials, shard_of
from simulators.fleet.behaviour import BEHAVIOURS, Behaviour, Mix, parse_mix
from simulators.fleet.bookkeeping import CORRELATION
from simulators.fleet.cli import parse_shard, run_watched
from simulators.fleet.figures import quantile_ms
from simulators.fleet.fleet import Fleet
from simulators.fleet.ledger import Ledger
from simulators.fleet.operators import MqttOperator
from simulators.fleet.run import FleetRun, Plan
from simulators.world.world import World


def platform(mqtt_url, devices):
    entries = [{"id": f"dev-{number}", "project_id": "p", "token": "t", "kind": "mqtt"} for number in range(devices)]
    tables = {
        "name": "bare",
        "api_url": "http://127.0.0.1:1",
        "mqtt_url": mqtt_url,
        "api_keys": {"full": "k"},
        "projects": [{"id": "p"}],
        "devices": entries,
    }
    return Target.model_validate({"platform": tables}).platform


async def run_fleet(*, meanwhile=None, **changes):
    """A run against a broker of its own; `meanwhile(run, broker)` goes on beside it."""
    broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
    await broker.start()
    plan = Plan(**{"devices": 20, "seed": 1, "commands": 60, "via": "mqtt"} | changes)
    run = FleetRun(plan, platform(broker.mqtt_url, 20))
    beside = asyncio.create_task(meanwhile(run, broker)) if meanwhile else None
    try:
        outcome = await run.run()
    finally:
        if beside is not None:
            beside.cancel()
        await broker.stop()
    return outcome


def in_a_world(**changes):
    with World(1) as world:
        outcome = world.run("server", run_fleet(**changes), within_s=4000)
        assert world.unhandled == []
    return outcome


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


def after(delay_s, act):
    """Does something so many seconds later."""

    async def meanwhile(run, broker):
        await asyncio.sleep(delay_s)
        await act(run, broker)

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


def test_reconnect_storms_lose_nothing():
    outcome = in_a_world(churn_s=1.0, hold_s=10.0)
    assert outcome.figures["reconnects"] >= 20
    assert outcome.totals.is_green


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


def test_devices_whose_connection_fades_leave_with_disconnect_all_the_same():
    class Counting:
        def __init__(self):
            self.disconnected = set()

        def packet(self, connection, client_id, direction, packet, size_bytes):
            if isinstance(packet, Disconnect):
                self.disconnected.add(client_id)

        def __getattr__(self, name):
            return lambda *arguments: None

    async def scenario():
        counting = Counting()
        broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything(), observer=counting)
        await broker.start()
        fleet = Fleet(mqtt_url=broker.mqtt_url, entropy=SeededEntropy(1), ledger=Ledger())
        fleet.add([Credentials(f"dev-{number}", "t") for number in range(5)])
        await fleet.connect()
        assert await fleet.until_connected(asyncio.get_running_loop().time() + 10)
        for line in fleet.lines:
            line.fade()
        await fleet.disconnect()
        await asyncio.sleep(5.0)  # virtual: the packets are on their way
        await broker.stop()
        return counting.disconnected

    with World(1) as world:
        assert len(world.run("server", scenario(), within_s=60)) == 5


def test_flaky_devices_come_back():
    outcome = in_a_world(mix=parse_mix("flaky"), hold_s=120.0, commands=200)
    assert outcome.figures["reconnects"] > 20
    assert outcome.totals.is_green


def test_a_server_that_accepts_and_says_nothing_is_left_and_tried_again():
    async def scenario():
        accepted = []
        server = await asyncio.start_server(lambda reader, writer: accepted.append(writer), "127.0.0.1", 1999)
        fleet = Fleet(mqtt_url="mqtt://127.0.0.1:1999", entropy=SeededEntropy(1), ledger=Ledger())
        fleet.add([Credentials("dev-1", "t")])
        await fleet.connect()
        await asyncio.sleep(300)
        await fleet.disconnect()
        server.close()
        return len(accepted)

    with World(1) as world:
        assert world.run("server", scenario(), within_s=600) in range(2, 6)


def test_devices_whose_connections_have_died_unseen_come_back():
    async def let_connections_die(run, broker):
        network = asyncio.get_running_loop().network
        for number in list(network.connections):
            network.sever(number)
        await asyncio.sleep(30)
        let_connections_die.connected = run.fleet.counts.connected, run.fleet.counts.reconnects

    in_a_world(commands=0, hold_s=60.0, keep_alive_s=4, meanwhile=after(1.0, let_connections_die))
    assert let_connections_die.connected == (20, 20)


def test_keep_alive_is_kept_by_one_timer():
    async def count_pings(run, broker):
        await asyncio.sleep(30)
        count_pings.disconnects = run.fleet.counts.disconnects

    outcome = in_a_world(commands=0, hold_s=60.0, keep_alive_s=4, meanwhile=count_pings)
    assert count_pings.disconnects == 0
    assert outcome.is_complete


def test_devices_that_reconnect_again_and_again_do_not_fill_the_queue_of_pings():
    async def count_places(run, broker):
        await asyncio.sleep(1200)
        count_places.seen = len(run.fleet._due)

    in_a_world(commands=0, hold_s=1205.0, mix=parse_mix("flaky"), meanwhile=count_places)
    assert count_places.seen <= 20 * 4  # its present place, and those that it had half a keep-alive ago


def test_stop_ends_early_with_clean_disconnects_and_a_ledger_that_adds_up():
    async def stop(run, broker):
        await asyncio.sleep(1.0)
        run.stop()

    outcome = in_a_world(hold_s=1000.0, meanwhile=stop)
    assert not outcome.is_complete
    assert outcome.totals.adds_up()


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


def test_an_idle_device_has_no_task():
    async def scenario():
        broker = EmbeddedBroker(BrokerSettings(), AnyoneMayDoAnything())
        await broker.start()
        fleet = Fleet(mqtt_url=broker.mqtt_url, entropy=SeededEntropy(1), ledger=Ledger())
        before = len(asyncio.all_tasks())
        fleet.add([Credentials(f"dev-{number}", "t") for number in range(50)])
        await fleet.connect()
        assert await fleet.until_connected(asyncio.get_running_loop().time() + 10)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == before
        await fleet.disconnect()
        await broker.stop()

    asyncio.run(scenario())


def test_more_devices_than_one_address_has_ports_for_come_from_several(monkeypatch):
    monkeypatch.setattr(fleet_module, "DEVICES_PER_ADDRESS", 2)

    async def scenario():
        sources = asyncio.Queue()

        async def note(reader, writer):
            sources.put_nowait(writer.get_extra_info("peername")[0])

        async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            fleet = Fleet(mqtt_url=f"mqtt://127.0.0.1:{port}", entropy=SeededEntropy(1), ledger=Ledger())
            fleet.add([Credentials(f"dev-{number}", "t") for number in range(5)])
            await fleet.connect()
            seen = [await sources.get() for _ in range(5)]
            await fleet.disconnect()
        return sorted(seen)

    assert asyncio.run(scenario()) == ["127.0.0.1", "127.0.0.1", "127.0.1.1", "127.0.1.1", "127.0.1.2"]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_disjoint_and_cover_all(count):
    items = list(range(20))
    parts = [list(shard_of(items, index, count)) for index in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items


def test_a_mix_is_dealt_by_weight_and_the_same_for_the_same_seed():
    def names(seed):
        deck = parse_mix("firmware=70,slow=25,flaky=5").deal(SeededEntropy(seed))
        return [next(deck).name for _ in range(1000)]

    assert names(1) == names(1)
    assert names(1) != names(2)
    assert 600 < names(1).count("firmware") < 800


def test_a_mix_takes_personalities_and_a_link_for_all():
    mix = parse_mix("delivers-twice=1,steady=9", link="nb-iot")
    assert [behaviour.bytes_per_s for behaviour, _ in mix.parts] == [3000.0, 3000.0]
    assert parse_mix("") == Mix(((BEHAVIOURS["steady"], 1),))


@pytest.mark.parametrize("text", ["nonsense=1", "steady=0", "steady=x", "steady=1001"])
def test_a_wrong_mix_is_refused(text):
    with pytest.raises(ValueError, match=r"nonsense|weight"):
        parse_mix(text)


@pytest.mark.parametrize("text", ["0/1", "2/1", "a/b", "1", ""])
def test_a_wrong_shard_is_refused(text):
    with pytest.raises(ValueError, match="shard"):
        parse_shard(text)


def test_quantiles():
    assert quantile_ms([0.001 * number for number in range(1, 101)], 50) == 51.0
    assert quantile_ms([], 50) is None


def test_the_figures_are_json():
    assert json.loads(json.dumps(in_a_world().to_json()))["ledger"]["sent"] == 60
