"""`hil broker`: `check` judges any broker, `serve` runs one of ours alone."""

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import __version__
from harness.checks.verdict import CheckResult, Verdict, run_verdict
from harness.clock import SystemClock, rfc3339
from harness.entropy import SystemEntropy
from harness.errors import OptionError, TargetUnavailable
from harness.report.package import Report, Run, Subject, as_json, coverage_of
from harness.report.terminal import show
from simulators.broker.backends import broker_named, is_url
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings
from simulators.broker.self_check import check_named, without_credentials
from simulators.event_loop import fast_loop
from simulators.network.addresses import host_option

app = typer.Typer(help="Brokers: the self-check of any, and serving one alone.", no_args_is_help=True)


@app.command(epilog="Example: hil broker check --broker mqtt://127.0.0.1:1883")
def check(
    broker: Annotated[str, typer.Option(help="embedded, mosquitto, amqtt, or the URL of one that runs (mqtt, mqtts, ws, wss).")],
    json: Annotated[bool, typer.Option("--json", help="Print the report on standard output, everything else on standard error.")] = False,
) -> None:
    """Judge a broker by every BRK row and what else of MQTT 3.1.1 a client can see.

    A broker that runs already needs a login with all rights in the URL (mqtt://user:password@host:port), or none at all.
    """
    clock = SystemClock()
    started_s = clock.utc_s()
    results = asyncio.run(check_named(broker))
    report = report_of_check(broker, results, started_s, clock.utc_s())
    if json:
        typer.echo(as_json(report), nl=False)
    if obstacle := _obstacle_to_all(results):
        raise TargetUnavailable(obstacle)
    show(report, Console(stderr=json), everything=True)
    raise typer.Exit(report.verdict.exit_status)


def _obstacle_to_all(results: list[CheckResult]) -> str:
    """The one reason why no trial could be made, or nothing."""
    reasons = {result.detail if result.verdict is Verdict.ERROR else "" for result in results}
    return reasons.pop() if len(reasons) == 1 else ""


def report_of_check(broker: str, results: list[CheckResult], started_s: float, finished_s: float) -> Report:
    """The results as a report of a broker; times in seconds since 1970."""
    name = without_credentials(broker) if is_url(broker) else broker
    return Report(
        run=Run(
            id=f"broker-{SystemEntropy().random_bytes(4).hex()}",
            started=rfc3339(started_s, fraction_digits=3),
            finished=rfc3339(finished_s, fraction_digits=3),
            seed=0,
            profile="full",
            version=__version__,
            command=f"hil broker check --broker {name}",
        ),
        subject=Subject("broker", name),
        verdict=run_verdict(results),
        checks=tuple(results),
        coverage=coverage_of(results, "broker"),
    )


@app.command(epilog="Example: hil broker serve --port 1883 --state broker")
def serve(
    broker: Annotated[str, typer.Option(help="embedded, mosquitto or amqtt.")] = "embedded",
    bind: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The MQTT port, 0 for any free one.")] = 0,
    websocket_port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="A port for MQTT over WebSocket (embedded only), 0 for any free one.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Keep sessions and messages in this directory.")] = None,
) -> None:
    """Serve a broker without logins, print its URL, and end on SIGINT or SIGTERM."""
    if is_url(broker):
        raise OptionError("--broker", f"{broker!r} is served by somebody else already; `hil broker check` judges it")
    settings = BrokerSettings(bind=host_option("--bind", bind), port=port, websocket_port=websocket_port, state_directory=state)
    with asyncio.Runner(loop_factory=fast_loop() if broker == "embedded" else None) as runner:
        runner.run(serve_until_told(broker, settings))


async def serve_until_told(name: str, settings: BrokerSettings) -> None:
    """Runs the broker until a signal ends it."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    running = broker_named(name, settings, AnyoneMayDoAnything())
    await running.start()
    try:
        typer.echo(running.mqtt_url)
        await told.wait()
    finally:
        await running.stop()
