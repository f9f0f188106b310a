"""`make bench` part broker: the figures of the brokers side by side, and what ours has promised."""

import asyncio
import os
from pathlib import Path

import pytest
from rich.console import Console

from simulators.broker.benchmark import (
    AMQTT_DEVICES_MAX,
    DEVICE_COUNTS,
    GENERATOR_LOAD_MAX,
    Figures,
    as_json,
    growth,
    measure,
    ratios,
    table,
)


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
        [figures("embedded", 100, 100.0), figures("embedded", 9_500, 121.0)],
        [figures("embedded", 2_000, 100.0), figures("amqtt", 2_000, 2_900.0)],
        [figures("embedded", 1_000, 100.0, memory_per_device_bytes=13 * 1_024.0)],
        [figures("embedded", 1_000, 100.0, connects_per_s=1_999.0)],
    ],
)
def test_a_ratio_that_is_not_kept_is_seen(measured):
    assert [ratio for ratio in ratios(measured) if not ratio.is_kept]


def test_growth_compares_the_most_devices_with_the_fewest():
    assert growth([figures("embedded", 100, 100.0), figures("embedded", 9_500, 110.0)]) == {"embedded": 1.1}


@pytest.mark.slow
def test_a_short_run_measures_the_embedded_broker():
    (measured,) = asyncio.run(measure("embedded", [20], commands=50))
    assert measured.cpu_per_command_us > 0
    assert measured.latency_p50_ms > 0


@pytest.mark.bench
@pytest.mark.peer("mosquitto")
def test_broker_keeps_its_promises_beside_its_peers():
    measured = asyncio.run(measure("embedded", DEVICE_COUNTS))
    measured += asyncio.run(measure("mosquitto", DEVICE_COUNTS))
    measured += asyncio.run(measure("amqtt", [devices for devices in DEVICE_COUNTS if devices <= AMQTT_DEVICES_MAX]))
    console = Console(width=120)
    console.print(table(measured))
    for ratio in ratios(measured):
        sign = "≤" if ratio.at_most else "≥"
        console.print(f"{'ok  ' if ratio.is_kept else 'MISS'} {ratio.name}: {ratio.value:.3g} (promised {sign} {ratio.limit:.3g})")
    for broker, factor in growth(measured).items():
        console.print(f"growth of the cost per command, {broker}: {factor:.2f}")
    place = Path(os.environ.get("HIL_BENCH_DIR", "reports/bench"))
    place.mkdir(parents=True, exist_ok=True)
    (place / "broker.json").write_text(as_json(measured))
    assert max(one.generator_load for one in measured) < GENERATOR_LOAD_MAX
    assert [ratio for ratio in ratios(measured) if not ratio.is_kept] == []
