"""JSON values of others: what is none is None, equality is JSON's own, and a pointer finds its member or nothing."""

import pytest

from harness.wire.json_values import is_lenient_json, is_same_json, pointed_at, read_json, sayable

DOCUMENT = {"a": {"b/c": 1, "d~e": 2}, "list": [{"sha256": "5e"}], "": 3}


@pytest.mark.parametrize(("text", "value"), [('{"a": 1}', {"a": 1}), (b"[1.5, null]", [1.5, None]), ('"text"', "text"), ("null", None)])
def test_a_json_text_is_read_as_its_value(text, value):
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text", ["", "{", "{'a': 1}", b"\xff\xfe\xfd", "[" * 100_000, "NaN", '{"a": [-Infinity]}', '{"a": 1}'.encode("utf-16")]
)
def test_what_is_no_json_is_read_as_none(text):
    assert read_json(text) is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b'{"a": NaN}', True), (b'"\xfc"', True), (b'{"a": 1}', False), (b"null", False), (b"{", False), (b"\xff\xfe", False)],
)
def test_only_lenient_readers_know_nan_and_replace_what_is_not_utf_8(raw, expected):
    assert is_lenient_json(raw) is expected


def test_half_a_surrogate_pair_is_read_and_can_be_said():
    assert sayable(read_json('"\\ud800 and \\ud83d\\ude00"')) == "\\ud800 and \N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("one", "other"), [(60, 60.0), ({"a": [1, True]}, {"a": [1.0, True]}), (None, None), ("x", "x"), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_values_that_json_calls_equal_are_the_same(one, other):
    assert is_same_json(one, other)
    assert is_same_json(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, True), (0, False), ([1], [True]), ({"a": 1}, {"a": 1, "b": None}), ([1], [1, 2]), ("1", 1), ({}, []), (None, False)],
)
def test_values_that_json_calls_different_are_not_the_same(one, other):
    assert not is_same_json(one, other)
    assert not is_same_json(other, one)


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("", DOCUMENT), ("/a/b~1c", 1), ("/a/d~0e", 2), ("/list/0/sha256", "5e"), ("/", 3), ("/none", None), ("/list/1", None)],
)
def test_a_pointer_finds_its_member(pointer, value):
    assert pointed_at(DOCUMENT, pointer) == value


@pytest.mark.parametrize("pointer", ["/a/b/c", "/list/²", "/list/-1", "/list/x", "/a/b~1c/0"])
def test_a_pointer_into_nothing_finds_nothing(pointer):
    assert pointed_at(DOCUMENT, pointer) is None
