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
from harness.cli import EXIT_OK, EXIT_VOID
from harness.clock import SystemClock
from harness.errors import BenchError, ConfigurationError
from harness.history.journal import recorded_history
from harness.history.recorder import Recorder
from harness.operations import Connect

app = typer.Typer()


@app.command(epilog="Example: hil cleanup reports/RUN")
def cleanup(
    run: Annotated[Path, typer.Argument(help="The report directory of the interrupted run, or its history.jsonl.")],
    target: Annotated[Path | None, typer.Option(help="The target file; by default the one that the run was started with.")] = None,
) -> None:
    """Undo on the target what an interrupted run left: sessions, uploaded files, changed lists of commands."""
    history = recorded_history(run)
    left = leftovers_of(history.events, history.start.target)
    if not left.hooks() and not left.sessions():
        typer.echo("nothing is left of this run")
        return
    platform = read_target(target or _target_of(run, history.start.target)).platform
    troubles = asyncio.run(_undo(left, platform))
    for trouble in troubles:
        typer.echo(f"could not be undone: {trouble}", err=True)
    raise typer.Exit(EXIT_VOID if troubles else EXIT_OK)


def _target_of(run: Path, target: Mapping[str, Any]) -> Path:
    if "file" not in target:
        raise ConfigurationError(str(run), "", "", "the run does not say its target file; name it with --target")
    return Path(str(target["file"]))


async def _undo(left: Leftovers, platform: Platform) -> list[str]:
    """Undoes everything that can be undone; returns what could not, a line each."""
    recorder = Recorder(SystemClock())
    troubles: list[str] = []
    for name, values in left.hooks():
        if getattr(platform.hooks, name) is None:
            troubles.append(f"{_told(name, values)}: the target file has no [platform.hooks] {name}")
            continue
        try:
            await run_hook(platform.hooks, name, values, recorder)
            typer.echo(_told(name, values))
        except BenchError as error:
            troubles.append(f"{_told(name, values)}: {error}")
    async with MqttDriver(platform, recorder) as mqtt:
        devices = {device.id: device for device in platform.devices}
        for device_id in left.sessions():
            device = devices.get(device_id)
            if device is None:
                troubles.append(f"session of device {device_id}: the target file does not name it")
                continue
            try:
                await mqtt.connect(device, Connect(device.id, clean_session=True))
                await mqtt.disconnect(device.id, abruptly=False)
                typer.echo(f"session of device {device.id} ended")
            except BenchError as error:
                troubles.append(f"session of device {device.id}: {error}")
    return troubles


def _told(name: str, values: Mapping[str, str]) -> str:
    """A hook with its values in words."""
    return f"{name} ({', '.join(f'{key} {value}' for key, value in values.items())})" if values else name
