"""How fast simulation is. Run alone: `make bench PART=simulation`."""

import pytest

from simulators.world.benchmark import measure_fleet, measure_small_world

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1_200)]


def test_simulation_bench_small_worlds_reach_twenty_five_seeds_a_second():
    measure_small_world(0)
    took_s = sorted(measure_small_world(seed).processor_s for seed in range(60))
    per_s = 1 / took_s[len(took_s) // 2]
    print(f"\nsmall worlds (3 devices, one update each): {per_s:.1f} seeds/s on one core (median; at least 25 wanted)")
    assert per_s >= 25


def test_simulation_bench_a_thousand_devices_download_for_fifteen_minutes():
    seen = measure_fleet(1, devices=1_000)
    kib = seen.memory_bytes_per_device / 1024
    step_us = 1e6 * seen.processor_s / seen.steps
    print(f"\n1,000 devices, one command and one 15-minute download each, {seen.virtual_s:.0f} virtual s:")
    print(f"{seen.processor_s:.1f} s of one core (at most 50 wanted), {seen.real_s:.1f} s on the clock")
    print(f"{seen.steps} steps, {step_us:.1f} µs each; {kib:.0f} KiB per device (at most 200 wanted)")
    assert seen.installed == 1_000
    assert seen.processor_s <= 50
    assert kib <= 200
