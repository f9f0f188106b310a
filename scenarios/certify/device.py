"""`hil certify device`: plays the platform for a device and judges its firmware."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import typer

from harness.bench.device_file import DeviceFile, Run, read_device_file
from harness.bench.serial.board import device_behind, open_board, url_of
from harness.bench.serial.inventory import BoardEntry, read_board
from harness.bench.serial.leases import Lease
from harness.bench.serial.ports import ROWS_OF_THE_BENCH, LinkKind
from harness.certification import Certification, Outcome, Part, RunOptions, Subject
from harness.clock import SystemClock
from harness.entropy import SeededEntropy
from harness.history.recorder import Recorder
from harness.scenario import all_scenarios
from scenarios.certify.broker import broker_check
from scenarios.certify.conduct import run_parts
from scenarios.certify.options import CommonOptions
from simulators.board.powered import BoardDevice
from simulators.counterpart.bench import DeviceBench
from simulators.counterpart.power import AttachedDevice, BuiltInDevice, Credentials, ExecDevice, PoweredDevice, ScopeOf
from simulators.counterpart.preparation import FindLine, Line
from simulators.counterpart.station import MakeDevice, state_directory_of

_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")
INSTANCES = 6  # of a device that can be started several times


async def certify_device(path: Path, wait_s: float, run: RunOptions, options: CommonOptions) -> Outcome | None:
    """Questions the device of a device file; a board that another job has leased is waited for.

    Raises ConfigurationError for a mistake in the file, BenchError for a board that does not open.
    """
    file = read_device_file(path)
    board = board_of(file, path)
    subject = Subject("device", file.device.name, file.device.hardening, declaration=declaration_facts(file))
    return await _certify(file, path, board, wait_s, subject, run, options)


async def certify_board(path: Path, board: BoardEntry, wait_s: float, run: RunOptions, options: CommonOptions) -> Outcome | None:
    """Questions a board of an inventory that makes the claims of the device file at `path`, whatever way of running it stands there."""
    file = read_device_file(path)
    place = Run(serial=board.model_dump(mode="json", exclude_none=True, exclude={"program", "agent", "device"}))
    file = file.model_copy(update={"device": file.device.model_copy(update={"run": place})})
    name = f"{file.device.name} ({board.name})"
    subject = Subject("device", name, file.device.hardening, declaration=declaration_facts(file))
    return await _certify(file, path, board, wait_s, subject, run, options)


async def _certify(
    file: DeviceFile, path: Path, board: BoardEntry | None, wait_s: float, subject: Subject, run: RunOptions, options: CommonOptions
) -> Outcome | None:
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hil-device-")))
        lease = None
        if board is not None and not options.plan:
            lease = await stack.enter_async_context(leased(board, wait_s))
            await require_board(board, lease, directory / "looked at")
        certification = Certification(run, subject, SystemClock())
        make_device = device_maker(file, path, directory, certification.recorder, seed=run.seed, board=board, lease=lease)
        entropy = SeededEntropy(run.seed)
        bench = DeviceBench(
            file, make_device, certification.recorder, entropy, instances=instances_of(file), find_line=serial_line_of(board)
        )
        await stack.enter_async_context(bench)
        return await run_parts(certification, (device_part(bench, rows_of_the_bench(board)),), options)


@asynccontextmanager
async def leased(board: BoardEntry, wait_s: float) -> AsyncIterator[Lease]:
    """The board for us alone from the first look to the last word: also while its power is cut. Raises PortBusy after `wait_s` seconds."""
    lease = Lease(board.identity, holder="hil certify device")
    await lease.acquire_until(asyncio.get_running_loop().time() + wait_s)
    try:
        yield lease
    finally:
        lease.release()


def board_of(file: DeviceFile, path: Path) -> BoardEntry | None:
    """The board that the device file at `path` declares, or None where the device is none."""
    table = file.device.run.serial
    return None if table is None else read_board(path, table, name=_NO_NAME.sub("-", path.stem))


def serial_line_of(board: BoardEntry | None) -> FindLine | None:
    """How to find a board's serial line when a command of the user's needs it; None where there is none that others could open."""
    return None if board is None or board.emulator is not None else partial(_serial_line, board)


def _serial_line(board: BoardEntry) -> Line:
    url = url_of(board)
    return Line(url, device_behind(url))


async def require_board(board: BoardEntry, lease: Lease, state: Path) -> None:
    """Opens a board and closes it again. Raises BenchError, in one sentence, before hundred scenarios say the same."""
    async with open_board(board, clock=SystemClock(), entropy=SeededEntropy(0), state=state, lease=lease):
        pass


def rows_of_the_bench(board: BoardEntry | None) -> dict[str, str]:
    """The requirements that would judge our own MQTT and HTTP in the place of a board without a network, with the reason."""
    if board is None or board.link is LinkKind.NETWORK:
        return {}
    reason = f'[device.run.serial] link = "{board.link.value}": the bench does MQTT and HTTP for this board'
    return dict.fromkeys(ROWS_OF_THE_BENCH, reason)


def instances_of(file: DeviceFile) -> int:
    """How many of the device can stand side by side: several of a program whose identity and ports are ours to choose, else one."""
    is_alone = file.device.identity is not None or file.bench.api_port or file.bench.mqtt_port
    return 1 if file.device.run.exec is None or is_alone else INSTANCES


def device_part(bench: DeviceBench, not_applicable: Mapping[str, str] = MappingProxyType({})) -> Part:
    """All scenarios that question a device, on this bench; `not_applicable` as `harness.runner.make_plan` takes it."""
    return Part(bench, tuple(all_scenarios("device").values()), broker_check("embedded"), not_applicable)


def declaration_facts(file: DeviceFile) -> dict[str, Any]:
    """The declaration as the timeline's first event keeps it, without the identity's token."""
    return file.device.model_dump(mode="json", exclude_none=True, exclude={"identity": {"token"}})


def device_maker(
    file: DeviceFile,
    path: Path,
    state: Path,
    recorder: Recorder,
    *,
    seed: int,
    board: BoardEntry | None = None,
    lease: Lease | None = None,
) -> MakeDevice:
    """How an instance of the device declared in the file `path` is made, once its credentials are known."""
    run = file.device.run
    if run.exec is not None:
        return partial(_exec_device, run.exec, run.directory_of(run.exec), state, recorder)
    if run.attach:
        return lambda credentials, scope_of: AttachedDevice(credentials, partial(typer.echo, err=True))
    board = board or board_of(file, path)
    assert board is not None  # the device file holds exactly one way to run it
    return partial(
        BoardDevice,
        entry=board,
        state=state,
        clock=SystemClock(),
        entropy=SeededEntropy(f"{seed}/board"),
        recorder=recorder,
        lease=lease,
        boot_pattern=file.device.observe.boot_pattern,
    )


def _exec_device(
    command: str, directory: Path | None, state: Path, recorder: Recorder, credentials: Credentials, scope_of: ScopeOf
) -> PoweredDevice:
    return ExecDevice(credentials, command, state_directory_of(state, credentials.device_id), recorder, scope_of, directory=directory)


def built_in_maker(seed: int, recorder: Recorder) -> MakeDevice:
    """The virtual device of this product, in our own process."""

    def make(credentials: Credentials, scope_of: ScopeOf) -> PoweredDevice:
        return BuiltInDevice(credentials, SeededEntropy(f"{seed}/{credentials.device_id}"), recorder, scope_of)

    return make
