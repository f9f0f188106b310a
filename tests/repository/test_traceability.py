"""Every requirement has a check, and every check has its requirement."""

from pathlib import Path

from harness.checks.registry import all_checks
from harness.requirements import CATALOGUE
from harness.requirements_cli import TESTS, all_judges, judges_by_requirement, trace_table, with_table, words_by_test

# Requirements that no check judges yet. Each is a debt; whoever writes the check takes its id out of here.
NOT_YET: frozenset[str] = frozenset()


def cited() -> set[str]:
    return {requirement for requirement, judges in judges_by_requirement(all_judges()).items() if judges}


def unjudged() -> set[str]:
    return {id_ for id_, requirement in CATALOGUE.items() if requirement.unjudged}


def test_every_check_cites_ids_of_the_catalogue():
    unknown = {
        (check.id, requirement) for check in all_checks().values() for requirement in check.requirements if requirement not in CATALOGUE
    }
    assert unknown == set()


def test_every_requirement_has_a_check_or_a_line_in_not_yet():
    orphans = set(CATALOGUE) - cited() - NOT_YET - unjudged()
    assert sorted(orphans) == [], "write a check that cites them, or a line in NOT_YET"


def test_no_line_of_not_yet_has_a_check():
    assert sorted(NOT_YET & cited()) == [], "these have checks now: take their lines out of NOT_YET"


def test_what_no_check_can_judge_has_no_check():
    assert not unjudged() & (cited() | NOT_YET)


def test_readme_s_table_of_requirements_and_checks_is_that_of_the_code():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    table = trace_table(judges_by_requirement(all_judges()), words_by_test(Path(__file__).parents[2] / tests for tests in TESTS))
    assert with_table(readme, table) == readme, "`make trace` writes it anew"
