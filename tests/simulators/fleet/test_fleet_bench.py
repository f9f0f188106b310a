"""`make bench PART=fleet`: a device's price in our fleet beside other people's clients, and ten thousand devices on the platform."""

import asyncio
import json
import os
import resource
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from simulators.fleet.benchmark import (
    BROKERS,
    OUR_COUNTS,
    OURS,
    PEER_COUNTS,
    Figures,
    FleetFigures,
    as_json,
    fleet_run,
    measure,
    ratios,
    table,
)
from simulators.fleet.chart import chart, common_count
from simulators.platform.process import PlatformProcess

CLIENTS = Path(__file__).with_name("peer_clients.py")
MQTT_JS = Path(__file__).parents[2] / "interop" / "mqttjs_fleet.mjs"
COMMANDS = {name: [sys.executable, str(CLIENTS), name] for name in (OURS, "paho-mqtt", "locust", "aiomqtt", "amqtt")}
COMMANDS["MQTT.js"] = ["node", str(MQTT_JS)]
IMAGE = Path("fixtures/images/fleet.svg")
PLACE = Path(os.environ.get("HIL_BENCH_DIR", "reports/bench"))
WINDOW_BYTES, NEARLY_15_MIN_BYTES = 60 * 2_500, 14 * 60 * 2_500
DEVICES, DOWNLOADS = int(os.environ.get("HIL_BENCH_DEVICES", "10000")), int(os.environ.get("HIL_BENCH_DOWNLOADS", "3000"))


def figures(client=OURS, broker="mosquitto", devices=100, **changes):
    values = {"connects_per_s": 3_000.0, "connect_cpu_us": 100.0, "memory_per_device_bytes": 4_096.0, "commands_per_s": 4_000.0}
    return Figures(client, broker, devices, **{**values, "command_cpu_us": 50.0, **changes})


GOOD = FleetFigures(
    {"connects_per_s": 2_500.0, "deliveries_per_s": 3_000.0}, {"deliveries_per_s": 1_200.0}, {"disconnects": 0, "downloads": {}}
)


def test_what_is_promised_is_kept_at_its_limit():
    measured = [figures(devices=10_000, memory_per_device_bytes=12 * 1_024.0), figures(), figures("locust", command_cpu_us=650.0)]
    assert len(ratios(measured, GOOD)) == 6
    assert all(ratio.is_kept for ratio in ratios(measured, GOOD))


@pytest.mark.parametrize(
    ("measured", "fleet"),
    [
        ([figures(memory_per_device_bytes=12 * 1_024.0 + 1)], FleetFigures()),
        ([figures(), figures("locust", command_cpu_us=640.0)], FleetFigures()),
        ([], FleetFigures(mqtt={"connects_per_s": 2_499.0, "deliveries_per_s": 3_000.0})),
        ([], FleetFigures(mqtt={"connects_per_s": 2_500.0, "deliveries_per_s": 2_999.0})),
        ([], FleetFigures(rest={"deliveries_per_s": 1_199.0})),
        ([], FleetFigures(downloads={"disconnects": 1})),
    ],
)
def test_a_promise_of_the_fleet_that_is_not_kept_is_seen(measured, fleet):
    assert [ratio for ratio in ratios(measured, fleet) if not ratio.is_kept]


def test_the_chart_shows_each_client_and_each_number_of_devices():
    measured = [figures(), figures(devices=10_000), figures("paho & co")]
    drawn = ET.fromstring(chart(json.loads(as_json(measured, GOOD))))
    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"paho & co", "100", "10,000", "memory per connected device, KiB"} <= set(texts)
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}rect"))) == 3 * (2 + 2)


