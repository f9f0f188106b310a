"""The self-check passes good brokers, finds the known defects of a bad one, and judges purely."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from harness.checks.verdict import Verdict
from harness.cli import EXIT_VOID
from harness.cli import run as hil
from harness.errors import LocalWireError, TargetUnavailable
from harness.requirements import CATALOGUE, Level, Side
from simulators.broker.cli import app
from simulators.broker.port import Login, LoginTable
from simulators.broker.probe import ConnectionEnded
from simulators.broker.self_check import TRIALS, check_named, self_check, without_credentials
from simulators.broker.trial import Trial, judge, judge_failure, saw


async def nothing(arena):
    return []


MUST = Trial("must", "A must", ("BRK-01",), nothing, "a hint")
SHOULD = Trial("should", "A should", ("BRK-08",), nothing)


def not_passed(results) -> list[tuple[str, str]]:
    return [(result.id, result.detail) for result in results if result.verdict is not Verdict.PASS]


@pytest.mark.slow
def test_the_embedded_broker_passes_everything():
    assert not_passed(asyncio.run(check_named("embedded"))) == []


@pytest.mark.slow
@pytest.mark.peer("mosquitto")
def test_mosquitto_passes_everything():
    assert not_passed(asyncio.run(check_named("mosquitto"))) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_known_defects_of_amqtt_are_found():
    results = asyncio.run(check_named("amqtt"))
    failed = {row for result in results if result.verdict is Verdict.FAIL for row in result.requirements}
    assert {"BRK-01", "BRK-02", "BRK-03", "BRK-04", "BRK-05"} <= failed


def test_a_broker_that_runs_already_is_judged_with_the_login_of_its_url(embedded):
    trials = [trial for trial in TRIALS if trial.id in ("the_four_packets_of_a_delivery", "suback_answers_each_filter")]
    directory = LoginTable([Login("op", "op", "secret", is_trusted=True)])

    async def run():
        async with embedded(directory) as broker:
            good = await check_named(broker.mqtt_url.replace("//", "//op:secret@"), trials=trials)
            bad = await check_named(broker.mqtt_url, trials=trials)
            return good, bad, broker.core.sessions

    good, bad, sessions = asyncio.run(run())
    assert not_passed(good) == []
    assert {result.verdict for result in bad} == {Verdict.ERROR}
    assert "CONNACK 5" in bad[0].detail
    assert sessions == 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_is_no_broker_has_broken_no_promise(answer):
    async def serve(reader, writer):
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async def run():
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            return await self_check(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", trials=TRIALS[:3])

    results = asyncio.run(run())
    assert [result.verdict for result in results] == [Verdict.ERROR] * 3
    assert "is this a broker" in results[0].detail


def test_a_broker_that_is_not_there_is_an_error_and_no_verdict():
    results = asyncio.run(self_check("mqtt://127.0.0.1:1", trials=TRIALS[:1]))
    assert [result.verdict for result in results] == [Verdict.ERROR]


def test_all_broker_rows_are_asked_for():
    asked = {requirement for trial in TRIALS for requirement in trial.requirements}
    rows = {requirement.id for requirement in CATALOGUE.values() if Side.BROKER in requirement.sides}
    assert rows - asked == set()
    assert {requirement for requirement in asked if not requirement.startswith("MQTT")} <= set(CATALOGUE)


@pytest.mark.parametrize(
    ("trial", "observations", "verdict", "words"),
    [
        (MUST, [saw("x", 1, 1)], Verdict.PASS, "1 observation as"),
        (MUST, [saw("x", 1, 1), saw("y", 2, 3, 4)], Verdict.FAIL, "y: 2, allowed 3 or 4"),
        (MUST, [saw("x", 1, 2), saw("y", 2, 3)], Verdict.FAIL, "(and 1 more)"),
        (SHOULD, [saw("x", 1, 2)], Verdict.WARNING, "x: 1, allowed 2"),
        (MUST, [], Verdict.INCONCLUSIVE, "nothing was seen"),
    ],
)
def test_a_verdict_follows_from_the_observations_alone(trial, observations, verdict, words):
    result = judge(trial, observations)
    assert result.verdict is verdict
    assert words in result.detail


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        (TimeoutError(), Verdict.FAIL, "did not answer"),
        (ConnectionEnded("closed"), Verdict.FAIL, "ended the connection: closed"),
        (LocalWireError("packet id 0"), Verdict.FAIL, "has no answer: packet id 0"),
        (TargetUnavailable("no connection"), Verdict.ERROR, "no connection"),
    ],
)
def test_a_trial_that_could_not_go_on_says_why(error, verdict, words):
    result = judge_failure(MUST, error)
    assert result.verdict is verdict
    assert words in result.detail


def test_a_trial_is_as_strict_as_its_strictest_requirement():
    assert MUST.level is Level.MUST
    assert SHOULD.level is Level.SHOULD
    assert Trial("x", "x", ("BRK-08", "MQTT-3.1.0-1"), nothing).level is Level.MUST


def test_credentials_do_not_stand_in_reports():
    assert without_credentials("mqtt://op:secret@host:1883") == "mqtt://host:1883"


@pytest.mark.slow
def test_the_command_prints_a_report_and_ends_with_its_status():
    outcome = CliRunner().invoke(app, ["check", "--broker", "embedded", "--json"])
    report = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert report["schema"] == "hil-report/1"
    assert report["subject"] == {"kind": "broker", "name": "embedded", "hardening": "should"}
    assert report["verdict"] == "pass"
    assert {"BRK-01", "BRK-12", "CMD-26a"} <= set(report["coverage"]["covered"])


def test_a_broker_that_is_not_there_is_one_line_and_status_3(capsys):
    assert hil(["broker", "check", "--broker", "mqtt://127.0.0.1:1", "--json"]) == EXIT_VOID
    told = capsys.readouterr()
    assert told.err.startswith("hil: no connection to mqtt://127.0.0.1:1: ")
    assert told.err.count("\n") == 1
    assert json.loads(told.out)["verdict"] == "error"


@pytest.mark.parametrize("name", ["nobody", "ftp://host", "mqtt://", "mqtt://host:99999", "mqtt://host:0", "mqtt://[host"])
def test_a_broker_that_means_nothing_is_the_users_mistake(name):
    from harness.errors import ConfigurationError

    outcome = CliRunner().invoke(app, ["check", "--broker", name])
    assert isinstance(outcome.exception, ConfigurationError)
    assert "--broker" in str(outcome.exception)
