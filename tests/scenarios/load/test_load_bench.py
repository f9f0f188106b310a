"""`make bench PART=load`: what a device costs in a Locust process, beside Locust's own MqttUser (paho) on the same broker.

An idle device costs paho a turn of its loop each second, and ours a ping each half keep-alive; a command costs both about the same. So the
ratio falls as commands come more often: 24 at one in five minutes, 5.6 at one a minute (measured on two shared cores).
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest

from simulators.platform.process import PlatformProcess

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
OURS = HERE.parents[2] / "scenarios" / "load" / "commands_locustfile.py"
THEIRS = HERE / "mqtt_user_locustfile.py"
WINDOW_S = 20.0
SECONDS_PER_COMMAND = 300.0
"""Each device is commanded once in five minutes: most of its life a device is only connected."""


def connected(target):
    with urlopen(target["api_url"] + "/metrics", timeout=10) as answer:
        found = re.search(r"^\w*connected\w* ([0-9.e+]+)$", answer.read().decode(), re.MULTILINE)
    return int(float(found[1]))


def cpu_s(process):
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def commanded(target, devices, duration_s):
    """Sends commands from outside for so long."""
    until = time.monotonic() + duration_s
    pause_s = SECONDS_PER_COMMAND / len(devices)
    number = 0
    while time.monotonic() < until:
        device = devices[number % len(devices)]
        number += 1
        url = f"{target['api_url']}/v2/projects/{device['project_id']}/devices/{device['id']}/communication/command"
        headers = {"Authorization": f"Bearer {target['api_keys']['full']}", "Content-Type": "application/json"}
        urlopen(Request(url, b'{"command": "configuration", "data": {"sampling_rate": 60}}', headers), timeout=10).close()
        time.sleep(pause_s)


def measured(locustfile, platform, count, tmp_path, *, operators):
    """Processor seconds a second of one Locust process with `count` connected devices, which somebody else commands."""
    target = platform.target()
    lines = (platform.target_path.parent / target["devices_file"]).read_text().splitlines()
    devices = [json.loads(line) for line in lines][-count:]
    environment = os.environ | {
        "HIL_LOAD_TARGET": str(platform.target_path),
        "HIL_LOAD_OUT": str(tmp_path),
        "HIL_LOAD_OPERATORS": str(operators),
        "HIL_LOAD_COMMANDS_PER_S": "0.001",
        "HIL_LOAD_SETTLE_S": "2",
    }
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "-u", str(count + operators), "-r", "100"]
    with (tmp_path / f"{locustfile.stem}-{count}.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while connected(target) < count:
                assert time.monotonic() < deadline, f"{connected(target)} of {count} connected"
                time.sleep(0.5)
            time.sleep(2)
            before = cpu_s(process)
            started = time.monotonic()
            commanded(target, devices, WINDOW_S)
            return (cpu_s(process) - before) / (time.monotonic() - started)
        finally:
            process.terminate()
            process.wait(60)


def test_load_devices_at_the_cpu_of_one_mqtt_user(tmp_path):
    """The cost of a device is the slope between few and many, so that what Locust itself costs does not count."""
    cost = {}
    with PlatformProcess(tmp_path / "state", "--provision", "2000") as platform:
        for name, locustfile, few, many, operators in (("MqttUser", THEIRS, 50, 300, 0), ("hil", OURS, 100, 2000, 1)):
            low, high = (measured(locustfile, platform, count, tmp_path, operators=operators) for count in (few, many))
            cost[name] = (high - low) / (many - few)
            print(f"\nload {name}: {100 * low:.1f} % of a core at {few} devices, {100 * high:.1f} % at {many}")
    ratio = cost["MqttUser"] / cost["hil"]
    figures = {"cpu_per_device_percent": {name: 100 * value for name, value in cost.items()}, "devices_ratio": ratio}
    reports = HERE.parents[2] / "reports" / "bench"
    reports.mkdir(parents=True, exist_ok=True)
    (reports / "load.json").write_text(json.dumps(figures, indent=2))
    print(f"load: {ratio:.1f} times the devices of MqttUser at the same CPU")
    assert ratio >= 5
