"""`make bench` part broker: the figures of the brokers side by side, and what ours has promised."""

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from simulators.broker.benchmark import (
    AMQTT_DEVICES_MAX,
    DEVICE_COUNTS,
    GENERATOR_LOAD_MAX,
    Figures,
    measure,
    ratios,
    table,
)
from simulators.broker.growth import Growth, measure_growth


def figures(broker: str, devices: int, cost_us: float, **fields) -> Figures:
    values = {"memory_per_device_bytes": 4_096.0, "connects_per_s": 3_000.0, **fields}
    return Figures(broker, devices, cost_us, 1_000.0, 1.0, 2.0, values["connects_per_s"], values["memory_per_device_bytes"], 0.1)


def test_ratios_are_made_of_the_figures_that_there_are():
    measured = [figures("embedded", 5_000, 200.0), figures("mosquitto", 5_000, 100.0)]
    found = {ratio.name: (ratio.value, ratio.is_kept) for ratio in ratios(measured)}
    assert found == {
        "CPU per command at 5,000 devices, to mosquitto's": (2.0, True),
        "memory per idle device, KiB": (4.0, True),
        "connects per second": (3_000.0, True),
    }


@pytest.mark.parametrize(
    "measured",
    [
        [figures("embedded", 5_000, 260.0), figures("mosquitto", 5_000, 100.0)],
        [figures("embedded", 2_000, 100.0), figures("amqtt", 2_000, 2_900.0)],
        [figures("embedded", 1_000, 100.0, memory_per_device_bytes=13 * 1_024.0)],
        [figures("embedded", 1_000, 100.0, connects_per_s=1_999.0)],
    ],
)
def test_a_ratio_that_is_not_kept_is_seen(measured):
    assert [ratio for ratio in ratios(measured) if not ratio.is_kept]


def test_growth_is_the_median_of_pairs_that_were_measured_together():
    """The third pair fell into a busy second of the machine, which slowed both sides; the fourth into the midst of one."""
    growth = Growth("embedded", 100, 9_500, ((100.0, 110.0), (90.0, 98.0), (180.0, 200.0), (100.0, 170.0), (95.0, 104.0)))
    assert growth.factor == pytest.approx(1.1)
    assert growth.spread == (pytest.approx(98 / 90), 1.7)
    assert growth.promise().is_kept
    assert not Growth("embedded", 100, 9_500, ((100.0, 121.0),)).promise().is_kept


@pytest.mark.slow
def test_a_short_run_measures_the_embedded_broker():
    (measured,) = asyncio.run(measure("embedded", [20], commands=50))
    assert measured.cpu_per_command_us > 0
    assert measured.latency_p50_ms > 0


@pytest.mark.slow
def test_a_short_run_measures_both_sizes_in_turns():
    growth = asyncio.run(measure_growth("embedded", few=5, many=20, pairs=3, commands=50))
    assert (growth.few, growth.many, len(growth.pairs)) == (5, 20, 3)
    assert growth.factor > 0


@pytest.mark.bench
@pytest.mark.peer("mosquitto")
def test_broker_keeps_its_promises_beside_its_peers():
    measured = asyncio.run(measure("embedded", DEVICE_COUNTS))
    measured += asyncio.run(measure("mosquitto", DEVICE_COUNTS))
    measured += asyncio.run(measure("amqtt", [devices for devices in DEVICE_COUNTS if devices <= AMQTT_DEVICES_MAX]))
    growths = [asyncio.run(measure_growth(broker)) for broker in ("embedded", "mosquitto", "amqtt")]
    promises = [*ratios(measured), *(growth.promise() for growth in growths if growth.broker == "embedded")]
    console = Console(width=120)
    console.print(table(measured))
    for ratio in promises:
        sign = "≤" if ratio.at_most else "≥"
        console.print(f"{'ok  ' if ratio.is_kept else 'MISS'} {ratio.name}: {ratio.value:.3g} (promised {sign} {ratio.limit:.3g})")
    for growth in growths:
        least, most = growth.spread
        console.print(
            f"growth of the cost per command, {growth.broker}, {growth.few:,} to {growth.many:,} devices: "
            f"{growth.factor:.2f} (median of {len(growth.pairs)} pairs, {least:.2f} to {most:.2f})"
        )
    place = Path(os.environ.get("HIL_BENCH_DIR", "reports/bench"))
    place.mkdir(parents=True, exist_ok=True)
    members = {
        "figures": [asdict(one) for one in measured],
        "ratios": [{**asdict(ratio), "is_kept": ratio.is_kept} for ratio in promises],
        "growth": [growth.to_json() for growth in growths],
    }
    (place / "broker.json").write_text(json.dumps(members, indent=1))
    assert max(one.generator_load for one in measured) < GENERATOR_LOAD_MAX
    assert [ratio for ratio in promises if not ratio.is_kept] == []
