"""A device on MQTT.js, written as its user would write it, is certified; what its library does not do is reported, with the packets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

DEVICE = Path(__file__).parent / "devices" / "mqttjs_device.mjs"
DEVICE_FILE = f"""
[device]
vendor = "test"
model = "MQTT.js"
firmware_version = "1"

[device.declares]
keep_alive_s = 5
reboot_s = 4
result_s = 4
connect_s = 20

[device.factory]
configuration = {{ sampling_rate = 300 }}

[device.run]
exec = "node {DEVICE}"
"""


@pytest.mark.slow
@pytest.mark.peer("mqttjs")
def test_device_on_mqttjs_is_certified_with_its_reconnects_as_the_only_weakness(tmp_path):
    (tmp_path / "device.toml").write_text(DEVICE_FILE)
    command = [sys.executable, "-m", "harness.cli", "certify", "device", "--device", str(tmp_path / "device.toml")]
    run = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=200, check=False)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    found = {check["id"]: check for check in report["checks"] if check["verdict"] not in ("pass", "skipped", "not-applicable")}
    # MQTT.js waits the same time before each reconnect (`reconnectPeriod`), and its users rarely change that.
    assert set(found) == {"reconnects_back_off"}, run.stderr[-2000:]
    assert (report["verdict"], run.returncode) == ("pass-with-warnings", 0)
    lines = (tmp_path / "out" / "history.jsonl").read_text().splitlines()
    evidence = [json.loads(lines[number - 1]) for number in found["reconnects_back_off"]["evidence"]]
    assert [fact["type"] for fact in evidence] == ["CONNECT"] * len(evidence)
