"""`hil fleet`: thousands of virtual devices against a platform, and the ledger at the end."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from harness.bench.target import read_target
from harness.cli import EXIT_FAIL, EXIT_OK
from harness.entropy import SystemEntropy
from harness.errors import ConfigurationError, OptionError
from harness.outputs import made_directory
from simulators.broker.operator_login import operator_beside
from simulators.broker.port import Login
from simulators.event_loop import fast_loop
from simulators.fleet.behaviour import LINKS_BYTES_PER_S, ensure_link, parse_mix
from simulators.fleet.capacity import ensure_open_files, resident_bytes
from simulators.fleet.ledger import Ledger, merge
from simulators.fleet.run import FleetRun, Outcome, Plan
from simulators.fleet.totals import Totals
from simulators.fleet.view import figure_lines, ledger_lines, print_lines, run_directory, serve_metrics, watch

T = TypeVar("T")

_DEVICES = "Devices"
_LOAD = "Commands and time"
_OUTPUT = "Output"

app = typer.Typer()


@app.command(epilog="Example: hil fleet --target target.toml --devices 1000 --commands 5000 --mix firmware=70,slow=25,flaky=5")
def fleet(
    target: Annotated[Path | None, typer.Option(help="The target file.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="How many devices.", rich_help_panel=_DEVICES)] = 100,
    commands: Annotated[
        int, typer.Option(min=0, help="How many commands to send, dealt over the devices in turn.", rich_help_panel=_LOAD)
    ] = 0,
    via: Annotated[
        str,
        typer.Option(
            help="How commands are sent: `rest` (the API) or `mqtt` (an operator's connection; no downloads).", rich_help_panel=_LOAD
        ),
    ] = "rest",
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Connects a second; without it as fast as they go.", rich_help_panel=_LOAD)
    ] = None,
    mix: Annotated[
        str, typer.Option(help="Behaviours and personalities by weight, as `firmware=70,slow=25,flaky=5`.", rich_help_panel=_DEVICES)
    ] = "",
    link: Annotated[str, typer.Option(help=f"The link of all devices: {', '.join(LINKS_BYTES_PER_S)}.", rich_help_panel=_DEVICES)] = "",
    file: Annotated[
        str, typer.Option(help="The firmware that devices download; without it the first of their project.", rich_help_panel=_DEVICES)
    ] = "",
    shard: Annotated[str, typer.Option(help="Which part of the devices is played here, as `1/4`.", rich_help_panel=_DEVICES)] = "1/1",
    churn: Annotated[
        float | None, typer.Option(min=1, help="Lose all connections at once, every so many seconds.", rich_help_panel=_LOAD)
    ] = None,
    hold: Annotated[float, typer.Option(min=0, help="Stay connected for so many seconds after the commands.", rich_help_panel=_LOAD)] = 0.0,
    settle: Annotated[
        float, typer.Option(min=0, help="Wait at most so many seconds for what is on its way.", rich_help_panel=_LOAD)
    ] = 60.0,
    keep_alive: Annotated[int, typer.Option(min=0, max=65_535, help="Keep-alive in seconds.", rich_help_panel=_DEVICES)] = 60,
    clean_session: Annotated[bool, typer.Option("--clean-session", help="Connect with clean sessions.", rich_help_panel=_DEVICES)] = False,
    operator: Annotated[
        str,
        typer.Option(
            help="User and password of the operator's connection, as `USER:PASSWORD`; else what lies beside the target.",
            rich_help_panel=_LOAD,
        ),
    ] = "",
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Serve /metrics on this port.", rich_help_panel=_OUTPUT)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Which device behaves how; drawn and printed without it.", rich_help_panel=_DEVICES)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where ledger.json goes (default: reports/fleet-<time>).", rich_help_panel=_OUTPUT)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON on stdout.", rich_help_panel=_OUTPUT)] = False,
    merge_files: Annotated[
        list[Path] | None, typer.Option("--merge", help="Merge the ledgers of several processes instead.", rich_help_panel=_OUTPUT)
    ] = None,
) -> None:
    """Connect virtual devices by the thousand, command them, and account for every command."""
    if merge_files:
        raise typer.Exit(show_merged(merge_files, as_json=as_json))
    if target is None:
        raise OptionError("--target", "is missing; `hil platform` prints the path of a target file")
    if via not in ("rest", "mqtt"):
        raise OptionError("--via", f"{via!r} is neither rest nor mqtt")
    part = usage("--shard", lambda: parse_shard(shard))
    usage("--link", lambda: ensure_link(link))
    dealt = usage("--mix", lambda: parse_mix(mix, link=link))
    ensure_open_files(dealt.connections(devices))
    drawn = SystemEntropy().integer(0, 2**31) if seed is None else seed
    plan = Plan(
        devices=devices,
        seed=drawn,
        run=f"{drawn}.{SystemEntropy().integer(0, 2**31):x}",
        commands=commands,
        via=via,
        rate_per_s=rate,
        mix=dealt,
        shard=part,
        keep_alive_s=keep_alive,
        clean_session=clean_session,
        hold_s=hold,
        churn_s=churn,
        file_name=file,
        settle_s=settle,
        # Two operators with one client id would throw each other out.
        operator_id=operator.partition(":")[0] or f"operator-{drawn}-{part[0]}",
        operator=login_of(operator, target),
    )
    memory_bytes = resident_bytes()
    run = FleetRun(plan, read_target(target).platform, memory_before_bytes=memory_bytes)
    directory = made_directory("--out", run_directory(out, "fleet"))
    console = Console(stderr=True)
    console.print(f"seed {plan.seed}, {plan.devices} devices, {plan.commands} commands via {plan.via}", highlight=False)
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        outcome = runner.run(run_watched(run, console, metrics_port))
        # Before the loop is closed, which keeps signals away: an impatient Ctrl-C costs no ledger.
        report(outcome, directory, console, as_json=as_json)
    raise typer.Exit(outcome.judgement.exit_status)


async def run_watched(run: FleetRun, console: Console, metrics_port: int | None) -> Outcome:
    """Runs to the end; a signal ends it early, but cleanly."""
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signal_number, run.stop)
    loop.set_exception_handler(run.slipped)
    metrics = await serve_metrics(run, metrics_port) if metrics_port is not None else None
    if metrics is not None:
        console.print(f"metrics: http://127.0.0.1:{metrics.addresses[0][1]}/metrics", highlight=False, soft_wrap=True)
    watching = asyncio.create_task(watch(run, console))
    try:
        return await run.run()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        if metrics is not None:
            await metrics.cleanup()


def report(outcome: Outcome, directory: Path, console: Console, *, as_json: bool) -> None:
    """Writes the ledger and shows what came out."""
    path = directory / "ledger.json"
    path.write_text(json.dumps(outcome.ledger.to_json() | {"run": outcome.figures}))
    print_lines(console, figure_lines(outcome.figures))
    print_lines(console, ledger_lines(outcome.totals.to_json()))
    print_lines(console, (Text(reason, style="red") for reason in (*outcome.judgement.breaks, *outcome.judgement.voids)))
    print_lines(console, [f"ledger: {path}"])
    if as_json:
        typer.echo(json.dumps(outcome.to_json()))


def show_merged(paths: list[Path], *, as_json: bool) -> int:
    """Shows the totals of several ledgers; returns the exit status."""
    totals = merged_totals(paths)
    print_lines(Console(stderr=True), ledger_lines(totals.to_json()))
    if as_json:
        typer.echo(json.dumps(totals.to_json()))
    return EXIT_OK if totals.is_green else EXIT_FAIL


def merged_totals(paths: list[Path]) -> Totals:
    """The totals of several ledgers. Raises ConfigurationError where one cannot be read."""
    ledgers = []
    for path in paths:
        try:
            ledgers.append(Ledger.from_json(json.loads(path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(str(path), "", "", f"is no ledger: {error}") from error
    return usage("--merge", lambda: merge(ledgers)).totals()


def parse_shard(text: str) -> tuple[int, int]:
    """Index and count of `I/N`. Raises ValueError unless 1 <= I <= N."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise ValueError(f"{text!r} is no shard; write it like 1/4")
    return int(index), int(count)


def login_of(operator: str, target: Path) -> Login | None:
    """The operator's login: the one that was given, or else the one beside the target file."""
    if not operator:
        return operator_beside(target)
    username, _, password = operator.partition(":")
    return Login(username, username, password, is_trusted=True)


def usage(option: str, read: Callable[[], T]) -> T:
    """What `read` gives. Raises ConfigurationError that names `option` where it finds the value wrong."""
    try:
        return read()
    except ValueError as error:
        raise OptionError(option, str(error)) from error
