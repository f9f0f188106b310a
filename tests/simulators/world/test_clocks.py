"""What libraries see of time and chance while a world runs, and that nothing of it stays."""

import datetime
import os
import random
import time
import uuid

import pytest

from harness.entropy import SystemEntropy
from harness.errors import ScenarioError
from simulators.world.world import EPOCH_UTC_S, World


def test_the_wall_clock_of_a_host_has_its_skew():
    async def read_clock():
        return time.time()

    with World(1) as world:
        world.network.host("dev-1", skew_s=-40)
        assert world.run("dev-1", read_clock()) == EPOCH_UTC_S - 40


def test_the_monotonic_clock_is_the_loops_time():
    async def main(world):
        return time.monotonic() == world.loop.time() == world.clock.monotonic_s()

    with World(1) as world:
        assert world.run("server", main(world))


def draws():
    return os.urandom(8), random.random(), uuid.uuid4(), SystemEntropy().random_bytes(8)


def test_the_same_seed_gives_libraries_the_same_chance():
    seen = []
    for seed in (1, 1, 2):
        with World(seed):
            seen.append(draws())
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]


def test_after_a_world_the_machines_clocks_and_chance_are_back():
    originals = (time.time, time.monotonic, time.sleep, os.urandom, random.getstate())
    with World(1):
        assert time.time is not originals[0]
    assert (time.time, time.monotonic, time.sleep, os.urandom, random.getstate()) == originals
    assert datetime.datetime.now(datetime.UTC).timestamp() > EPOCH_UTC_S


def test_a_blocking_sleep_is_refused():
    with World(1), pytest.raises(ScenarioError, match="would block"):
        time.sleep(1)
