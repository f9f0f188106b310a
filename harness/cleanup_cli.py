"""`hil cleanup RUN`: undoes on the target what an interrupted run left there, as its journal tells, and nothing of it twice."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from harness.bench.hooks import run_hook
from harness.bench.leftovers import Leftovers, leftovers_of
from harness.bench.mqtt_driver import MqttDriver
from harness.bench.target import Platform, read_target
from harness.cli import EXIT_OK, EXIT_VOID
from harness.clock import SystemClock
from harness.errors import BenchError, ConfigurationError
from harness.history.journal import UNDONE_FILE, recorded_history
from harness.history.recorder import Recorder
from harness.operations import Connect
from harness.outputs import write_file

Undoing: TypeAlias = tuple[str, Mapping[str, str]]
"""What takes a leftover away: a hook's name or `_END_SESSION`, and the values."""

_END_SESSION = "session"

app = typer.Typer()


class Notes:
    """What has been undone of a run, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []

    def __contains__(self, undoing: Undoing) -> bool:
        return json.dumps(undoing) in self._lines

    def add(self, *undoings: Undoing) -> None:
        """Writes them down; with none it only tries. Raises OptionError where the file cannot be written."""
        self._lines += map(json.dumps, undoings)
        write_file("RUN", self._path, "".join(f"{line}\n" for line in self._lines))


@app.command(epilog="Example: hil cleanup reports/RUN")
def cleanup(
    run: Annotated[Path, typer.Argument(help="The report directory of the interrupted run, or its history.jsonl.")],
    target: Annotated[Path | None, typer.Option(help="The target file; by default the one that the run was started with.")] = None,
) -> None:
    """Undo on the target what an interrupted run left: sessions, uploaded files, changed lists of commands."""
    history = recorded_history(run)
    notes = Notes((run if run.is_dir() else run.parent) / UNDONE_FILE)
    left = [undoing for undoing in _undoings(leftovers_of(history.events, history.start.target)) if undoing not in notes]
    if not left:
        typer.echo("nothing is left of this run")
        return
    platform = read_target(target or _target_of(run, history.start.target)).platform
    notes.add()  # Before anything is undone that could not be noted.
    is_all_undone = asyncio.run(_undo(left, platform, notes))
    raise typer.Exit(EXIT_OK if is_all_undone else EXIT_VOID)


def _target_of(run: Path, target: Mapping[str, Any]) -> Path:
    if "file" not in target:
        raise ConfigurationError(str(run), "", "", "the run does not say its target file; name it with --target")
    return Path(str(target["file"]))


def _undoings(left: Leftovers) -> list[Undoing]:
    return [*left.hooks(), *((_END_SESSION, {"device_id": device_id}) for device_id in left.sessions())]


async def _undo(undoings: Iterable[Undoing], platform: Platform, notes: Notes) -> bool:
    """Undoes what can be undone, and tells of each what came of it; whether nothing is left."""
    recorder = Recorder(SystemClock())
    is_all_undone = True
    async with MqttDriver(platform, recorder) as mqtt:
        for name, values in undoings:
            told = f"{name} ({', '.join(f'{key} {value}' for key, value in values.items())})" if values else name
            try:
                if name == _END_SESSION:
                    await _end_session(platform, values["device_id"], mqtt)
                else:
                    await _run_hook(platform, name, values, recorder)
            except BenchError as error:
                typer.echo(f"could not be undone: {told}: {error}", err=True)
                is_all_undone = False
            else:
                notes.add((name, values))
                typer.echo(f"undone: {told}")
    return is_all_undone


async def _run_hook(platform: Platform, name: str, values: Mapping[str, str], recorder: Recorder) -> None:
    if getattr(platform.hooks, name) is None:
        raise BenchError(f"the target file has no [platform.hooks] {name}")
    await run_hook(platform.hooks, name, values, recorder)


async def _end_session(platform: Platform, device_id: str, mqtt: MqttDriver) -> None:
    device = next((device for device in platform.devices if device.id == device_id), None)
    if device is None:
        raise BenchError("the target file does not name it")
    connected = await mqtt.connect(device, Connect(device_id, clean_session=True))
    if not connected.is_accepted:
        raise BenchError(f"its login was refused with return code {connected.return_code}")
    await mqtt.disconnect(device_id, abruptly=False)
