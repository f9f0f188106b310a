"""The correct platform is accused of nothing in twenty runs with different seeds, on our broker and on mosquitto."""

import pytest

from harness.checks.verdict import Verdict
from simulators.platform.personalities import REFERENCE

SEEDS, SHARES = 20, 4
UNEVENTFUL = (Verdict.PASS, Verdict.SKIPPED, Verdict.NOT_APPLICABLE)

pytestmark = [pytest.mark.mutants, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.peer("mosquitto"))])
def test_the_reference_has_no_finding_in_twenty_seeds(share, broker, try_seeds):
    outcomes = try_seeds(REFERENCE, range(share, SEEDS, SHARES), broker=broker)
    findings = [
        (seed, result.id, result.verdict.value, result.detail)
        for seed, outcome in outcomes.items()
        for result in outcome.results
        if result.verdict not in UNEVENTFUL
    ]
    assert findings == []
