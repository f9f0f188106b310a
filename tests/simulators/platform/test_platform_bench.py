"""`make bench PART=platform`: what the reference platform carries, measured with the load generator beside it on the same cores."""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import psutil
import pytest

from simulators.platform.process import PlatformProcess

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1_200)]

GENERATOR = Path(__file__).with_name("load_generator.py")
FAST_COMMANDS = 300


@pytest.fixture(autouse=True)
def enough_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 20_000:
        pytest.skip(f"the limit of open files is {hard}; `ulimit -n 20000` raises it")


def generate(*arguments):
    """The figures of one run of the load generator."""
    command = [sys.executable, str(GENERATOR), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout)


def told(name, figures):
    shown = (f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in figures.items())
    print(f"\nplatform {name}: " + ", ".join(shown))


@pytest.mark.requirement("CMD-03")
def test_platform_commands_per_second_at_100_and_5000_devices(tmp_path):
    with PlatformProcess(tmp_path, "--provision", "5000") as platform:
        runs = {count: [] for count in (100, 5_000)}
        for _ in range(3):
            for count, done in runs.items():
                done.append(generate("commands", platform.target_path, count, 8, 24))
                told(f"commands at {count} devices", done[-1])
    for done in runs.values():
        assert all(run["delivered"] == run["accepted"] == run["sent"] for run in done)
    few, many = (statistics.median(run["commands_per_s"] for run in done) for done in runs.values())
    told("commands, median", {"at_100_per_s": few, "at_5000_per_s": many, "ratio": many / few})
    assert many >= 1_500
    assert many >= 0.85 * few


class Client:
    """Sends one command after the other over one connection of curl's library in the standard library."""

    def __init__(self, target):
        url = urlsplit(target["api_url"])
        self.connection = HTTPConnection(url.hostname, url.port, timeout=60)
        self.target = target
        self.device = next(device for device in target["devices"] if device["kind"] == "mqtt" and not device["allowed_commands"])

    def p99_s(self):
        """The 99th percentile of the time of a command."""
        path = f"/v2/projects/{self.device['project_id']}/devices/{self.device['id']}/communication/command"
        headers = {"Authorization": f"Bearer {self.target['api_keys']['full']}", "Content-Type": "application/json"}
        times = []
        for _ in range(FAST_COMMANDS):
            began = perf_counter()
            self.connection.request("POST", path, b'{"command": "blink"}', headers)
            answer = self.connection.getresponse()
            answer.read()
            times.append(perf_counter() - began)
            assert answer.status == 200
        return sorted(times)[int(FAST_COMMANDS * 0.99)]


@pytest.mark.requirement("DLD-07")
@pytest.mark.requirement("DLD-11")
def test_platform_two_thousand_slow_downloads_cost_little_and_slow_nobody(tmp_path):
    files = tmp_path / "files"
    (files / "firmware").mkdir(parents=True)
    (files / "firmware" / "large.bin").write_bytes(os.urandom(16 * 2**20))
    with PlatformProcess(tmp_path / "state", "--provision", "2000", "--files", str(files)) as platform:
        command = [sys.executable, str(GENERATOR), "downloads", str(platform.target_path), "2000", "large.bin"]
        generator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert json.loads(generator.stdout.readline()) == {"commanded": 2_000}
        process, client = psutil.Process(platform.pid), Client(platform.target())
        client.p99_s()
        idle_s, idle_bytes = statistics.median(client.p99_s() for _ in range(3)), process.memory_info().rss
        generator.stdin.write("go\n")
        generator.stdin.flush()
        assert json.loads(generator.stdout.readline()) == {"running": 2_000}
        busy_bytes = process.memory_info().rss
        busy_s = statistics.median(client.p99_s() for _ in range(3))
        generator.stdin.close()
        generator.kill()
        generator.wait()
        per_download = (busy_bytes - idle_bytes) / 2_000
        told("2,000 slow downloads", {"bytes_each": per_download, "p99_idle_s": idle_s, "p99_busy_s": busy_s, "ratio": busy_s / idle_s})
        assert per_download <= 20 * 1024
        assert busy_s <= 2 * idle_s


NGINX = """
daemon off; worker_processes 1; error_log stderr crit; pid {directory}/nginx.pid;
events {{ }}
http {{ access_log off; sendfile on; tcp_nopush on; server {{ listen 127.0.0.1:{port}; root {directory}; }} }}
"""


def curl_s(url, *headers):
    """Seconds that curl takes to fetch the URL into nowhere."""
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{time_total}", *headers, url]
    status, size, seconds = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert (status, int(size)) == ("200", 64 * 2**20)
    return float(seconds)


@pytest.mark.peer("nginx")
@pytest.mark.peer("curl")
def test_platform_a_64_mib_download_beside_nginx(find_program):
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    directory.chmod(0o755)  # nginx's worker is another user
    (directory / "firmware").mkdir()
    (directory / "firmware" / "large.bin").write_bytes(os.urandom(64 * 2**20))
    (directory / "nginx.conf").write_text(NGINX.format(directory=directory, port=(port := 18_000 + os.getpid() % 10_000)))
    nginx = subprocess.Popen([find_program("nginx"), "-c", str(directory / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        with PlatformProcess(directory / "state", "--files", str(directory), "--provision", "9") as platform:
            rounds = [
                (curl_s(offer, "-H", f"Authorization: Basic {token}"), curl_s(f"http://127.0.0.1:{port}/firmware/large.bin"))
                for offer, token in generate("offers", platform.target_path, 9, "large.bin")
            ]
    finally:
        nginx.terminate()
        nginx.wait()
        shutil.rmtree(directory)
    ours, theirs = (64 / statistics.median(seconds) for seconds in zip(*rounds, strict=True))
    told("64 MiB download", {"ours_mib_per_s": ours, "nginx_mib_per_s": theirs, "ratio": ours / theirs})
    assert ours >= 0.5 * theirs
