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
    notes: list[str] = []
    excused: set[str] = set()
    is_outdated = False
    for expectation in expectations:
        meant = [result for result in results if expectation.concerns(result) and result.verdict.is_judged]
        failed = [result.id for result in meant if result.verdict is Verdict.FAIL]
        milder = sorted({result.verdict.value for result in meant} - {Verdict.PASS.value})
        if failed and today <= expectation.until:
            excused.update(failed)
            notes.append(f"expected: {expectation.requirement} ({expectation.reason}; {expectation.owner}, until {expectation.until})")
        elif failed:
            is_outdated = True
            notes.append(f"expired on {expectation.until}: {expectation.requirement} still fails ({expectation.owner})")
        elif milder:
            notes.append(
                f"expected: {expectation.requirement} is a {' and a '.join(milder)} only, which needs no excuse ({expectation.owner})"
            )
        elif meant:
            is_outdated = True
            notes.append(f"no longer happens: {expectation.requirement} passes now, take it off the list ({expectation.owner})")
    if not excused and not is_outdated:
        return Weighed(verdict, tuple(notes))
    softened = [replace(result, verdict=Verdict.WARNING) if result.id in excused else result for result in results]
    weighed = run_verdict(softened, aborted=verdict is RunVerdict.ABORTED)
    return Weighed(RunVerdict.FAIL if is_outdated else weighed, tuple(notes))
