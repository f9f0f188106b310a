"""`hil platform`: serves the reference platform until it is told to stop."""

import asyncio
import logging
import signal
import tempfile
import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from harness.cli import Verbose
from harness.clock import AdvanceableClock, SystemClock
from harness.errors import BenchError, OptionError
from harness.outputs import made_directory
from simulators.broker.backends import broker_named, is_url
from simulators.broker.port import BrokerPort, BrokerSettings, DeviceDirectory, TlsFiles
from simulators.event_loop import fast_loop
from simulators.network.addresses import free_port, host_option
from simulators.platform.hooks import RESTART, START_BROKER, STOP_BROKER
from simulators.platform.logs import JsonLines
from simulators.platform.personalities import PERSONALITIES
from simulators.platform.personality import Personality
from simulators.platform.platform import PlatformSettings
from simulators.platform.readings import with_reading
from simulators.platform.rules import REFERENCE, Rules
from simulators.platform.shaping import parse_rate

_CONTENTS = "What it holds"
_ADDRESSES = "Where it listens"
_BEHAVIOUR = "How it behaves"

app = typer.Typer()
console = Console(stderr=True)

FAILED_LOGINS_PER_MIN = 20


@app.command(epilog="Example: hil platform --test-clock --state platform --provision 100")
def platform(
    state: Annotated[
        Path | None, typer.Option(help="Directory for everything it keeps; a temporary one without.", rich_help_panel=_CONTENTS)
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(help="DIR/firmware/* and DIR/logo/* are uploaded.", exists=True, file_okay=False, rich_help_panel=_CONTENTS),
    ] = None,
    bind: Annotated[str, typer.Option(help="Address to listen on.", rich_help_panel=_ADDRESSES)] = "127.0.0.1",
    public_host: Annotated[
        str | None, typer.Option(help="Name that goes into URLs; default: the bind address.", rich_help_panel=_ADDRESSES)
    ] = None,
    api_port: Annotated[
        int, typer.Option(help="Port of the REST API; 0 is any free port.", min=0, max=65_535, rich_help_panel=_ADDRESSES)
    ] = 0,
    mqtt_port: Annotated[
        int, typer.Option(help="Port of the broker; 0 is any free port.", min=0, max=65_535, rich_help_panel=_ADDRESSES)
    ] = 0,
    broker: Annotated[
        str, typer.Option(help="embedded, amqtt, mosquitto, or the URL of a running broker.", rich_help_panel=_ADDRESSES)
    ] = "embedded",
    provision: Annotated[int, typer.Option(help="This many more devices.", min=0, max=1_000_000, rich_help_panel=_CONTENTS)] = 0,
    seed: Annotated[int, typer.Option(help="Decides ids and file contents.", rich_help_panel=_CONTENTS)] = 0,
    test_clock: Annotated[
        bool, typer.Option("--test-clock", help="Serve the endpoint that advances the clock.", rich_help_panel=_BEHAVIOUR)
    ] = False,
    personality: Annotated[str, typer.Option(help="A named wrong platform instead of the reference.", rich_help_panel=_BEHAVIOUR)] = "",
    list_personalities: Annotated[
        bool,
        typer.Option("--list-personalities", help="Print the personalities and what each breaks, and end.", rich_help_panel=_BEHAVIOUR),
    ] = False,
    shape: Annotated[str, typer.Option(help="Bandwidth of each device's downloads, as 20kbit.", rich_help_panel=_BEHAVIOUR)] = "",
    tls_self_signed: Annotated[
        bool, typer.Option("--tls-self-signed", help="https and mqtts with a throw-away CA.", rich_help_panel=_ADDRESSES)
    ] = False,
    login_limit: Annotated[
        int | None,
        typer.Option(
            help="Failed logins a minute of one address; 20 unless bound to loopback. This machine is exempt.",
            min=1,
            rich_help_panel=_ADDRESSES,
        ),
    ] = None,
    json_logs: Annotated[bool, typer.Option("--json-logs", help="Log lines as JSON objects.")] = False,
    read: Annotated[
        list[str] | None, typer.Option(help="Another reading of a READ row, as KEY-08=complete-delivery.", rich_help_panel=_BEHAVIOUR)
    ] = None,
    verbose: Verbose = 0,
) -> None:
    """Serve the reference platform: REST and MQTT. Prints the path of a ready target file; ends on Ctrl-C."""
    if list_personalities:
        _show_personalities()
        return
    if json_logs:
        _log_as_json()
    with tempfile.TemporaryDirectory(prefix="hil-platform-") as temporary:
        settings = PlatformSettings(
            state_directory=made_directory("--state", state or Path(temporary)),
            files_directory=files,
            bind=host_option("--bind", bind),
            public_host="" if public_host is None else host_option("--public-host", public_host),
            api_port=api_port,
            provision=provision,
            seed=seed,
            test_clock=test_clock,
            shape_bytes_per_s=_rate(shape),
            tls_self_signed=tls_self_signed,
            mqtts_port=free_port(bind) if tls_self_signed else 0,
            failed_logins_per_min=login_limit or (None if _is_loopback(bind) else FAILED_LOGINS_PER_MIN),
            with_hooks=True,
            has_own_broker=not is_url(broker),
            rules=_rules(read or []),
        )
        with asyncio.Runner(loop_factory=fast_loop()) as runner:
            runner.run(_serve(settings, find_personality(personality or "reference"), broker, mqtt_port, keeps_sessions=state is not None))


