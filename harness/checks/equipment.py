"""The equipment in the verdict: what the broker under a device broke itself, and which verdicts on the device that makes worthless.

A broker of ours that breaks a promise is equipment trouble: an error, never the device's failure.
"""

from collections.abc import Iterable
from dataclasses import replace

from harness.checks.verdict import CheckResult, Verdict
from harness.history.events import BrokerChecked
from harness.history.timeline import History
from harness.requirements import row_of

# Device row -> the broker's rows without which its verdict proves nothing.
RELIES_ON = {
    "DEV-02": ("BRK-02",),
    "DEV-03": ("BRK-02", "BRK-06"),
    "DEV-04": ("BRK-02", "BRK-03"),
    "DEV-05": ("BRK-02", "BRK-04", "BRK-07"),
    "DEV-06": ("BRK-02",),
    "DEV-07": ("BRK-03", "BRK-07"),
    "DEV-09": ("BRK-10",),
    "DEV-10": ("BRK-03",),
    "DEV-20": ("BRK-05", "BRK-07", "BRK-09"),
    "DEV-21": ("BRK-01", "BRK-11"),
    "DEV-25": ("BRK-06",),
    "DEV-30": ("BRK-10",),
}


def broker_results(history: History) -> list[CheckResult]:
    """What the self-check of the broker came to, one result a trial; nothing where no broker was checked."""
    return [
        CheckResult(
            id=f"broker_{promise.id}",
            title=f"Broker {seen.fact.broker}: {promise.title}",
            requirements=promise.requirements,
            level=promise.level,
            verdict=_ours(Verdict(promise.verdict)),
            detail=promise.detail,
            hint=promise.hint,
            evidence=(seen.line,),
        )
        for seen in history.of(BrokerChecked)
        for promise in seen.fact.promises
    ]


def _ours(verdict: Verdict) -> Verdict:
    return Verdict.ERROR if verdict is Verdict.FAIL else verdict


def broken_promises(broker: Iterable[CheckResult]) -> frozenset[str]:
    """The MUST rows that the broker broke, or that could not be tried."""
    return frozenset(row for result in broker if result.verdict is Verdict.ERROR and result.level == "MUST" for row in result.requirements)


def trusting(result: CheckResult, broken: frozenset[str]) -> CheckResult:
    """The result as it stands, or inconclusive where it rests on a promise that the broker broke."""
    needed = {row for requirement in result.requirements for row in RELIES_ON.get(row_of(requirement), ())}
    missing = sorted(needed & broken)
    if not missing or not result.verdict.is_judged:
        return result
    detail = f"the broker breaks {', '.join(missing)}, on which this rests; it came to {result.verdict.value}: {result.detail}"
    return replace(result, verdict=Verdict.INCONCLUSIVE, detail=detail)
