"""The catalogue is complete and well-formed."""

import re

import pytest

from harness.requirements import CATALOGUE, FAMILIES, SOURCES, Level, find, rows

ROWS_PER_FAMILY = {"CMD": 32, "KEY": 11, "DLD": 15, "LST": 12, "DEV": 30, "BRK": 12}
HARDENING_ROWS = {"CMD-18b", "CMD-23b", "KEY-07", "KEY-10", "DLD-07", "DLD-09", "DLD-11", "LST-02b", "DEV-18", "DEV-19"}


def test_every_row_of_the_specification_is_there_in_its_order():
    expected = [f"{family}-{number:02}" for family, count in ROWS_PER_FAMILY.items() for number in range(1, count + 1)]
    assert list(rows()) == expected


def test_each_key_of_the_catalogue_is_the_id_of_its_requirement():
    assert all(key == requirement.id for key, requirement in CATALOGUE.items())


@pytest.mark.parametrize("requirement", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_a_requirement_has_statement_source_and_side(requirement):
    assert re.fullmatch(r"[A-Z]{3}-\d{2}[a-z]?", requirement.id)
    assert requirement.family in FAMILIES
    assert requirement.statement
    assert not requirement.statement.endswith(".")
    assert requirement.sides
    assert any(requirement.source.startswith(letter) for letter in SOURCES)


def test_the_sub_ids_of_a_row_start_at_a_and_have_no_bare_sibling():
    for row in rows():
        letters = [requirement.id[6:] for requirement in find(row)]
        assert letters in ([""], list("ab"), list("abc")), row


def test_a_reading_is_told_wherever_the_level_is_read():
    assert [r.id for r in CATALOGUE.values() if r.level is Level.READ and not r.reading] == []


def test_the_hardening_rows_are_those_marked_h_and_are_should():
    marked = {r.id: r.level for r in CATALOGUE.values() if r.hardening}
    assert marked.keys() == HARDENING_ROWS
    assert set(marked.values()) == {Level.SHOULD}


def test_a_split_row_is_found_by_its_row_id():
    assert [(r.id, r.level) for r in find("CMD-21")] == [("CMD-21a", Level.MUST), ("CMD-21b", Level.SHOULD)]


def test_an_unknown_id_finds_nothing():
    assert find("CMD-99") == ()
