"""`hil requirements`: the catalogue for readers, machines and README."""

import json

import pytest

from harness import cli
from harness.requirements import CATALOGUE
from harness.requirements_cli import BEGIN, END, judges_by_requirement, trace_table, with_table, words_by_test


def hil(capsys, *arguments):
    status = cli.run(["requirements", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_all_requirements_are_printed_when_none_is_named(capsys):
    status, out, _ = hil(capsys)
    assert status == 0
    assert all(id_ in out for id_ in CATALOGUE)


def test_a_row_is_printed_with_its_sub_ids_statement_and_reading(capsys):
    _, out, _ = hil(capsys, "CMD-07")
    assert "CMD-07a  MUST · P · C, D" in out
    assert "our reading: the source names no tolerance" in out
    assert "CMD-08" not in out


def test_a_family_is_printed_whole(capsys):
    _, out, _ = hil(capsys, "KEY", "--json")
    assert {row["id"] for row in json.loads(out)} == {id_ for id_ in CATALOGUE if id_.startswith("KEY")}


def test_json_holds_every_member(capsys):
    (row,) = json.loads(hil(capsys, "KEY-07", "--json")[1])
    assert row["level"] == "SHOULD"
    assert row["hardening"] is True
    assert row["sides"] == ["P"]
    assert row["source"] == "I"
    assert isinstance(row["checks"], list)


def test_an_unknown_id_is_one_line_and_status_2(capsys):
    status, out, err = hil(capsys, "CMD-99")
    assert (status, out) == (2, "")
    assert "'CMD-99' is no id, row or family" in err


def test_the_table_has_a_line_for_every_requirement():
    judges = {id_: ["one", "two"] if id_ == "CMD-02" else [] for id_ in CATALOGUE}
    lines = trace_table(judges).splitlines()
    assert len(lines) == 2 + len(CATALOGUE)
    assert "| CMD-02 | MUST | `one`, `two` | – |" in lines
    assert "| KEY-07 | SHOULD (H) | – | – |" in lines


def test_the_table_names_the_tests_of_each_check(tmp_path):
    (tmp_path / "golden_a.py").write_text("one = 1")
    (tmp_path / "golden_b.py").write_text("someone = 2")
    judges = {id_: ["one"] if id_ == "CMD-02" else [] for id_ in CATALOGUE}

    assert "| CMD-02 | MUST | `one` | golden_a.py |" in trace_table(judges, words_by_test([tmp_path]))


def test_a_row_whose_judges_no_test_names_shows_the_tests_that_name_the_row(tmp_path):
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "test_broker.py").write_text("caught = {'BRK-01'}")
    (tmp_path / "rooms" / "conftest.py").write_text("row = 'BRK-01'")
    judges = {id_: [] for id_ in CATALOGUE}

    assert "| BRK-01 | MUST | – | test_broker.py |" in trace_table(judges, words_by_test([tmp_path]))


def test_a_trial_of_a_broker_is_among_the_judges_of_its_row(capsys):
    (row,) = json.loads(hil(capsys, "BRK-01", "--json")[1])
    assert row["checks"]


def test_without_checks_nothing_is_judged():
    assert set(judges_by_requirement([])) == set(CATALOGUE)


def test_the_table_replaces_what_stood_between_its_markers():
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_table(text, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END])
def test_a_file_without_markers_is_left_alone(capsys, tmp_path, text):
    path = tmp_path / "page.md"
    path.write_text(text)
    status, _, err = hil(capsys, "--write", str(path))
    assert status == 2
    assert "markers" in err
    assert path.read_text() == text


def test_the_table_is_written_into_a_file(capsys, tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"{BEGIN}\n{END}\n")
    assert hil(capsys, "--write", str(path))[0] == 0
    assert "| KEY-02 | MUST |" in path.read_text()
