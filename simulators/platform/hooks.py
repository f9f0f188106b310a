"""The target file's hooks for this platform: `python -m simulators.platform.hooks --state DIR …` does what a portal user would do.

It works on the state directory beside the running platform, which sees every change at once: no admin endpoint has to be open for it.
"""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from harness.clock import SystemClock
from harness.entropy import SystemEntropy, draw_uuid
from harness.errors import BenchError
from harness.wire.commands import DeviceKind
from harness.wire.files import FileType
from simulators.platform.access import Device, secret_digest
from simulators.platform.contents import Contents
from simulators.platform.files import file_name_problem
from simulators.platform.provisioning import Secrets
from simulators.platform.rules import REFERENCE
from simulators.platform.service import Service
from simulators.platform.store import Store
from simulators.platform.target import device_table
from simulators.platform.trail import Trail

RESTART_TIME_S_MAX = 30.0
LOOK_EVERY_S = 0.02
STARTS = "starts"
PID_FILE = "pid"

app = typer.Typer(help=__doc__)


def hook_lines(state_directory: Path) -> dict[str, str]:
    """The table `[platform.hooks]` for a platform with this state directory."""
    door = f"{shlex.quote(sys.executable)} -m simulators.platform.hooks --state {shlex.quote(str(state_directory.absolute()))}"
    return {
        "upload_file": f"{door} upload {{project_id}} {{type}} {{name}} {{path}}",
        "delete_file": f"{door} delete {{project_id}} {{type}} {{name}}",
        "set_allowed_commands": f"{door} allow {{device_id}} {{value}}",
        "restart": f"{door} restart",
        "provision": f"{door} provision {{project_id}}",
        "deprovision": f"{door} deprovision {{device_id}}",
    }


class Nobody:
    """A publisher for hooks: they send no commands."""

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        raise NotImplementedError("hooks publish nothing")


@contextmanager
def opened(state: Path) -> Iterator[tuple[Store, Service]]:
    clock = SystemClock()
    store = Store(state / "platform.db")
    try:
        yield store, Service(store, Contents(state), Nobody(), clock, SystemEntropy(), REFERENCE, Trail(store, clock))
    finally:
        store.close()


@app.callback()
def door(context: typer.Context, state: Annotated[Path, typer.Option(exists=True, file_okay=False)]) -> None:
    """Changes a platform's state while it runs."""
    context.obj = state


@app.command()
def upload(context: typer.Context, project_id: str, file_type: FileType, name: str, path: Path) -> None:
    """Stores a file under a name."""
    if problem := file_name_problem(file_type, name):
        raise typer.BadParameter(problem)
    with opened(context.obj) as (_, service):
        service.put_file(project_id, file_type, name, path.read_bytes())


@app.command()
def delete(context: typer.Context, project_id: str, file_type: FileType, name: str) -> None:
    """Deletes a stored file."""
    with opened(context.obj) as (_, service):
        if not service.delete_file(project_id, file_type, name):
            raise typer.BadParameter("there is no such file")


@app.command()
def allow(context: typer.Context, device_id: str, value: str) -> None:
    """Sets a device's allowed commands."""
    with opened(context.obj) as (store, _):
        if not store.set_allowed_commands(device_id, value):
            raise typer.BadParameter("there is no such device")


@app.command()
def provision(context: typer.Context, project_id: str) -> None:
    """Adds an MQTT device and prints it as JSON."""
    with opened(context.obj) as (store, _):
        project = store.project(project_id)
        if project is None:
            raise typer.BadParameter("there is no such project")
        secrets = Secrets((context.obj / "secret").read_bytes())
        device_id = draw_uuid(SystemEntropy())
        device = Device(device_id, project_id, project.organisation_id, f"hook-{device_id[:8]}", DeviceKind.MQTT, "")
        store.add_devices([(device, secret_digest(secrets.device_token(device_id)))])
        typer.echo(json.dumps(device_table(device, secrets)))


@app.command()
def deprovision(context: typer.Context, device_id: str) -> None:
    """Takes a device away."""
    with opened(context.obj) as (store, _):
        store.remove_device(device_id)


@app.command()
def restart(context: typer.Context) -> None:
    """Restarts the platform that runs on this state, and returns when it serves again."""
    with opened(context.obj) as (store, _):
        starts = store.setting(STARTS)
        os.kill(int((context.obj / PID_FILE).read_text()), signal.SIGHUP)
        asyncio.run(_until_started(store, starts))


async def _until_started(store: Store, starts_before: str | None) -> None:
    for _ in range(round(RESTART_TIME_S_MAX / LOOK_EVERY_S)):
        await asyncio.sleep(LOOK_EVERY_S)
        if store.setting(STARTS) != starts_before:
            return
    raise BenchError(f"the platform did not serve again within {RESTART_TIME_S_MAX:g} s")


if __name__ == "__main__":
    app()
