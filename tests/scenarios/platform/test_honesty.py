"""What is the target's or our equipment's trouble is an error with one clear line, and never a verdict on its promises."""

from dataclasses import replace

import pytest
from aiohttp import web

from harness.bench.target import Limits
from harness.checks.registry import all_checks
from harness.checks.verdict import RunVerdict, Verdict
from harness.scenario import all_scenarios
from simulators.platform.personalities import REFERENCE
from simulators.platform.personality import Meddler

ACCUSATIONS = {"fail", "warning", "deviation"}
ROWS = ("CMD-10", "LST-01", "KEY-02")


def verdicts(outcome):
    return {result.verdict.value for result in outcome.results}


def banning(after):
    """Answers 429 to everything but the first requests."""
    asked = []

    @web.middleware
    async def answer(request, handler):
        asked.append(request.path)
        if len(asked) > after:
            return web.Response(status=429, headers={"Retry-After": "3600"})
        return await handler(request)

    return answer


def test_a_target_that_bans_us_from_the_start_is_an_error(certify):
    outcome = certify(replace(REFERENCE, answers=banning(0)), rows=ROWS)
    assert (outcome.verdict, verdicts(outcome) - {"skipped"}) == (RunVerdict.ERROR, {"error"})
    errors = [result for result in outcome.results if result.verdict is Verdict.ERROR]
    assert all("429" in result.detail or "bans us" in result.detail for result in errors)
    assert all("\n" not in result.detail for result in outcome.results)


@pytest.mark.parametrize("after", [3, 10, 25])
def test_a_target_that_bans_us_in_the_middle_is_not_accused(certify, after):
    outcome = certify(replace(REFERENCE, answers=banning(after)), rows=ROWS)
    assert outcome.verdict is RunVerdict.ERROR
    assert not verdicts(outcome) & ACCUSATIONS


class _TakesNobody(Meddler):
    """A broker whose address nobody answers."""

    @property
    def mqtt_url(self):
        return "mqtt://127.0.0.1:1"


def test_a_broker_that_cannot_be_reached_is_an_error(certify):
    outcome = certify(replace(REFERENCE, publisher=_TakesNobody), rows=("CMD-02", "KEY-02"))
    assert not verdicts(outcome) & ACCUSATIONS
    assert "error" in verdicts(outcome)


def test_the_limits_of_a_target_are_kept_and_nothing_fails(certify):
    outcome = certify(REFERENCE, rows=("LST-04", "LST-05"), changes={"limits": Limits(requests_per_s=60, connects_per_min=600)})
    assert not verdicts(outcome) & (ACCUSATIONS | {"error"})


def test_a_target_that_offers_little_gets_reasons_instead_of_failures(certify):
    outcome = certify(REFERENCE, rows=("CMD-14", "CMD-19", "KEY-04", "DLD-05"), changes={"clock": None, "devices": ()})
    assert verdicts(outcome) <= {"not-applicable", "skipped", "pass"}
    assert all("target file" in result.detail for result in outcome.results if result.verdict.value == "not-applicable")


@pytest.mark.parametrize("requirement", ["DLD-05a", "DLD-05b", "KEY-09"])
def test_nothing_speaks_of_long_times_that_did_not_pass(requirement):
    judges = {check.id for check in all_checks().values() if requirement in check.requirements}
    serving = [scenario for scenario in all_scenarios("platform").values() if judges & {*scenario.serves}]
    assert [scenario.name for scenario in serving if not scenario.needs.test_clock and not scenario.full_only] == []
    assert serving
