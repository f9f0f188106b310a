"""A board as the device under test: in front of a platform and broker of its own, as certification puts it there."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from harness.bench.device_file import read_device_file
from harness.bench.serial.inventory import read_board
from harness.bench.serial.leases import Lease
from harness.bench.serial.ports import PortBusy
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.history.events import DeviceExited, DeviceStarted, MqttPacket, SerialLine
from harness.history.recorder import Recorder
from harness.operations import Call
from harness.wire.files import FileType
from harness.wire.responses import command_path
from harness.wire.topics import control_topic
from simulators.board.powered import BoardDevice
from simulators.counterpart.station import Station

BOARDS = Path(__file__).parents[3] / "fixtures" / "boards"
WITHIN_S = 20.0


@pytest.fixture(autouse=True)
def _leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIL_LEASE_DIR", str(tmp_path / "leases"))


class Seen:
    """The facts that the recorder wrote down."""

    def __init__(self, recorder: Recorder) -> None:
        self.facts: list[object] = []
        recorder.add_sink(self)

    def write(self, event) -> None:
        self.facts.append(event.fact)

    def results(self) -> list[tuple[str, dict[str, object]]]:
        packets = [fact for fact in self.facts if isinstance(fact, MqttPacket)]
        sent = [fact for fact in packets if fact.type == "PUBLISH" and fact.sent_by == "client" and not fact.dup]
        return [(fact.topic.split("/")[2], json.loads(fact.payload)) for fact in sent]

    def count(self, kind: type) -> int:
        return sum(isinstance(fact, kind) for fact in self.facts)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not is_so():
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def certified(name: str, state: Path, lease: Lease | None = None) -> AsyncIterator[tuple[Station, Seen]]:
    path = BOARDS / f"{name}.toml"
    file = read_device_file(path)
    recorder = Recorder(SystemClock())
    seen = Seen(recorder)
    entry = read_board(path, file.device.run.serial, name=name)
    make = partial(BoardDevice, entry=entry, state=state, clock=SystemClock(), entropy=SeededEntropy(1), recorder=recorder, lease=lease)
    async with Station(file.device, file.bench, SeededEntropy(2), recorder, make) as station:
        await station.power.on()
        await seen.until(lambda: station.is_connected)
        await seen.until(lambda: any(isinstance(fact, MqttPacket) and fact.type == "SUBACK" for fact in seen.facts))
        yield station, seen


async def tell(station: Station, seen: Seen, command: str, data: object, *, retain: bool = False) -> dict[str, object]:
    before = len(seen.results())
    await station.broker.publish(control_topic(station.device_id, command), json.dumps(data).encode(), qos=2, retain=retain)
    await seen.until(lambda: len(seen.results()) > before)
    name, result = seen.results()[before]
    assert name == command
    return result


@pytest.mark.parametrize("name", ["pty", pytest.param("mps2", marks=[pytest.mark.qemu, pytest.mark.slow])])
def test_a_board_without_a_network_is_a_device_on_the_network(tmp_path: Path, name: str) -> None:
    async def story() -> list[object]:
        async with certified(name, tmp_path) as (station, seen):
            configured = await tell(station, seen, "configuration", {"threshold": 30})
            asked = await tell(station, seen, "send_configuration", {})
            logo = bytes(range(256)) * 12
            file_name = station.store(FileType.LOGO, logo)
            offer = await station.http.call(station_download(station, file_name))
            await seen.until(lambda: len(seen.results()) == 3)
            return [
                offer.status,
                configured["success"],
                asked["configuration"],
                seen.results()[2][1]["sha256"],
                hashlib.sha256(logo).hexdigest(),
            ]

    status, configured, configuration, installed, stored = asyncio.run(story())
    assert (status, configured, configuration) == (200, True, {"threshold": 30})
    assert installed == stored


def station_download(station: Station, file_name: str):

    body = json.dumps({"command": "download_logo", "data": {"file_name": file_name}}).encode()
    headers = (("Authorization", f"Bearer {station.api_key}"), ("Content-Type", "application/json"))
    path = command_path(station.project_id, station.device_id)
    return Call(
        method="POST", path=path, endpoint="command", credential="api-key:full", headers=headers, body=body,
        project_id=station.project_id, device_id=station.device_id,
    )  # fmt: skip


QEMU = [pytest.mark.qemu, pytest.mark.slow]


@pytest.mark.parametrize("name", ["pty", *(pytest.param(name, marks=QEMU) for name in ("mps2", "netduinoplus2"))])
def test_a_reboot_is_an_exit_of_its_own_and_a_new_connection(tmp_path: Path, name: str) -> None:
    async def story() -> list[int]:
        async with certified(name, tmp_path) as (station, seen):
            await tell(station, seen, "reboot", {})
            await seen.until(lambda: seen.count(DeviceStarted) == 2)
            await seen.until(lambda: sum(isinstance(fact, MqttPacket) and fact.type == "CONNACK" for fact in seen.facts) == 2)
            await tell(station, seen, "send_configuration", {})
            return [seen.count(DeviceExited), seen.count(DeviceStarted), seen.count(SerialLine) > 0]

    assert asyncio.run(story()) == [1, 2, True]


@pytest.mark.parametrize("name", ["pty", pytest.param("mps2", marks=[pytest.mark.qemu, pytest.mark.slow])])
def test_a_power_cut_is_no_reboot_and_what_was_stored_stays(tmp_path: Path, name: str) -> None:
    async def story() -> list[object]:
        async with certified(name, tmp_path) as (station, seen):
            await tell(station, seen, "configuration", {"threshold": 30})
            await station.power.cut()
            await station.power.on()
            await seen.until(lambda: seen.count(DeviceStarted) == 2)
            asked = await tell(station, seen, "send_configuration", {})
            return [seen.count(DeviceExited), asked["configuration"]]

    assert asyncio.run(story()) == [0, {"threshold": 30}]


def test_a_retained_command_is_not_handed_to_the_board(tmp_path: Path) -> None:
    async def story() -> dict[str, object]:
        async with certified("pty", tmp_path) as (station, seen):
            await station.broker.publish(control_topic(station.device_id, "configuration"), b'{"a":1}', qos=2, retain=True)
            await seen.until(lambda: len(seen.results()) == 1)
            await station.broker.disconnect(station.device_id)
            await seen.until(lambda: not station.is_connected)
            await seen.until(lambda: station.is_connected)
            return await tell(station, seen, "send_configuration", {})

    assert asyncio.run(story())["success"]


def test_nobody_gets_a_leased_board_while_its_power_is_cut(tmp_path: Path) -> None:
    async def story(lease: Lease) -> dict[str, object]:
        async with certified("pty", tmp_path, lease) as (station, seen):
            await station.power.cut()
            with pytest.raises(PortBusy):
                Lease(lease.identity).acquire()
            await station.power.on()
            await seen.until(lambda: station.is_connected)
            return await tell(station, seen, "configuration", {"threshold": 30})

    with Lease("emulator:pty:pty") as lease:
        assert asyncio.run(story(lease))["success"] is True
        assert lease.is_held
