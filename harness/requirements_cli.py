"""`hil requirements`: the catalogue, with the checks of this installation that judge each id."""

import json
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.console import Console
from rich.text import Text

from harness.checks.registry import all_checks
from harness.errors import ConfigurationError, OptionError
from harness.outputs import write_file
from harness.requirements import CATALOGUE, FAMILIES, Requirement, find

BEGIN = "<!-- requirements and checks: made by `make trace` -->"
END = "<!-- end of requirements and checks -->"

TESTS = (Path("tests/harness/checks"), Path("tests/simulators"))  # of the judges and of the judged, beside the file that has the table
TRIAL_GROUP = "hil.trials"
"""Entry points of this group are iterables of `Judge`: what judges a broker before anybody is judged on it."""

_WORD = re.compile(r"[A-Z]{3}-[0-9]{2}[a-z]?|\w+")  # a requirement's id, or a name in code

app = typer.Typer()


class Judge(Protocol):
    """A check, or a trial of a broker."""

    @property
    def id(self) -> str: ...
    @property
    def requirements(self) -> tuple[str, ...]: ...


@app.command(epilog="Example: hil requirements KEY CMD-21")
def requirements(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="Ids, rows or families: CMD-21a, CMD-21, CMD. All without.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
    write: Annotated[Path | None, typer.Option("--write", help="Write the table into this file, between its two markers.")] = None,
) -> None:
    """Print the requirement catalogue: id, level, statement, source, our reading, and which checks judge it."""
    judges = judges_by_requirement(all_judges())
    if write is not None:
        _replace_table(write, trace_table(judges, words_by_test(write.parent / tests for tests in TESTS)))
        return
    wanted = _wanted(ids or list(FAMILIES))
    if as_json:
        typer.echo(json.dumps([_members(requirement, judges) for requirement in wanted], ensure_ascii=False, indent=1))
        return
    console = Console(highlight=False)
    for requirement in wanted:
        console.print(_paragraph(requirement, judges), soft_wrap=not console.is_terminal)


def all_judges() -> list[Judge]:
    """The checks of this installation and its trials of brokers, plug-ins included."""
    trials = [trial for entry in entry_points(group=TRIAL_GROUP) for trial in entry.load()]
    return [*all_checks().values(), *trials]


def judges_by_requirement(judges: Iterable[Judge]) -> dict[str, list[str]]:
    """Requirement id -> the names of the checks and trials that cite it, in alphabetical order."""
    names: dict[str, set[str]] = {id_: set() for id_ in CATALOGUE}
    for judge in judges:
        for id_ in CATALOGUE.keys() & set(judge.requirements):  # a trial cites statements of MQTT 3.1.1 too
            names[id_].add(judge.id)
    return {id_: sorted(found) for id_, found in names.items()}


def words_by_test(directories: Iterable[Path]) -> dict[str, frozenset[str]]:
    """File of tests below `directories` -> the names and ids in it, in the files' alphabetical order."""
    files = [path for directory in directories for path in directory.rglob("*.py") if path.name.startswith(("test_", "golden_"))]
    words: dict[str, frozenset[str]] = {}
    for path in sorted(files, key=lambda path: path.name):
        words[path.name] = words.get(path.name, frozenset()).union(_WORD.findall(path.read_text(encoding="utf-8")))
    return words


def trace_table(judges: Mapping[str, Iterable[str]], tests: Mapping[str, frozenset[str]] | None = None) -> str:
    """The table of README, in Markdown: one line per requirement, with what judges it and the tests that name one of these."""
    lines = ["| requirement | level | judged by | tested in |", "|---|---|---|---|"]
    for requirement in CATALOGUE.values():
        level = requirement.level.value + (" (H)" if requirement.hardening else "")
        names = list(judges[requirement.id])
        files = _naming(names, tests or {}) or _naming([requirement.id], tests or {})
        lines.append(f"| {requirement.id} | {level} | {', '.join(f'`{name}`' for name in names) or '–'} | {', '.join(files) or '–'} |")
    return "\n".join(lines)


def _naming(names: Iterable[str], tests: Mapping[str, frozenset[str]]) -> list[str]:
    wanted = frozenset(names)
    return [file for file, words in tests.items() if wanted & words]


def with_table(text: str, table: str) -> str:
    """`text` with `table` between its markers. Raises ValueError where it has not both."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"it has not both markers, {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _replace_table(path: Path, table: str) -> None:
    try:
        text = with_table(path.read_text(encoding="utf-8"), table)
    except OSError as error:
        raise ConfigurationError(str(path), "", "", f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(str(path), "", "", str(error)) from error
    write_file("--write", path, text)


def _wanted(names: list[str]) -> list[Requirement]:
    found: dict[str, Requirement] = {}
    for name in names:
        matching = find(name) or tuple(requirement for requirement in CATALOGUE.values() if requirement.family == name)
        if not matching:
            raise OptionError("ID", f"{name!r} is no id, row or family; families are {', '.join(FAMILIES)}")
        found |= {requirement.id: requirement for requirement in matching}
    return list(found.values())


def _members(requirement: Requirement, judges: Mapping[str, list[str]]) -> dict[str, object]:
    return {
        "id": requirement.id,
        "level": requirement.level.value,
        "hardening": requirement.hardening,
        "sides": [side.value for side in requirement.sides],
        "statement": requirement.statement,
        "source": requirement.source,
        "reading": requirement.reading,
        "checks": judges[requirement.id],
    }


def _paragraph(requirement: Requirement, judges: Mapping[str, list[str]]) -> Text:
    text = Text(requirement.id, style="bold")
    sides = "".join(side.value for side in requirement.sides)
    hardening = ", hardening" if requirement.hardening else ""
    text.append(f"  {requirement.level.value}{hardening} · {sides} · {requirement.source}", style="dim")
    text.append(f"\n  {requirement.statement}", style="not bold")
    if requirement.reading:
        text.append(f"\n  our reading: {requirement.reading}", style="italic not bold")
    text.append(f"\n  judged by: {', '.join(judges[requirement.id]) or 'no check'}", style="dim not bold")
    return text
