"""`[device.prepare]`: flash comes before the first power-on, after_reset after a reset; both fill in the line and stay on record."""

import asyncio
from pathlib import Path

import pytest

from harness.bench.device_file import Declares, Device, DeviceFile, Prepare, Run
from harness.bench.serial.board import device_behind
from harness.bench.serial.ports import PortAbsent
from harness.bench.toml_file import from_file
from harness.clock import SystemClock
from harness.device_operations import Boot, Tell, Until
from harness.entropy import SeededEntropy
from harness.errors import BenchError
from harness.history.events import DeviceStarted, HookRun, MqttPacket
from harness.history.recorder import Recorder
from harness.wire.topics import parse_control_topic
from simulators.counterpart.bench import DeviceBench
from simulators.counterpart.power import BuiltInDevice, Credentials, environment_of
from simulators.counterpart.preparation import Line, Preparation

CREDENTIALS = Credentials("dev-1", "secret-token", "mqtt://127.0.0.1:1", "http://127.0.0.1:2", 5)


def preparation(recorder, *, find_line=None, file=Path("device.toml"), **commands):
    prepare = Prepare.model_validate(commands, context=from_file(file))
    return Preparation(prepare, environment_of(CREDENTIALS), recorder, find_line, asyncio.Lock())


@pytest.fixture
def recorder():
    return Recorder(SystemClock())


def hooks(recorder):
    return [seen.fact for seen in recorder.history().of(HookRun)]


@pytest.mark.parametrize(
    ("find_line", "filled_in"),
    [
        (None, "echo mqtt://127.0.0.1:1 1"),
        (lambda: Line("hwgrep://ACME", "/dev/ttyACM0"), "echo hwgrep://ACME /dev/ttyACM0"),
        (lambda: Line("/dev/a port", "/dev/a port"), "echo '/dev/a port' '/dev/a port'"),
    ],
    ids=["no line", "serial line", "quoted"],
)
def test_url_and_port_are_filled_in_quoted(recorder, find_line, filled_in):
    asyncio.run(preparation(recorder, find_line=find_line, flash="echo {url} {port}").flash())

    assert hooks(recorder) == [HookRun("flash", filled_in, 0, filled_in.removeprefix("echo ").replace("'", ""))]


def test_command_finds_the_device_in_its_environment(recorder):
    asyncio.run(preparation(recorder, after_reset="echo $HIL_DEVICE_ID ${HIL_API_URL}").after_reset())

    assert hooks(recorder)[0].output == "dev-1 http://127.0.0.1:2"


def test_command_starts_beside_the_device_file_that_names_it(recorder, tmp_path):
    (tmp_path / "flash.sh").write_text("pwd")

    asyncio.run(preparation(recorder, file=tmp_path / "device.toml", flash="sh flash.sh").flash())

    assert hooks(recorder)[0].output == str(tmp_path)


def test_flash_runs_once(recorder):
    prepared = preparation(recorder, flash="true")

    async def twice():
        await prepared.flash()
        await prepared.flash()

    asyncio.run(twice())

    assert len(hooks(recorder)) == 1


def test_failing_flash_is_one_line_each_time_and_its_output_is_kept(recorder):
    prepared = preparation(recorder, flash="echo connecting; echo no chip answers; exit 3")

    async def attempt():
        await prepared.flash()

    for _ in range(2):
        with pytest.raises(BenchError) as raised:
            asyncio.run(attempt())
        assert str(raised.value) == "[device.prepare] flash ended with status 3: no chip answers"

    assert [hook.output for hook in hooks(recorder)] == ["connecting\nno chip answers"]


def test_port_behind_a_url_is_what_flashing_tools_want():
    assert device_behind("/dev/ttyACM0") == "/dev/ttyACM0"
    assert device_behind("socket://127.0.0.1:7000") == "socket://127.0.0.1:7000"


@pytest.mark.parametrize("url", ["hwgrep://no such adapter", "nothing://"])
def test_url_without_a_port_behind_it_is_a_port_that_is_absent(url):
    with pytest.raises(PortAbsent, match="no such port"):
        device_behind(url)


# --- on the bench -----------------------------------------------------------------------------------------------------------------


def answer_to(command):
    def matches(fact):
        topic = parse_control_topic(fact.topic or "") if isinstance(fact, MqttPacket) and fact.sent_by == "client" else None
        return topic is not None and topic.command == command and fact.type == "PUBLISH"

    return matches


async def perform(recorder, prepare, operations):
    device = Device(
        vendor="hil",
        model="virtual device",
        firmware_version="1",
        declares=Declares(keep_alive_s=5),
        prepare=prepare,
        run=Run(exec="hil device"),
    )

    def make_device(credentials, scope_of):
        return BuiltInDevice(credentials, SeededEntropy(1), recorder, scope_of)

    async with DeviceBench(DeviceFile(device=device), make_device, recorder, SeededEntropy(1)) as bench:
        cast = bench.any_cast()
        for operation in operations:
            await bench.perform(cast, operation)


def test_flash_comes_before_the_first_power_on_and_only_then(recorder):
    asyncio.run(perform(recorder, Prepare(flash="true"), [Boot(), Boot()]))

    history = recorder.history()
    (flashed,) = history.of(HookRun)
    assert flashed.line < next(iter(history.of(DeviceStarted))).line


def test_after_reset_runs_when_the_device_has_carried_out_the_reset(recorder):
    operations = [Boot(), Tell("reset"), Until(answer_to("reset"), 5), Tell("send_configuration"), Tell("reboot")]
    asyncio.run(perform(recorder, Prepare(after_reset="true"), operations))

    history = recorder.history()
    (ran,) = history.of(HookRun)
    commands = {
        parse_control_topic(seen.fact.topic).command: seen.line for seen in history.packets("PUBLISH") if seen.fact.sent_by == "server"
    }
    assert commands["reset"] < ran.line < commands["send_configuration"]


def test_device_that_could_not_be_flashed_is_not_switched_on(recorder):
    with pytest.raises(BenchError, match=r"\[device\.prepare\] flash ended with status 1"):
        asyncio.run(perform(recorder, Prepare(flash="false"), [Boot()]))

    assert not list(recorder.history().of(DeviceStarted))
