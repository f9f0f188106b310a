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
from simulators.platform.storage import Storage
from simulators.platform.store import Store
from simulators.platform.target import device_table
from simulators.platform.trail import Trail

RESTART_TIME_S_MAX = 30.0
LOOK_EVERY_S = 0.02
STARTS = "starts"
BROKER_CHANGES = "broker changes"
PID_FILE = "pid"
# What a running platform does at a signal; the first is for the platform as a whole.
RESTART, STOP_BROKER, START_BROKER = signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2
_MEMORY_OF_PROCESSES = Path("/proc")

app = typer.Typer(help=__doc__, rich_markup_mode=None)  # plain lines: whoever runs a hook shows the last one


def hook_lines(state_directory: Path, *, has_own_broker: bool) -> dict[str, str]:
    """The table `[platform.hooks]` for a platform with this state directory. A broker that is not its own it can neither stop nor start."""
    door = f"{shlex.quote(sys.executable)} -m simulators.platform.hooks --state {shlex.quote(str(state_directory.absolute()))}"
    of_the_broker = {"stop_broker": f"{door} stop-broker", "start_broker": f"{door} start-broker"} if has_own_broker else {}
    of_the_process = {"memory_bytes": f"{door} memory"} if _MEMORY_OF_PROCESSES.is_dir() else {}
    return {
        "upload_file": f"{door} upload {{project_id}} {{type}} {{name}} {{path}}",
        "delete_file": f"{door} delete {{project_id}} {{type}} {{name}}",
        "set_allowed_commands": f"{door} allow {{device_id}} {{value}}",
        "restart": f"{door} restart",
        "provision": f"{door} provision {{project_id}}",
        "deprovision": f"{door} deprovision {{device_id}}",
        "temporary_copies": f"{door} copies",
        **of_the_process,
        **of_the_broker,
    }


@contextmanager
def opened(state: Path) -> Iterator[tuple[Store, Storage]]:
    clock = SystemClock()
    store = Store(state / "platform.db")
    try:
        yield store, Storage(store, Contents(state), clock, Trail(store, clock))
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
    with opened(context.obj) as (_, storage):
        storage.put(project_id, file_type, name, path.read_bytes())


@app.command()
def delete(context: typer.Context, project_id: str, file_type: FileType, name: str) -> None:
    """Deletes a stored file."""
    with opened(context.obj) as (_, storage):
        if not storage.delete(project_id, file_type, name):
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
    _tell(context.obj, RESTART, STARTS)


@app.command("stop-broker")
def stop_broker(context: typer.Context) -> None:
    """Stops the platform's broker, and returns when nobody listens there any more."""
    _tell(context.obj, STOP_BROKER, BROKER_CHANGES)


@app.command("start-broker")
def start_broker(context: typer.Context) -> None:
    """Starts the platform's broker again, and returns when it serves."""
    _tell(context.obj, START_BROKER, BROKER_CHANGES)


@app.command()
def copies(context: typer.Context) -> None:
    """Prints how many temporary copies of files there are."""
    typer.echo(sum(1 for _ in Contents(context.obj).copies()))


@app.command()
def memory(context: typer.Context) -> None:
    """Prints the resident memory of the platform's process, in bytes."""
    pages = int((_MEMORY_OF_PROCESSES / str(_pid(context.obj)) / "statm").read_text().split()[1])
    typer.echo(pages * os.sysconf("SC_PAGE_SIZE"))


def _pid(state: Path) -> int:
    return int((state / PID_FILE).read_text())


def _tell(state: Path, number: signal.Signals, counter: str) -> None:
    """Sends a signal to the platform that runs on this state, and returns when the counter says that it has done its work."""
    with opened(state) as (store, _):
        before = store.setting(counter)
        os.kill(_pid(state), number)
        asyncio.run(_until_changed(store, counter, before))


async def _until_changed(store: Store, counter: str, before: str | None) -> None:
    for _ in range(round(RESTART_TIME_S_MAX / LOOK_EVERY_S)):
        await asyncio.sleep(LOOK_EVERY_S)
        if store.setting(counter) != before:
            return
    raise BenchError(f"the platform has not done it within {RESTART_TIME_S_MAX:g} s")


if __name__ == "__main__":
    app()
