"""`hil requirements`: the catalogue, with the checks of this installation that judge each id."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from harness.checks.registry import Check, all_checks
from harness.errors import ConfigurationError
from harness.requirements import CATALOGUE, FAMILIES, Requirement, find

BEGIN = "<!-- requirements and checks: made by `make trace` -->"
END = "<!-- end of requirements and checks -->"

CHECK_TESTS = Path("tests/harness/checks")  # beside the file that the table is written into

_WORD = re.compile(r"\w+")

app = typer.Typer()


@app.command()
def requirements(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]…", help="Ids, rows or families: CMD-21a, CMD-21, CMD. All without.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
    write: Annotated[Path | None, typer.Option("--write", help="Write the table into this file, between its two markers.")] = None,
) -> None:
    """Prints the requirement catalogue: id, level, statement, source, our reading, and which checks judge it."""
    judges = judges_by_requirement(all_checks())
    if write is not None:
        tests = proofs_by_check(all_checks(), write.parent / CHECK_TESTS)
        _replace_table(write, trace_table(judges, tests))
        return
    wanted = _wanted(ids or list(FAMILIES))
    if as_json:
        typer.echo(json.dumps([_members(requirement, judges) for requirement in wanted], ensure_ascii=False, indent=1))
        return
    console = Console(highlight=False)
    for requirement in wanted:
        console.print(_paragraph(requirement, judges), soft_wrap=not console.is_terminal)


def judges_by_requirement(checks: Mapping[str, Check]) -> dict[str, list[str]]:
    """Requirement id -> the names of the checks that cite it, in alphabetical order."""
    judges: dict[str, list[str]] = {id_: [] for id_ in CATALOGUE}
    for name in sorted(checks):
        for id_ in checks[name].requirements:
            judges[id_].append(name)
    return judges


def proofs_by_check(names: Iterable[str], directory: Path) -> dict[str, list[str]]:
    """Check -> the files below `directory` that name it: where it has been seen to pass and to fail."""
    words = {path.name: set(_WORD.findall(path.read_text(encoding="utf-8"))) for path in sorted(directory.glob("*.py"))}
    return {name: [file for file, found in words.items() if name in found] for name in names}


def trace_table(judges: Mapping[str, Iterable[str]], tests: Mapping[str, Iterable[str]] | None = None) -> str:
    """The table of README, in Markdown: one line per requirement, with its checks and the tests of those."""
    lines = ["| requirement | level | judged by | tested in |", "|---|---|---|---|"]
    for requirement in CATALOGUE.values():
        level = requirement.level.value + (" (H)" if requirement.hardening else "")
        names = list(judges[requirement.id])
        files = sorted({file for name in names for file in (tests or {}).get(name, ())})
        lines.append(f"| {requirement.id} | {level} | {', '.join(f'`{name}`' for name in names) or '–'} | {', '.join(files) or '–'} |")
    return "\n".join(lines)


def with_table(text: str, table: str) -> str:
    """`text` with `table` between its markers. Raises ValueError where it has not both."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"it has not both markers, {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _replace_table(path: Path, table: str) -> None:
    try:
        path.write_text(with_table(path.read_text(encoding="utf-8"), table), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(str(path), "", "", str(error)) from error


def _wanted(names: list[str]) -> list[Requirement]:
    found: dict[str, Requirement] = {}
    for name in names:
        matching = find(name) or tuple(requirement for requirement in CATALOGUE.values() if requirement.family == name)
        if not matching:
            raise ConfigurationError("requirements", "", name, f"is no id, row or family; families are {', '.join(FAMILIES)}")
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
