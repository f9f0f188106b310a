"""Known failures: what a team has decided to live with for a while, and what of it is no longer true.

An expectation names a requirement (or check), a reason, an owner and the last day on which it excuses anything. A failure that is expected
does not turn the run red; one whose day has passed does, and so does one that did not happen: the list must shrink with the bugs. A warning
or a deviation is red for nobody: expecting it excuses nothing, and harms nothing while it happens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pydantic import Field, ValidationError

from harness.bench.toml_file import Table, first_mistake, read_toml
from harness.checks.registry import names_of_checks
from harness.checks.verdict import CheckResult, RunVerdict, Verdict, run_verdict
from harness.errors import ConfigurationError
from harness.requirements import row_of


class Expectation(Table):
    """One known failure: a table `[[expected]]` of the file."""

    requirement: str = Field(min_length=4)
    reason: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    until: date

    def concerns(self, result: CheckResult) -> bool:
        """Whether a check is meant: by its id, or by a requirement or row that it judges."""
        return self.requirement in {result.id, *result.requirements, *map(row_of, result.requirements)}


class _File(Table):
    expected: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class Weighed:
    """A run's verdict in the light of what was expected. `notes` are lines for the reader."""

    verdict: RunVerdict
    notes: tuple[str, ...]


def read_expectations(path: Path) -> tuple[Expectation, ...]:
    """Reads the file of known failures. Raises ConfigurationError for the first mistake, a name that no check can have among them."""
    try:
        expected = _File.model_validate(read_toml(path)).expected
    except ValidationError as error:
        raise first_mistake(path, error) from error
    known = names_of_checks()
    for index, name in enumerate(expectation.requirement for expectation in expected):
        if name not in known:
            problem = f"{name!r} is neither a requirement nor a check of this version"
            raise ConfigurationError(str(path), f"expected.{index}", "requirement", problem)
    return expected


def weigh(results: Sequence[CheckResult], verdict: RunVerdict, expectations: Iterable[Expectation], today: date) -> Weighed:
    """What the run comes to when expected failures are excused, and expired or vanished ones are held against it."""
    found = [_compared(expectation, results, today) for expectation in expectations]
    notes = tuple(each.note for each in found if each.note)
    excused = frozenset().union(*(each.excused for each in found))
    if any(each.is_outdated for each in found):
        return Weighed(RunVerdict.FAIL, notes)
    if not excused:
        return Weighed(verdict, notes)
    softened = [replace(result, verdict=Verdict.WARNING) if result.id in excused else result for result in results]
    return Weighed(run_verdict(softened, aborted=verdict is RunVerdict.ABORTED), notes)


@dataclass(frozen=True, slots=True)
class _Compared:
    """What one expectation came to: a line for the reader ("" where nothing of it was asked), and the failing checks that it excuses."""

    note: str = ""
    excused: frozenset[str] = frozenset()
    is_outdated: bool = False


def _compared(expectation: Expectation, results: Iterable[CheckResult], today: date) -> _Compared:
    meant = [result for result in results if expectation.concerns(result) and result.verdict.is_judged]
    failed = frozenset(result.id for result in meant if result.verdict is Verdict.FAIL)
    milder = sorted({result.verdict.value for result in meant} - {Verdict.PASS.value})
    name, owner, until = expectation.requirement, expectation.owner, expectation.until
    if failed and today <= until:
        return _Compared(f"expected: {name} ({expectation.reason}; {owner}, until {until})", failed)
    if failed:
        return _Compared(f"expired on {until}: {name} still fails ({owner})", is_outdated=True)
    if milder:
        return _Compared(f"expected: {name} is a {' and a '.join(milder)} only, which needs no excuse ({owner})")
    if meant:
        return _Compared(f"no longer happens: {name} passes now, take it off the list ({owner})", is_outdated=True)
    return _Compared()
