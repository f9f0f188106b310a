"""How far a run is: on a terminal a bar for each requirement family, elsewhere a plain line as each scenario ends."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from harness.checks.registry import all_checks
from harness.requirements import FAMILIES
from harness.runner import Plan
from harness.scenario import Scenario

Ended: TypeAlias = Callable[[Scenario, str], None]


def family_of(scenario: Scenario) -> str:
    """The name of the family for whose sake a scenario is run: that of the first check that it serves."""
    check = all_checks().get(scenario.serves[0])
    return FAMILIES.get(check.requirements[0][:3], "Other") if check is not None else "Other"


@contextmanager
def progress_of(plan: Plan, console: Console) -> Iterator[Ended]:
    """What wants to hear of each scenario's end and its problem."""
    planned = Counter(family_of(scenario) for scenario in plan.scenarios)
    in_order = {name: planned[name] for name in (*FAMILIES.values(), "Other") if planned[name]}
    if console.is_terminal:
        with _bars(in_order, console) as ended:
            yield ended
    else:
        yield _plain_lines(in_order, console)


@contextmanager
def _bars(planned: dict[str, int], console: Console) -> Iterator[Ended]:
    # The last title takes what the others leave: it must not push them off a narrow terminal.
    columns = (
        TextColumn("{task.description:18}", table_column=Column(min_width=18, no_wrap=True)),
        BarColumn(bar_width=20, table_column=Column(min_width=20)),
        MofNCompleteColumn(table_column=Column(min_width=5, no_wrap=True)),
        TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True)),
        TextColumn("{task.fields[last]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=console, expand=True) as progress:
        bars = {name: progress.add_task(name, total=count, last="") for name, count in planned.items()}

        def ended(scenario: Scenario, problem: str) -> None:
            progress.update(bars[family_of(scenario)], advance=1, last=scenario.title)
            if problem:
                progress.console.print(f"{scenario.title}: {problem}", markup=False, highlight=False, style="yellow")

        yield ended


def _plain_lines(planned: dict[str, int], console: Console) -> Ended:
    done: Counter[str] = Counter()

    def ended(scenario: Scenario, problem: str) -> None:
        name = family_of(scenario)
        done[name] += 1
        trouble = f"  ! {problem}" if problem else ""
        line = f"[{done.total():3}/{sum(planned.values())}] {name} {done[name]}/{planned[name]}: {scenario.title}{trouble}"
        console.print(line, soft_wrap=True, markup=False, highlight=False)

    return ended
