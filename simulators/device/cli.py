"""`hil device`: one virtual device as a process of its own.

Two forms. With `--target FILE --device ID` it plays a device of a target file. With the environment of interfaces.md (`HIL_MQTT_URL` and
the others) it is what `[device.run] exec` of a device file starts; then a reboot is an exit with status 0, and any other status is a
crash.
"""

import asyncio
import contextlib
import os
import signal
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from harness.bench.target import TargetDevice, read_target
from harness.bench.tls import ssl_context
from harness.entropy import SystemEntropy
from harness.errors import ConfigurationError, OptionError
from harness.outputs import write_file
from simulators.device.asyncio_device import AsyncioDevice, Ending
from simulators.device.broker_line import broker_address
from simulators.device.example_file import example_file
from simulators.device.flash import DirectoryStorage, MemoryStorage, Storage
from simulators.device.personalities import PERSONALITIES
from simulators.device.personality import Personality
from simulators.device.settings import DeviceSettings

EXIT_CRASH = 70  # EX_SOFTWARE of sysexits.h; 1 would be a FAIL

app = typer.Typer()


@app.command(epilog="Examples: hil device --target target.toml --device ID; hil device --write-device-file device.toml")
def device(
    target: Annotated[Path | None, typer.Option(help="The target file whose device is played; without it HIL_* says all.")] = None,
    device_id: Annotated[str, typer.Option("--device", help="The id of one device of the target file.")] = "",
    personality: Annotated[str, typer.Option(help="Which device it is: `reference`, or a wrong one, or an imitation.")] = "reference",
    state: Annotated[Path | None, typer.Option(help="Where its flash is kept (default: HIL_STATE_DIR, else memory).")] = None,
    keep_alive_s: Annotated[int, typer.Option("--keep-alive", min=0, max=65_535, help="Keep-alive in seconds, 0 for none.")] = 30,
    exit_on_reboot: Annotated[bool, typer.Option("--exit-on-reboot", help="A reboot ends the process with status 0.")] = False,
    list_personalities: Annotated[bool, typer.Option("--list-personalities", help="Print the personalities and what each breaks.")] = False,
    write_device_file: Annotated[
        Path | None, typer.Option(help="Write the device file that certifies this device, with every key explained, and end.")
    ] = None,
) -> None:
    """Run one virtual device, until Ctrl-C."""
    chosen = find_personality(personality)
    if list_personalities:
        show_personalities()
        return
    if write_device_file is not None:
        write_file("--write-device-file", write_device_file, example_file(write_device_file, chosen.name))
        typer.echo(f"device file: {write_device_file}")
        return
    settings = from_target(target, device_id, keep_alive_s) if target is not None else from_environment(os.environ)
    storage = open_storage(state or (Path(text) if (text := os.environ.get("HIL_STATE_DIR")) else None))
    exits = exit_on_reboot or target is None
    if asyncio.run(run(settings, storage, chosen, exits_on_reboot=exits)) is Ending.CRASH:
        raise typer.Exit(EXIT_CRASH)


async def run(settings: DeviceSettings, storage: Storage, personality: Personality, *, exits_on_reboot: bool) -> Ending:
    """Runs the device until it ends or a signal comes."""
    running = AsyncioDevice(
        settings,
        entropy=SystemEntropy(),
        storage=storage,
        personality=personality,
        exits_on_reboot=exits_on_reboot,
        console=lambda line: typer.echo(line, err=True),
    )
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C cancels the task instead
            loop.add_signal_handler(signal_number, running.stop)
    return await running.run()


def find_personality(name: str) -> Personality:
    """The personality of that name. Raises ConfigurationError for an unknown one."""
    if name not in PERSONALITIES:
        raise OptionError("--personality", f"{name!r} is unknown; `hil device --list-personalities` lists them")
    return PERSONALITIES[name]


def show_personalities() -> None:
    """One line per personality on stdout."""
    for personality in PERSONALITIES.values():
        breaks = ", ".join(personality.breaks) or "nothing"
        typer.echo(f"{personality.name}: {personality.story} Breaks {breaks}.")


def from_target(path: Path, device_id: str, keep_alive_s: int) -> DeviceSettings:
    """The settings of one device of a target file. Raises ConfigurationError."""
    platform = read_target(path).platform
    found: dict[str, TargetDevice] = {entry.id: entry for entry in platform.devices}
    if device_id not in found:
        raise ConfigurationError(
            str(path), "platform.devices", "id", f"no device {device_id!r}; name one with --device: {', '.join(found)}"
        )
    return checked(
        str(path),
        DeviceSettings.reference(
            device_id=device_id,
            token=found[device_id].token,
            mqtt_url=platform.mqtt_url,
            keep_alive_s=keep_alive_s,
            tls=ssl_context(platform.tls),
        ),
    )


def from_environment(environment: Mapping[str, str]) -> DeviceSettings:
    """The settings that a harness passes to the process that it starts. Raises ConfigurationError."""
    for name in ("HIL_MQTT_URL", "HIL_DEVICE_ID", "HIL_DEVICE_TOKEN"):
        if not environment.get(name):
            raise ConfigurationError("environment", "", name, "is not set; set the HIL_* variables, or use --target FILE --device ID")
    keep_alive = environment.get("HIL_KEEP_ALIVE_S") or "30"
    if not keep_alive.isdecimal() or int(keep_alive) > 65_535:
        raise ConfigurationError("environment", "", "HIL_KEEP_ALIVE_S", f"{keep_alive!r} is no number of seconds from 0 to 65535")
    return checked(
        "environment",
        DeviceSettings.reference(
            device_id=environment["HIL_DEVICE_ID"],
            token=environment["HIL_DEVICE_TOKEN"],
            mqtt_url=environment["HIL_MQTT_URL"],
            keep_alive_s=int(keep_alive),
            tls=_trusting(environment.get("HIL_CA_FILE")),
        ),
    )


def checked(source: str, settings: DeviceSettings) -> DeviceSettings:
    """`settings`, whose broker address can be used. Raises ConfigurationError where it cannot."""
    try:
        broker_address(settings.mqtt_url)
    except ValueError as error:
        raise ConfigurationError(source, "", "mqtt_url", str(error)) from error
    return settings


def open_storage(directory: Path | None) -> Storage:
    """The flash in `directory`, or in memory. Raises ConfigurationError where the directory cannot be used."""
    if directory is None:
        return MemoryStorage()
    try:
        return DirectoryStorage(directory)
    except OSError as error:
        raise ConfigurationError(str(directory), "", "", f"cannot be used as state directory: {error.strerror or error}") from error


def _trusting(ca_file: str | None) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("environment", "", "HIL_CA_FILE", f"{ca_file!r} cannot be used: {error}") from error
