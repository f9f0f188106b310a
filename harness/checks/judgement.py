"""From a history to verdicts: every check is asked, and what it saw becomes a result by rule.

The same function judges a run that has just ended and one that is read from a package a year later.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from harness.checks.equipment import broken_promises, broker_results, trusting
from harness.checks.registry import Check, Observation
from harness.checks.verdict import CheckResult, Verdict, worst
from harness.history.events import PlannedCheck, ScenarioStarted
from harness.history.timeline import History, Seen
from harness.requirements import CATALOGUE, Level, row_of
from harness.wire.json_values import sayable

_log = logging.getLogger(__name__)

_EVIDENCE_LINES_MAX = 60
_DETAILS_MAX = 3


def judge(history: History, checks: Mapping[str, Check]) -> list[CheckResult]:
    """One result for every check that the run's plan names and this installation has, in the plan's order."""
    problems, broker = history.problems, broker_results(history)
    results = [_result(history, checks[planned.id], planned, problems) for planned in history.start.plan if planned.id in checks]
    return [trusting(result, broken_promises(broker)) for result in results] + broker


def _result(history: History, check: Check, planned: PlannedCheck, problems: Mapping[str, str]) -> CheckResult:
    if planned.status != "planned":
        return _made(history, check, Verdict(planned.status), planned.reason)
    try:
        told = list(check.judge(_questioned_with(history, check)))
    except Exception as error:
        # A check that trips over a history says nothing about the product, and must never read as a pass.
        _log.exception("check %s failed", check.id)
        return _made(history, check, Verdict.ERROR, f"the check itself failed: {type(error).__name__}: {error}")
    observations = [observation for observation in told if observation.is_seen]
    findings = [observation for observation in observations if observation.detail]
    if findings:
        return _found(history, check, findings)
    serving = [seen.fact for seen in _scenarios_serving(history, check)]
    trouble = [f"scenario {fact.name}: {problems[fact.name]}" for fact in serving if fact.name in problems]
    if trouble and (not observations or len(trouble) == len(serving)):
        return _made(history, check, Verdict.ERROR, trouble[0])
    if not observations:
        return _made(history, check, Verdict.INCONCLUSIVE, told[0].detail if told else check.unseen)
    lines = tuple(line for observation in observations for line in observation.lines)
    return _made(history, check, Verdict.PASS, f"kept {len(observations)} of {len(observations)} times", lines)


def _questioned_with(history: History, check: Check) -> History:
    """What a check may look at.

    A scenario that was ended early shows things missing that nobody owes: it is left out as a whole. A platform check sees all that was
    asked of the platform: a promise is a promise, whoever asks. A device check sees its own scenarios only: under another scenario's
    faults the same packets mean something else, unless what it looks for means the same everywhere.
    """
    subjects = {seen.fact.subject for seen in _scenarios_serving(history, check)}
    if "device" in subjects and not check.everywhere:
        others = {seen.fact.name for seen in history.of(ScenarioStarted) if check.id not in seen.fact.serves}
    else:
        # With no scenario of its own begun, a check has no subject here yet, and sees nothing.
        others = {seen.fact.name for seen in history.of(ScenarioStarted) if seen.fact.subject not in subjects}
    left_out = others | set(history.problems)
    return history.without(left_out) if left_out else history


def _scenarios_serving(history: History, check: Check) -> Iterable[Seen[ScenarioStarted]]:
    return (seen for seen in history.of(ScenarioStarted) if check.id in seen.fact.serves)


def _found(history: History, check: Check, findings: list[Observation]) -> CheckResult:
    """The worst finding decides; its details come first."""
    ranked = sorted(findings, key=lambda finding: _SEVERITY.index(_severity(history, check, finding)))
    verdict = worst(_severity(history, check, finding) for finding in findings)
    details = list(dict.fromkeys(finding.detail for finding in ranked))
    more = f" (and {len(details) - _DETAILS_MAX} more)" if len(details) > _DETAILS_MAX else ""
    lines = tuple(line for finding in ranked for line in finding.lines)
    hint = next((finding.hint for finding in ranked if finding.hint), check.hint)
    made = _made(history, check, verdict, "; ".join(details[:_DETAILS_MAX]) + more, lines, hint)
    return replace(made, example=ranked[0].lines[:_EVIDENCE_LINES_MAX])


_SEVERITY = [Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION]


def _severity(history: History, check: Check, finding: Observation) -> Verdict:
    """What breaking this requirement means: its level decides, and a promise of the target's own makes a reading binding."""
    broken = finding.requirement or check.requirements[0]
    level = effective_level(history, broken)
    declares = history.start.target.get("declares", {})
    if level is Level.MUST or (level is Level.READ and not {broken, row_of(broken)}.isdisjoint(declares)):
        return Verdict.FAIL
    return Verdict.WARNING if level is Level.SHOULD else Verdict.DEVIATION


def effective_level(history: History, requirement_id: str) -> Level:
    """The requirement's level in this run: rows marked H become MUST where the target or device file says so."""
    requirement = CATALOGUE[requirement_id]
    if requirement.hardening and history.start.hardening == "must":
        return Level.MUST
    return requirement.level


def _made(history: History, check: Check, verdict: Verdict, detail: str, lines: tuple[int, ...] = (), hint: str = "") -> CheckResult:
    levels = {effective_level(history, requirement) for requirement in check.requirements}
    strictest = next(level for level in (Level.MUST, Level.SHOULD, Level.READ) if level in levels)
    evidence = tuple(dict.fromkeys(lines))[:_EVIDENCE_LINES_MAX]
    duration_s = 0.0
    if len(evidence) > 1:
        places = [history.events[line - 1].at_s for line in (min(evidence), max(evidence))]
        duration_s = round(places[1] - places[0], 3)
    return CheckResult(
        id=check.id,
        title=check.title,
        requirements=check.requirements,
        level=strictest.value,
        verdict=verdict,
        detail=sayable(detail),
        hint=hint,
        evidence=evidence,
        duration_s=duration_s,
    )
