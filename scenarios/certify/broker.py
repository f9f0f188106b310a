"""The self-check of the broker on which a device is questioned, as part of its certification."""

from functools import partial

from harness.certification import BrokerCheck
from harness.history.events import BrokerChecked, BrokerPromise
from simulators.broker.self_check import TRIALS, check_named
from simulators.broker.trial import Trial

_MEASURED = "BRK-08"  # The cost of a publish cannot be measured while a device is questioned beside it; `hil broker check` does.


def broker_check(name: str) -> BrokerCheck:
    """Checks a fresh broker of that name, by everything that needs no stop-watch."""
    trials = tuple(trial for trial in TRIALS if _MEASURED not in trial.requirements)
    return partial(_checked, name, trials)


async def _checked(name: str, trials: tuple[Trial, ...]) -> BrokerChecked:
    results = await check_named(name, trials=trials)
    promises = tuple(
        BrokerPromise(found.id, found.title, found.requirements, found.level, found.verdict.value, found.detail, found.hint)
        for found in results
    )
    return BrokerChecked(name, promises)
