"""JSON values as they come from others: read without complaint, compared as JSON means it, and pointed into. Source: RFC 8259, RFC 6901."""

import json
from typing import Any, Never


def read_json(text: str | bytes) -> Any:
    """The JSON value that a body or payload is; None where it is none (NaN, another encoding than UTF-8), as for the text `null`."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return None


def is_lenient_json(raw: bytes) -> bool:
    """Whether only lenient readers take this for JSON: they know NaN and Infinity, or replace what is not UTF-8."""
    try:
        value = json.loads(raw.decode(errors="replace"))
    except (ValueError, RecursionError):
        return False
    return value is not None and read_json(raw) is None


def refuse_constant(name: str) -> Never:
    """For `parse_constant` of `json`, which else takes NaN and Infinity for JSON. Raises ValueError."""
    raise ValueError(f"{name} is no JSON value")


def sayable(text: str) -> str:
    """A text in which what UTF-8 cannot say is written as JSON escapes it: a value of others may hold half a surrogate pair."""
    return text.encode(errors="backslashreplace").decode()


def is_same_json(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: unlike in Python, true is no 1; 60 and 60.0 are one number."""
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(is_same_json(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(is_same_json, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def pointed_at(document: Any, pointer: str) -> Any:
    """The value that a JSON pointer names in a document; None where there is none."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document.get(name)
        elif isinstance(document, list) and name.isdecimal() and int(name) < len(document):
            document = document[int(name)]
        else:
            return None
    return document
