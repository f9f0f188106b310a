"""The house rules that a machine can see: what stands at the top, what no file may name, and that every module says its idea."""

import ast
import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from harness.cli import COMMAND_GROUP, EXIT_STATUS, mounted

ROOT = Path(__file__).parents[2]

TOP_LEVEL = {
    ".ci",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "fixtures",
    "harness",
    "pyproject.toml",
    "scenarios",
    "simulators",
    "tests",
}
ROOMS = ("harness", "simulators", "scenarios")
MACHINE_PATHS = re.compile(r"(?<![\w}$.])/(?:work|root|home)/\w")
REGISTRIES = re.compile(
    r"\b(?:pypi\.org|files\.pythonhosted\.org|registry\.npmjs\.org|deb\.debian\.org|index-url|artifactory|nexus)\b", re.IGNORECASE
)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}


def kept_files() -> list[Path]:
    """What the repository keeps: tracked files, and new ones that are not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in sorted(set(listed.stdout.split("\0")) - {""}) if (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in kept_files():
        try:
            found.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def lines_with(pattern: re.Pattern[str], names: list[tuple[str, str]]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in names
        if name != "tests/repository/test_house.py"
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def modules() -> list[tuple[str, ast.Module]]:
    return [(name, ast.parse(text)) for name, text in texts() if name.endswith(".py") and name.split("/")[0] in ROOMS]


def test_the_top_level_holds_only_what_is_listed():
    assert {path.relative_to(ROOT).parts[0] for path in kept_files()} - TOP_LEVEL == set()


def test_no_file_names_a_package_registry():
    assert lines_with(REGISTRIES, texts()) == []


def test_no_file_holds_a_path_of_the_machine_it_was_written_on():
    assert lines_with(MACHINE_PATHS, texts()) == []


def test_nothing_is_left_for_later():
    assert lines_with(UNFINISHED, [(name, text) for name, text in texts() if name.endswith((".py", ".md"))]) == []


def test_every_module_says_its_idea_in_a_docstring():
    assert [name for name, tree in modules() if not ast.get_docstring(tree)] == []


def test_no_module_is_named_for_nothing():
    assert [name for name, _ in modules() if Path(name).stem in FORBIDDEN_NAMES] == []


def test_no_product_code_imports_the_tests():
    imports = [
        (name, node.lineno)
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom | ast.Import)
        for target in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
        if target.split(".")[0] in ("tests", "fixtures", "conftest")
    ]
    assert imports == []


def test_readme_says_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make certify" in readme
    assert "make test" in readme


def commands(name: str, command: Any) -> list[tuple[str, Any]]:
    below = [found for each, inner in getattr(command, "commands", {}).items() for found in commands(f"{name} {each}", inner)]
    return [(name, command), *below]


def test_every_command_explains_itself_with_an_example_and_its_exit_status():
    every = [found for point in entry_points(group=COMMAND_GROUP) for found in commands(f"hil {point.name}", mounted(point.name, [point]))]
    told = {name: f"{command.help}\n{command.epilog}\n" for name, command in every}
    assert [name for name, command in every if not command.help or EXIT_STATUS not in told[name]] == []
    assert [name for name, command in every if command.callback is not None and not re.search(f"Examples?: {name}\\s", told[name])] == []


def test_every_entry_point_names_a_module_of_the_product():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    targets = [target for group in project["entry-points"].values() for target in group.values()]
    places = [ROOT.joinpath(*target.partition(":")[0].split(".")) for target in targets]
    missing = [
        str(place.relative_to(ROOT)) for place in places if not place.with_suffix(".py").is_file() and not (place / "__init__.py").is_file()
    ]
    assert missing == []
