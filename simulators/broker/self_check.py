"""The self-check of a broker: every BRK row and what else of MQTT 3.1.1 a client can see, before anyone is judged on that broker.

`self_check` asks a running broker, `check_named` starts one of ours first. Both give results in the words of every other check, so that a
report can print them and a failed MUST can make the verdicts that rest on it inconclusive.
"""

import asyncio
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit, urlunsplit

from harness.checks.verdict import CheckResult
from harness.entropy import Entropy, SystemEntropy
from harness.errors import TargetUnavailable
from simulators.broker.backends import broker_named, is_url, require_broker_url
from simulators.broker.port import AnyoneMayDoAnything, BrokerPort, BrokerSettings
from simulators.broker.trial import FAILURES, Arena, Trial, judge, judge_failure
from simulators.broker.trials_delivery import ALONE, DELIVERY
from simulators.broker.trials_retained import RETAINED
from simulators.broker.trials_sessions import SESSIONS

TRIALS: tuple[Trial, ...] = (*DELIVERY, *RETAINED, *SESSIONS, *ALONE)
SIDE_BY_SIDE = 8
TRIAL_WITHIN_S = 60.0


async def self_check(
    broker: BrokerPort | str,
    *,
    trials: Iterable[Trial] = TRIALS,
    username: str | None = None,
    password: str | None = None,
    entropy: Entropy | None = None,
) -> list[CheckResult]:
    """Judges a running broker, given as such or by its URL, in the order of `trials`; takes about ten seconds.

    All clients log in with the same credentials (or none) and need all rights. Nothing is left on the broker. Never raises for what the
    broker does. One that cannot be reached, or that lets none of our clients in, gives results of verdict ERROR: it has broken no promise.
    """
    url = broker if isinstance(broker, str) else broker.mqtt_url
    prefix = f"hil-check-{(entropy or SystemEntropy()).random_bytes(4).hex()}"
    secret = None if password is None else password.encode()
    together = asyncio.Semaphore(SIDE_BY_SIDE)
    wanted = list(enumerate(trials))
    if obstacle := await _obstacle(Arena(url, f"{prefix}-login", username, secret)):
        return [judge_failure(trial, TargetUnavailable(obstacle)) for _, trial in wanted]

    async def run(number: int, trial: Trial) -> CheckResult:
        async with together:
            return await _try(trial, Arena(url, f"{prefix}-{number}", username, secret))

    results = dict(
        zip(
            (number for number, trial in wanted if trial not in ALONE),
            await asyncio.gather(*(run(number, trial) for number, trial in wanted if trial not in ALONE)),
            strict=True,
        )
    )
    for number, trial in wanted:
        if trial in ALONE:
            results[number] = await run(number, trial)
    return [results[number] for number, _ in wanted]


async def check_named(name: str, *, trials: Iterable[Trial] = TRIALS) -> list[CheckResult]:
    """Judges a broker by its name (which is started for it, and stopped) or URL (`mqtt://user:password@host:port`).

    Raises ConfigurationError for a name that means nothing, BenchError for a broker that does not start.
    """
    if is_url(name):
        require_broker_url(name)
        url, username, password = _credentials(name)
        return await self_check(url, trials=trials, username=username, password=password)
    broker = broker_named(name, BrokerSettings(), AnyoneMayDoAnything())
    await broker.start()
    try:
        return await self_check(broker, trials=trials)
    finally:
        await broker.stop()


def without_credentials(url: str) -> str:
    """The URL as it may stand in a report."""
    return _credentials(url)[0]


async def _obstacle(arena: Arena) -> str:
    """Why none of our clients can be served by whatever listens there; empty where one can."""
    name = arena.name()
    try:
        async with asyncio.timeout(TRIAL_WITHIN_S):
            client = await arena.client(name)
            granted = await client.subscribe((f"{name}/control/+", 2))
            await client.close()
    except TargetUnavailable as error:
        return str(error)
    except FAILURES as error:
        return f"no client of ours gets in ({error or 'no answer'}): is this a broker of MQTT 3.1.1, and may the login of its URL connect?"
    return "the login of its URL may not subscribe to every topic" if granted[0] > 2 else ""


async def _try(trial: Trial, arena: Arena) -> CheckResult:
    try:
        async with asyncio.timeout(TRIAL_WITHIN_S):
            result = judge(trial, await trial.do(arena))
    except FAILURES as error:
        result = judge_failure(trial, error)
    try:
        async with asyncio.timeout(TRIAL_WITHIN_S):
            await arena.close()
    except FAILURES:
        return result  # what is left behind is the broker's trouble; the verdict stands
    return result


def _credentials(url: str) -> tuple[str, str | None, str | None]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return urlunsplit(parts._replace(netloc=host)), username, password
