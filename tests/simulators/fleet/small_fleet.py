"""A small fleet on an embedded broker of its own, in virtual time or on sockets."""

import asyncio

from harness.bench.target import Target
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.fleet.run import FleetRun, Plan
from simulators.world.world import World


def platform(mqtt_url, devices):
    """A target of so many devices, and nothing but a broker."""
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
    """The outcome of `run_fleet` in virtual time, in which nothing of ours has crashed."""
    with World(1) as world:
        outcome = world.run("server", run_fleet(**changes), within_s=4000)
        assert world.unhandled == []
    return outcome


def after(delay_s, act):
    """Does something so many seconds later."""

    async def meanwhile(run, broker):
        await asyncio.sleep(delay_s)
        await act(run, broker)

    return meanwhile
