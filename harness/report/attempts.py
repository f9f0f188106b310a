"""Earlier runs of the same plan: no attempt is forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.checks.verdict import RunVerdict, Verdict


@dataclass(frozen=True, slots=True)
class Attempt:
    """An earlier run of the same plan: its id, its verdict, and what the checks came to that were asked again."""

    run: str
    verdict: RunVerdict
    checks: Mapping[str, Verdict]