def _rate(shape: str) -> float | None:
    try:
        return parse_rate(shape) if shape else None
    except ValueError as error:
        raise OptionError("--shape", str(error)) from error


def find_personality(name: str) -> Personality:
    """The personality of that name, whose words may be joined by underscores too. Raises OptionError for an unknown one."""
    found = PERSONALITIES.get(name.replace("_", "-"))
    if found is None:
        problem = f"there is no personality {name!r}; `hil platform --list-personalities` lists them"
        raise OptionError("--personality", problem)
    return found


def _show_personalities() -> None:
    """One line per personality on stdout."""
    for personality in PERSONALITIES.values():
        typer.echo(f"{personality.name}: {personality.about}; breaks {', '.join(personality.breaks) or 'nothing'}")


def _rules(readings: list[str]) -> Rules:
    rules = REFERENCE
    for text in readings:
        requirement, _, reading = text.partition("=")
        try:
            rules = with_reading(rules, requirement, reading)
        except ValueError as error:
            raise OptionError("--read", str(error)) from error
    return rules


def _log_as_json() -> None:
    """Whoever has set up the log (`hil` has, before any command): its lines become JSON."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())


def _is_loopback(bind: str) -> bool:
    try:
        return ip_address(bind).is_loopback
    except ValueError:
        return bind == "localhost"


async def _serve(settings: PlatformSettings, personality: Personality, broker: str, mqtt_port: int, *, keeps_sessions: bool) -> None:
    """Serves until SIGINT or SIGTERM; other signals are the hooks' (hooks.py)."""
    wanted: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, RESTART, STOP_BROKER, START_BROKER):
        loop.add_signal_handler(number, wanted.put_nowait, number)

    def make_broker(directory: DeviceDirectory) -> BrokerPort:
        assert settings.state_directory is not None
        tls = settings.state_directory / "tls"
        return broker_named(
            broker,
            BrokerSettings(
                settings.bind,
                mqtt_port or last_port(settings),
                tls_port=settings.mqtts_port or None,
                tls=TlsFiles(tls / "server.pem", tls / "server.key") if settings.tls_self_signed else None,
                state_directory=settings.state_directory / "broker" if keeps_sessions else None,
                public_host=settings.public_host,
            ),
            directory,
            observer=running.timeline,
        )

    running = personality.make(settings, make_broker, clock=AdvanceableClock(SystemClock()))
    async with running:
        console.print(
            f"REST  {running.api_url}\nMQTT  {running.mqtt_url}\npage  {running.api_url}/portal",
            highlight=False,
        )
        typer.echo(f"target file: {running.target_path}")
        hooks = {RESTART: running.restart, STOP_BROKER: running.stop_broker, START_BROKER: running.start_broker}
        while (number := await wanted.get()) in hooks:
            await hooks[number]()


def last_port(settings: PlatformSettings) -> int:
    """The broker's port of the last start, so that a target file stays true; 0 where there was none, or somebody else has it now."""
    assert settings.state_directory is not None
    try:
        url = urlsplit(tomllib.loads((settings.state_directory / "target.toml").read_text())["platform"]["mqtt_url"])
        return free_port(settings.bind, url.port) if url.scheme == "mqtt" and url.port else 0
    except (OSError, ValueError, KeyError, BenchError):
        return 0
