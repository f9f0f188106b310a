"""A journal keeps every event, and says where it is damaged."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import JournalError
from harness.history.events import (
    FACT_TYPES,
    SCHEMA,
    Event,
    HttpRequest,
    MqttPacket,
    PlannedCheck,
    RunEnded,
    RunStarted,
    Stimulus,
    bytes_of,
    kind_of,
    text_of,
)
from harness.history.journal import UNDONE_FILE, JournalWriter, event_of, line_of, read_journal

START = RunStarted(SCHEMA, "r", "0", "c", 1, "quick", "platform", "p", "should", {}, {}, (PlannedCheck("x", "planned"),))


def event(fact, line=1):
    return Event(line, 1.5, 1_700_000_000.25, "scene", fact)


def written(tmp_path, *facts):
    path = tmp_path / "history.jsonl"
    writer = JournalWriter(path)
    for line, fact in enumerate(facts, 1):
        writer.write(event(fact, line))
    writer.close()
    return path


JSON = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()), max_size=3)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
DRAWN = {"target": JSON, "declaration": JSON, "facts": JSON, "seconds": NUMBERS, "bits_max": NUMBERS}


@pytest.mark.parametrize("fact_type", FACT_TYPES, ids=kind_of)
@given(data=st.data())
def test_every_kind_of_fact_comes_back_as_it_was(fact_type, data):
    drawn = {field.name: DRAWN[field.name] for field in fields(fact_type) if field.name in DRAWN}
    fact = data.draw(st.builds(fact_type, **drawn))
    assert event_of(line_of(event(fact))) == event(fact)


def test_every_kind_has_a_word_of_its_own():
    assert len({kind_of(fact_type) for fact_type in FACT_TYPES}) == len(FACT_TYPES)
    assert kind_of(HttpRequest) == "http request"


def test_members_at_their_default_are_left_out():
    members = json.loads(line_of(event(MqttPacket(1, "d", "client", "PINGREQ", 2))))
    assert set(members) == {"line", "at_s", "utc_s", "scope", "kind", "connection", "device_id", "sent_by", "type", "size_bytes"}


def test_a_line_holds_no_line_end():
    assert "\n" not in line_of(event(Stimulus("two\nlines", {"a\nb": "c\u2028d\x85"})))


def test_a_journal_is_read_as_it_was_written(tmp_path):
    facts = (START, Stimulus("a\nb", {"n": 1}), RunEnded())
    assert [found.fact for found in read_journal(written(tmp_path, *facts))] == list(facts)


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path):
    path = written(tmp_path, START, RunEnded())
    path.write_text(path.read_text()[:-10])
    assert [type(found.fact) for found in read_journal(path)] == [RunStarted]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = written(tmp_path, START, Stimulus("x", {}), RunEnded())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-5], lines[2], ""]))
    with pytest.raises(JournalError, match=r"history\.jsonl:2"):
        read_journal(path)


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "7",
        '{"line":1,"at_s":1,"utc_s":1,"scope":"","kind":"no such kind"}',
        '{"line":1,"at_s":1,"utc_s":1,"scope":"","kind":"mqtt opened"}',
    ],
)
def test_a_line_that_is_no_event_is_refused(line):
    with pytest.raises(JournalError, match="no event"):
        event_of(line)


def test_a_missing_line_is_named(tmp_path):
    path = written(tmp_path, START, Stimulus("x", {}), RunEnded())
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2], ""]))
    with pytest.raises(JournalError, match="holds event 3"):
        read_journal(path)


def test_a_journal_starts_with_its_run(tmp_path):
    with pytest.raises(JournalError, match="run started"):
        read_journal(written(tmp_path, RunEnded()))


def test_an_empty_file_is_no_journal(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text("")
    with pytest.raises(JournalError, match="run started"):
        read_journal(path)


def test_another_schema_is_refused_by_name(tmp_path):
    other = RunStarted(**{field.name: getattr(START, field.name) for field in fields(START)} | {"schema": "hil-history/9"})
    with pytest.raises(JournalError, match="hil-history/9"):
        read_journal(written(tmp_path, other))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(JournalError, match="missing"):
        read_journal(tmp_path / "missing.jsonl")


def test_a_line_that_nests_without_end_is_no_event(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"a":' * 20_000 + "\n")
    with pytest.raises(JournalError, match=r"history\.jsonl:1: no event of a journal"):
        read_journal(path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(JournalError, match="cannot be read"):
        read_journal(path)


@given(st.binary(max_size=200))
def test_bytes_come_back_from_their_text(data):
    assert bytes_of(text_of(data)) == data


def test_text_that_looks_like_base64_of_ours_comes_back_too():
    assert bytes_of(text_of(b"base64:abc")) == b"base64:abc"
    assert text_of(b"plain") == "plain"


def test_a_new_journal_knows_nothing_of_what_was_undone_of_an_older_one(tmp_path):
    (tmp_path / UNDONE_FILE).write_text("")

    written(tmp_path, START)

    assert not (tmp_path / UNDONE_FILE).exists()
