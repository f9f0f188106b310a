"""A broker that breaks a promise is our trouble: an error of its own, and what rests on it is inconclusive, by name."""

from harness.checks.equipment import broken_promises, broker_results, trusting
from harness.checks.verdict import CheckResult, Verdict
from harness.history.events import BrokerChecked, BrokerPromise, Event
from harness.history.timeline import History


def promise(requirement: str, verdict: str, level: str = "MUST") -> BrokerPromise:
    return BrokerPromise("redelivers", "redelivers", (requirement,), level, verdict, "nothing came")


def checked(*promises: BrokerPromise) -> list[CheckResult]:
    return broker_results(History((Event(1, 0.0, 0.0, "", BrokerChecked("amqtt", promises)),)))


def device(verdict: Verdict, requirement: str = "DEV-04") -> CheckResult:
    return CheckResult("repeated", "repeated", (requirement,), "MUST", verdict, "had 2 effects")


def test_a_broken_promise_of_the_broker_is_an_error_and_never_a_failure_of_the_device():
    results = checked(promise("BRK-03", "fail"))

    assert [result.verdict for result in results] == [Verdict.ERROR]
    assert results[0].id == "broker_redelivers"
    assert results[0].evidence == (1,)


def test_a_device_verdict_that_rests_on_a_broken_promise_is_inconclusive_and_names_it():
    result = trusting(device(Verdict.FAIL), broken_promises(checked(promise("BRK-03", "fail"))))

    assert result.verdict is Verdict.INCONCLUSIVE
    assert "BRK-03" in result.detail
    assert "had 2 effects" in result.detail


def test_a_device_verdict_that_rests_on_nothing_broken_stands():
    broken = broken_promises(checked(promise("BRK-03", "fail")))

    assert trusting(device(Verdict.FAIL, "DEV-13"), broken).verdict is Verdict.FAIL
    assert trusting(device(Verdict.PASS), broken_promises(checked(promise("BRK-03", "pass")))).verdict is Verdict.PASS


def test_a_mere_recommendation_that_the_broker_breaks_changes_no_verdict():
    assert broken_promises(checked(promise("BRK-08", "fail", "SHOULD"))) == frozenset()


def test_a_check_that_judged_nothing_stays_what_it_is():
    assert trusting(device(Verdict.NOT_APPLICABLE), frozenset({"BRK-03"})).verdict is Verdict.NOT_APPLICABLE
