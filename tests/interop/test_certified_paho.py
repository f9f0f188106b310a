"""A device on paho-mqtt, written as its user would write it, is certified."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("paho.mqtt")

DEVICE = Path(__file__).parent / "devices" / "paho_device.py"
DEVICE_FILE = f"""
[device]
vendor = "test"
model = "paho-mqtt"
firmware_version = "1"

[device.declares]
keep_alive_s = 5
reboot_s = 4
result_s = 4
connect_s = 20

[device.factory]
configuration = {{ sampling_rate = 300 }}

[device.run]
exec = "{sys.executable} {DEVICE}"
"""


@pytest.mark.slow
def test_device_on_paho_is_certified_without_a_finding(tmp_path):
    (tmp_path / "device.toml").write_text(DEVICE_FILE)
    command = [sys.executable, "-m", "harness.cli", "certify", "device", "--device", str(tmp_path / "device.toml")]
    run = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=200, check=False)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    found = {check["id"]: check["detail"] for check in report["checks"] if check["verdict"] not in ("pass", "skipped", "not-applicable")}
    assert found == {}, run.stderr[-2000:]
    assert (report["verdict"], run.returncode) == ("pass", 0)
