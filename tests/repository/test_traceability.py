"""Every requirement has a check, and every check has its requirement."""

from harness.checks.registry import all_checks
from harness.requirements import CATALOGUE, find

# Requirements that no check judges yet. Each line is a debt; the list shrinks to nothing.
NOT_YET: frozenset[str] = frozenset(CATALOGUE)

# Not judged at all, for a reason that the catalogue gives.
NEVER = {"LST-12": "the source contradicts itself; the row says that it is not judged"}


def cited() -> set[str]:
    return {requirement for check in all_checks().values() for requirement in check.requirements}


def test_every_check_cites_ids_of_the_catalogue():
    unknown = {
        (check.id, requirement) for check in all_checks().values() for requirement in check.requirements if requirement not in CATALOGUE
    }
    assert unknown == set()


def test_every_requirement_has_a_check_or_a_line_in_not_yet():
    orphans = set(CATALOGUE) - cited() - NOT_YET - set(NEVER)
    assert sorted(orphans) == [], "write a check that cites them, or a line in NOT_YET"


def test_no_line_of_not_yet_has_a_check():
    assert sorted(NOT_YET & cited()) == [], "these have checks now: take their lines out of NOT_YET"


def test_what_is_never_judged_is_in_the_catalogue_and_has_no_check():
    assert all(find(requirement) for requirement in NEVER)
    assert not set(NEVER) & (cited() | NOT_YET)
