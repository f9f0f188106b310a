"""Devices on libraries of other people, written as their users would write them, are certified as they are, as processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DEVICES = Path(__file__).parent / "devices"
DEVICE_FILE = """
[device]
vendor = "test"
model = "{model}"
firmware_version = "1"

[device.declares]
keep_alive_s = 5
reboot_s = 4
result_s = 4
connect_s = 20

[device.factory]
configuration = {{ sampling_rate = 300 }}

[device.run]
exec = "{command}"
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def certified(tmp_path):
    """A function from a device's model and command to the finished certification, its verdict and what it found."""

    def run(model, command):
        (tmp_path / "device.toml").write_text(DEVICE_FILE.format(model=model, command=command))
        hil = [sys.executable, "-m", "harness.cli", "certify", "device", "--device", str(tmp_path / "device.toml")]
        done = subprocess.run([*hil, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=200, check=False)
        report = json.loads((tmp_path / "out" / "report.json").read_text())
        found = {check["id"]: check for check in report["checks"] if check["verdict"] not in ("pass", "skipped", "not-applicable")}
        return done, report["verdict"], found

    return run


def test_device_on_paho_is_certified_without_a_finding(certified):
    pytest.importorskip("paho.mqtt")
    done, verdict, found = certified("paho-mqtt", f"{sys.executable} {DEVICES / 'paho_device.py'}")
    assert found == {}, done.stderr[-2000:]
    assert (verdict, done.returncode) == ("pass", 0)


@pytest.mark.peer("mqttjs")
def test_device_on_mqttjs_is_certified_with_its_reconnects_as_the_only_weakness(certified, tmp_path):
    done, verdict, found = certified("MQTT.js", f"node {DEVICES / 'mqttjs_device.mjs'}")
    # MQTT.js waits the same time before each reconnect (`reconnectPeriod`), and its users rarely change that.
    assert set(found) == {"reconnects_back_off"}, done.stderr[-2000:]
    assert (verdict, done.returncode) == ("pass-with-warnings", 0)
    lines = (tmp_path / "out" / "history.jsonl").read_text().splitlines()
    evidence = [json.loads(lines[number - 1]) for number in found["reconnects_back_off"]["evidence"]]
    assert [fact["type"] for fact in evidence] == ["CONNECT"] * len(evidence)
