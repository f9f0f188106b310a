"""`hil cleanup RUN`: undoes on the target what an interrupted run left there, as its journal tells."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from harness.bench.hooks import run_hook
from harness.bench.leftovers import Leftovers, leftovers_of
from harness.bench.mqtt_driver import MqttDriver
from harness.bench.target import Platform, read_target
from harness.certification import HISTORY_FILE
from harness.clock import SystemClock
from harness.errors import BenchError, ConfigurationError, JournalError
from harness.history.journal import read_journal
from harness.history.recorder import Recorder
from harness.history.timeline import History
from harness.operations import Connect

app = typer.Typer()


@app.command()
def cleanup(
    run: Annotated[Path, typer.Argument(help="The report directory of the interrupted run, or its history.jsonl.")],
    target: Annotated[Path | None, typer.Option(help="The target file; by default the one that the run was started with.")] = None,
) -> None:
    """Undo on the target what an interrupted run left: sessions, uploaded files, changed lists of commands."""
    path = run / HISTORY_FILE if run.is_dir() else run
    try:
        history = History(tuple(read_journal(path)))
    except JournalError as error:
        raise ConfigurationError(str(path), "", "", str(error).removeprefix(f"{path}: ")) from error
    left = leftovers_of(history.events, history.start.target)
    if not left.hooks() and not left.sessions():
        typer.echo("nothing is left of this run")
        return
    platform = read_target(target or _target_of(path, history.start.target)).platform
    troubles = asyncio.run(_undo(left, platform))
    for trouble in troubles:
        typer.echo(f"could not be undone: {trouble}", err=True)
    raise typer.Exit(3 if troubles else 0)


def _target_of(path: Path, target: Mapping[str, Any]) -> Path:
    if "file" not in target:
        raise ConfigurationError(str(path), "", "", "the run does not say its target file; name it with --target")
    return Path(str(target["file"]))


async def _undo(left: Leftovers, platform: Platform) -> list[str]:
    """Undoes everything that can be undone; returns what could not, a line each."""
    recorder = Recorder(SystemClock())
    troubles: list[str] = []
    for name, values in left.hooks():
        if getattr(platform.hooks, name) is None:
            troubles.append(f"{name} {values}: the target file has no [platform.hooks] {name}")
            continue
        try:
            await run_hook(platform.hooks, name, values, recorder)
            typer.echo(f"{name} {values}")
        except BenchError as error:
            troubles.append(f"{name} {values}: {error}")
    async with MqttDriver(platform, recorder) as mqtt:
        for device in (device for device in platform.devices if device.id in left.sessions()):
            try:
                await mqtt.connect(device, Connect(device.id, clean_session=True))
                await mqtt.disconnect(device.id, abruptly=False)
                typer.echo(f"session of device {device.id} ended")
            except BenchError as error:
                troubles.append(f"session of device {device.id}: {error}")
    return troubles