def test_clients_are_compared_at_the_largest_number_that_all_carried():
    assert common_count([{"client": "a", "devices": n} for n in (1, 2, 3)] + [{"client": "b", "devices": n} for n in (1, 2)]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("client", [name for name in COMMANDS if name != "MQTT.js"])
def test_each_client_is_measured(client):
    (measured,) = asyncio.run(measure(client, COMMANDS[client], "embedded", [5]))
    assert measured.commands_per_s > 0


@pytest.fixture
def enough_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 2 * DEVICES:
        pytest.skip(f"the limit of open files is {hard}; `ulimit -n {2 * DEVICES}` raises it")


async def clients_beside_each_other():
    measured = []
    for broker in BROKERS:
        for client, command in COMMANDS.items():
            counts = [count for count in OUR_COUNTS if count <= DEVICES] if client == OURS else PEER_COUNTS
            measured += await measure(client, command, broker, counts)
    return measured


async def fleet_on_the_platform(directory):
    """10,000 devices with a command each by both ways; then slow downloads, all at once."""
    with PlatformProcess(directory / "state", "--provision", str(DEVICES)) as platform:
        run = [("--devices", str(DEVICES), "--commands", str(DEVICES), "--via", via, "--keep-alive", "300") for via in ("mqtt", "rest")]
        mqtt, rest = [await fleet_run(platform.target_path, directory / "out", *options) for options in run]
    return mqtt, rest, await slow_downloads(directory / "slow", DOWNLOADS, WINDOW_BYTES, settle_s=200)


async def slow_downloads(directory, count, size_bytes, *, settle_s):
    """All devices download at once, at 20 kbit/s each."""
    (directory / "files" / "firmware").mkdir(parents=True)
    (directory / "files" / "firmware" / "slow.bin").write_bytes(os.urandom(size_bytes))
    options = ("--devices", str(count), "--commands", str(count), "--mix", "slow", "--file", "slow.bin", "--settle", str(settle_s))
    with PlatformProcess(directory / "state", "--provision", str(count), "--files", str(directory / "files")) as platform:
        return await fleet_run(platform.target_path, directory / "out", *options)


@pytest.mark.bench
@pytest.mark.timeout(900)
@pytest.mark.peer("mosquitto")
@pytest.mark.peer("mqttjs")
@pytest.mark.usefixtures("enough_descriptors")
def test_fleet_keeps_its_promises_beside_its_peers(tmp_path):
    measured = asyncio.run(clients_beside_each_other())
    fleet = FleetFigures(*asyncio.run(fleet_on_the_platform(tmp_path)))
    PLACE.mkdir(parents=True, exist_ok=True)
    written = as_json(measured, fleet)
    (PLACE / "fleet.json").write_text(written)
    IMAGE.write_text(chart(json.loads(written)))
    console = Console(width=120)
    console.print(table(measured))
    for name, one in (("mqtt", fleet.mqtt), ("rest", fleet.rest), ("slow downloads", fleet.downloads)):
        console.print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in one.items() if key != "ledger"), highlight=False)
    for ratio in ratios(measured, fleet):
        sign = "≤" if ratio.at_most else "≥"
        console.print(f"{'ok  ' if ratio.is_kept else 'MISS'} {ratio.name}: {ratio.value:.3g} (promised {sign} {ratio.limit:.4g})")
    assert all(one["ledger"]["green"] and one["complete"] for one in (fleet.mqtt, fleet.rest, fleet.downloads))
    assert_all_downloaded(fleet.downloads, DOWNLOADS)
    assert [ratio for ratio in ratios(measured, fleet) if not ratio.is_kept] == []


def assert_all_downloaded(run, count):
    downloads = run["downloads"]
    assert (downloads["done"], downloads["failed"], downloads["wrong_images"], downloads["at_a_time"]) == (count, 0, 0, count)
    assert run["disconnects"] == 0


@pytest.mark.nightly
@pytest.mark.timeout(1_500)
@pytest.mark.usefixtures("enough_descriptors")
def test_three_thousand_downloads_of_fourteen_minutes_disturb_no_connection(tmp_path):
    run = asyncio.run(slow_downloads(tmp_path, 3_000, NEARLY_15_MIN_BYTES, settle_s=1_100))
    assert run["ledger"]["green"]
    assert_all_downloaded(run, 3_000)
