"""A program as the device under test: its exits, its restarts, its environment, and its end."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from harness.clock import SystemClock
from harness.history.events import DeviceExited, DeviceStarted, SerialLine
from harness.history.recorder import Recorder
from simulators.counterpart.power import AttachedDevice, Credentials, ExecDevice, in_place_of_the_shell

CREDENTIALS = Credentials("dev-1", "secret-token", "mqtt://127.0.0.1:1", "http://127.0.0.1:2", 5)


class Bench:
    """An exec device, and what was recorded of it."""

    def __init__(self, program, directory):
        script = directory / "device.py"
        script.write_text(program)
        self.recorder = Recorder(SystemClock())
        self.seen = asyncio.Event()
        self.recorder.add_sink(self)
        command = f"{sys.executable} {script}"
        self.device = ExecDevice(CREDENTIALS, command, directory, self.recorder, lambda device_id: "scene", directory=directory)

    def write(self, event):
        self.seen.set()

    def facts(self, kind):
        return [seen.fact for seen in self.recorder.history().of(kind)]

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():
                self.seen.clear()
                await self.seen.wait()

    @property
    def lines(self):
        return [fact.text for fact in self.facts(SerialLine)]


def trial(program, tmp_path, scene):
    """Runs `scene(bench)` with a device that runs `program`."""

    async def run():
        bench = Bench(program, tmp_path)
        await bench.device.on()
        try:
            await scene(bench)
        finally:
            await bench.device.off()
        return bench

    return asyncio.run(run())


@pytest.mark.parametrize("status", [0, 3])
def test_program_that_ends_is_recorded_with_its_status_and_started_again(status, tmp_path):
    async def scene(bench):
        await bench.until(lambda: len(bench.facts(DeviceStarted)) == 2)

    bench = trial(f"raise SystemExit({status})", tmp_path, scene)
    assert bench.facts(DeviceExited)[0] == DeviceExited("dev-1", status, by_us=False)
    assert [fact.boot for fact in bench.facts(DeviceStarted)][:2] == [1, 2]


def test_program_is_told_its_credentials_by_the_environment(tmp_path):
    names = ("HIL_MQTT_URL", "HIL_API_URL", "HIL_DEVICE_ID", "HIL_DEVICE_TOKEN", "HIL_KEEP_ALIVE_S", "HIL_CA_FILE", "HIL_STATE_DIR")
    program = f"import os, time\nfor name in {names!r}: print(name, os.environ[name], flush=True)\ntime.sleep(60)"

    async def scene(bench):
        await bench.until(lambda: len(bench.lines) == len(names))

    lines = trial(program, tmp_path, scene).lines
    assert lines[:5] == [
        "HIL_MQTT_URL mqtt://127.0.0.1:1",
        "HIL_API_URL http://127.0.0.1:2",
        "HIL_DEVICE_ID dev-1",
        "HIL_DEVICE_TOKEN secret-token",
        "HIL_KEEP_ALIVE_S 5",
    ]


def test_program_is_ended_with_sigterm_and_may_say_goodbye(tmp_path):
    program = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('ready', flush=True)\ntime.sleep(60)"

    async def scene(bench):
        await bench.until(lambda: "ready" in bench.lines)

    assert trial(program, tmp_path, scene).facts(DeviceExited) == [DeviceExited("dev-1", 7, by_us=True)]


def test_children_of_the_program_do_not_outlive_it(tmp_path):
    program = "import subprocess, time\nchild = subprocess.Popen(['sleep', '300'])\nprint(child.pid, flush=True)\ntime.sleep(60)"

    async def scene(bench):
        await bench.until(lambda: bool(bench.lines))
        await bench.device.cut()

    child = int(trial(program, tmp_path, scene).lines[0])
    assert _is_gone(child)


def test_child_that_holds_the_console_does_not_hide_a_reboot(tmp_path):
    program = "import subprocess\nchild = subprocess.Popen(['sleep', '300'])\nprint(child.pid, flush=True)"

    async def scene(bench):
        await bench.until(lambda: bool(bench.facts(DeviceExited)))

    bench = trial(program, tmp_path, scene)
    assert bench.facts(DeviceExited)[0].status == 0
    assert _is_gone(int(bench.lines[0]))


def _is_gone(pid):
    """Whether a process is no longer running, or soon will be; nobody may have collected it yet."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        threading.Event().wait(0.01)
    return False


def test_power_cut_kills_at_once_and_power_on_boots_again(tmp_path):
    program = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"

    async def scene(bench):
        await bench.until(lambda: bench.lines == ["ready"])
        await bench.device.cut()
        await bench.device.on()
        await bench.until(lambda: bench.lines == ["ready", "ready"])
        await bench.device.cut()

    bench = trial(program, tmp_path, scene)
    assert {fact.by_us for fact in bench.facts(DeviceExited)} == {True}
    assert {event.scope for event in bench.recorder.history().events} == {"scene"}


def test_endless_line_on_the_console_is_cut_not_kept(tmp_path):
    program = "import sys, time\nsys.stdout.write('x' * 500_000)\nsys.stdout.flush()\ntime.sleep(60)"

    async def scene(bench):
        await bench.until(lambda: bool(bench.lines))

    assert max(map(len, trial(program, tmp_path, scene).lines)) < 200_000


def test_attached_device_is_told_once_where_to_connect():
    said = []
    device = AttachedDevice(CREDENTIALS, said.append)
    asyncio.run(device.on())
    asyncio.run(device.on())
    assert said.count("HIL_DEVICE_TOKEN=secret-token") == 1
    assert said[-1] == "waiting for the device to connect"


@pytest.mark.parametrize(
    ("command", "started"),
    [
        ("node device.mjs", "exec node device.mjs"),
        ("cd x && ./run", "cd x && ./run"),
        ("A=1 ./run", "A=1 ./run"),
        ("./run > log", "./run > log"),
    ],
)
def test_shell_stands_aside_where_it_is_not_needed(command, started):
    assert in_place_of_the_shell(command) == started
