"""`make certify` installs what `hil` needs and nothing else: the main job must not lean on a library that only an extra brings."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# What stands in sys.modules as None cannot be imported.
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({modules!r})); from harness.cli import run; sys.exit(run(sys.argv[1:]))"


def normalized(distribution):
    return re.sub(r"[-_.]+", "-", distribution).lower()


def distributions(requirements):
    return {normalized(re.split(r"[\[<>=;~! ]", requirement, maxsplit=1)[0]) for requirement in requirements}


def modules_of_extras():
    extras = distributions(line for lines in PROJECT["optional-dependencies"].values() for line in lines)
    extras -= distributions(PROJECT["dependencies"]) | {"hil"}
    found = {module for module, names in packages_distributions().items() if set(map(normalized, names)) <= extras}
    return sorted(found | {"gevent"})


def hil_without_extras(*arguments):
    program = WITHOUT.format(modules=modules_of_extras())
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_the_libraries_of_the_extras_are_known():
    assert {"amqtt", "locust", "qemu", "hypothesis"} <= set(modules_of_extras())


def test_the_built_in_pair_is_planned_without_any_extra():
    done = hil_without_extras("certify", "--plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert "key_lives_thirty_minutes" in done.stdout


@pytest.mark.parametrize("command", sorted(PROJECT["entry-points"]["hil.commands"]))
def test_every_command_explains_itself_without_any_extra(command):
    done = hil_without_extras(command, "--help")
    assert done.returncode == 0
    assert "not available" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["broker", "check", "--broker", "amqtt"], "hil[amqtt]"),
        (["load", "mixed", "--target", __file__], "hil[load]"),
    ],
)
def test_a_command_that_needs_an_extra_names_it_in_one_line(arguments, extra):
    done = hil_without_extras(*arguments)
    assert done.returncode in (2, 3)
    assert extra in done.stderr
    assert done.stderr.count("\n") == 1
