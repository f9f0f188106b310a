"""One certification run, from the plan to the verdict: the frame that every subject shares.

The caller brings the bench, the scenarios and what is known of the subject; here a recorder is made, the plan is written down, the
scenarios are run, and the history is judged. Writing the package is `harness.report`'s work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness import __version__
from harness.checks.judgement import judge
from harness.checks.registry import all_checks
from harness.checks.verdict import CheckResult, RunVerdict, run_verdict
from harness.clock import Clock
from harness.errors import ConfigurationError, HarnessError
from harness.history.events import SCHEMA, BrokerChecked, RunEnded, RunStarted, SubjectKind
from harness.history.journal import HISTORY_FILE, JournalWriter
from harness.history.recorder import Recorder
from harness.history.timeline import History
from harness.runner import Bench, Plan, Selection, make_plan, run_scenarios, within_budget
from harness.scenario import Scenario

BrokerCheck = Callable[[], Awaitable[BrokerChecked]]


@dataclass(frozen=True, slots=True)
class Subject:
    """Who is judged. `target` and `declaration` are what their files say; secrets in them are replaced on their way to the record."""

    kind: SubjectKind
    name: str
    hardening: Literal["should", "must"] = "should"
    target: dict[str, Any] = field(default_factory=dict)
    declaration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How it is judged. `command` reproduces the run."""

    run_id: str
    command: str
    seed: int
    out: Path
    selection: Selection


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run, or judging one again, comes to."""

    history: History
    results: tuple[CheckResult, ...]
    verdict: RunVerdict
    aborted: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A bench with the scenarios that run on it. A pair's certification has two. `not_applicable` as `make_plan` takes it."""

    bench: Bench
    scenarios: tuple[Scenario, ...]
    check_broker: BrokerCheck | None = None
    not_applicable: Mapping[str, str] = field(default_factory=dict)


class Certification:
    """One run. Make the benches with `recorder`, then `plan`, then `run`."""

    def __init__(self, options: RunOptions, subject: Subject, clock: Clock) -> None:
        self._options = options
        self._subject = subject
        self.recorder = Recorder(clock)

    def plan(self, parts: Iterable[Part]) -> Plan:
        """What will be asked on these benches and what will not, with the reasons. Nothing is sent."""
        plans = [make_plan(all_checks(), part.scenarios, part.bench, self._options.selection, part.not_applicable) for part in parts]
        checks = tuple(check for plan in plans for check in plan.checks)
        whole = Plan(checks, tuple(scenario for plan in plans for scenario in plan.scenarios))
        budget_s = self._options.selection.budget_s
        return whole if budget_s is None else within_budget(whole, all_checks(), budget_s)

    async def run(
        self,
        parts: Iterable[Part],
        plan: Plan,
        *,
        on_end: Callable[[Scenario, str], None] = lambda scenario, problem: None,
    ) -> Outcome:
        """Runs the planned scenarios and judges what was seen. A Ctrl-C ends the run early; what was seen by then is judged.

        Raises ConfigurationError where the journal cannot be written.
        """
        journal = _journal_in(self._options.out)
        self.recorder.add_sink(journal)
        self._record_start(plan)
        aborted = False
        try:
            # The parts of a pair have benches of their own: they do not disturb each other.
            async with asyncio.TaskGroup() as group:
                for part in parts:
                    planned = [scenario for scenario in part.scenarios if scenario in plan.scenarios]
                    group.create_task(self._run_part(part, planned, on_end))
        except asyncio.CancelledError:
            aborted = True
        finally:
            self.recorder.record(RunEnded(aborted))
            self.recorder.close()
            journal.close()
        return judged(self.recorder.history())

    async def _run_part(self, part: Part, planned: list[Scenario], on_end: Callable[[Scenario, str], None]) -> None:
        if part.check_broker is not None and planned:
            self.recorder.record(await part.check_broker())
        await run_scenarios(planned, part.bench, self.recorder, on_end=on_end)

    def _record_start(self, plan: Plan) -> None:
        subject, options = self._subject, self._options
        self.recorder.record(
            RunStarted(
                schema=SCHEMA,
                run_id=options.run_id,
                version=__version__,
                command=options.command,
                seed=options.seed,
                profile=options.selection.profile,
                subject_kind=subject.kind,
                subject_name=subject.name,
                hardening=subject.hardening,
                target=subject.target,
                declaration=subject.declaration,
                plan=plan.checks,
            )
        )


def _journal_in(directory: Path) -> JournalWriter:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return JournalWriter(directory / HISTORY_FILE)
    except OSError as error:
        raise ConfigurationError(str(directory), "", "", f"no report can be written there: {error.strerror or error}") from error


def judged(history: History) -> Outcome:
    """Verdicts for a history, fresh or read again. Raises HarnessError where this installation lacks a check of its plan."""
    checks = all_checks()
    unknown = [planned.id for planned in history.start.plan if planned.id not in checks]
    if unknown:
        raise HarnessError(f"the history was planned with checks that this version does not have: {', '.join(unknown)}")
    results = tuple(judge(history, checks))
    ends = [seen.fact.aborted for seen in history.of(RunEnded)]
    aborted = not ends or ends[-1]
    return Outcome(history, results, run_verdict(results, aborted=aborted), aborted)
