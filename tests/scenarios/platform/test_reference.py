"""The correct platform is accused of nothing, whatever the seed, and whichever reading it declares."""

from dataclasses import replace

import pytest

from harness.checks.verdict import RunVerdict
from simulators.platform.keys import UsePolicy
from simulators.platform.personalities import REFERENCE
from simulators.platform.rules import http_ruled, keys_ruled

OF_A_PROCESS = {"command_without_broker_is_not_accepted", "memory_of_slow_downloads_is_bounded"}


def findings(outcome):
    return [
        (result.id, result.verdict.value, result.detail)
        for result in outcome.results
        if result.verdict.value not in ("pass", "not-applicable")
    ]


def accusations(outcome):
    """What is found wrong; a part of the scenarios leaves other things unseen."""
    return [finding for finding in findings(outcome) if finding[1] in ("fail", "warning", "deviation", "error")]


@pytest.mark.slow
def test_the_reference_passes_every_check(certify):
    outcome = certify(REFERENCE)
    assert (findings(outcome), outcome.verdict) == ([], RunVerdict.PASS)
    assert {result.id for result in outcome.results if result.verdict.value == "not-applicable"} == set()


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.peer("mosquitto"))])
def test_the_references_own_hooks_show_what_only_a_process_can(try_process, broker):
    outcome = try_process(REFERENCE, "--broker", broker, rows=("CMD-01", "CMD-31", "DLD-06", "DLD-11")).outcome
    verdicts = {result.id: result.verdict.value for result in outcome.results if result.id in OF_A_PROCESS}
    assert verdicts == dict.fromkeys(OF_A_PROCESS, "pass")
    assert accusations(outcome) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_keys_tried_in_any_order_follow_the_model(certify, seed):
    assert accusations(certify(REFERENCE, rows=("KEY-05",), seed=seed)) == []


@pytest.mark.slow
def test_a_platform_that_declares_complete_delivery_and_keeps_it_passes(certify):
    other = replace(REFERENCE, rules=keys_ruled(use_policy=UsePolicy.COMPLETE_DELIVERY))
    outcome = certify(other, rows=("KEY-02", "KEY-03", "KEY-05", "KEY-08", "DLD-10"))
    assert accusations(outcome) == []


@pytest.mark.slow
def test_another_reading_is_a_deviation_and_no_fail(certify):
    outcome = certify(replace(REFERENCE, rules=http_ruled(head_status=405)), rows=("DLD-10",))
    assert [finding[:2] for finding in accusations(outcome)] == [("head_and_range_follow_the_reading", "deviation")]


@pytest.mark.slow
def test_an_undeclared_policy_is_a_deviation_at_most(certify):
    other = replace(REFERENCE, rules=keys_ruled(use_policy=UsePolicy.COMPLETE_DELIVERY))
    outcome = certify(other, rows=("KEY-02", "KEY-03", "KEY-08"), changes={"declares": {}})
    assert {finding[1] for finding in accusations(outcome)} == {"deviation"}
