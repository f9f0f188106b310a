"""The timeline as JSON Lines: one event a line, the first of them `RunStarted` with the schema version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from pydantic import TypeAdapter, ValidationError

from harness.errors import ConfigurationError, JournalError
from harness.history.events import FACT_TYPES, SCHEMA, Event, Fact, RunStarted, kind_of
from harness.history.timeline import History

HISTORY_FILE = "history.jsonl"
UNDONE_FILE = "undone.jsonl"
"""Beside it: what `hil cleanup` has undone of the run. The journal may be signed, and stays as it is."""

_TYPE_BY_KIND = {kind_of(fact_type): fact_type for fact_type in FACT_TYPES}
_ADAPTERS: dict[type[Fact], TypeAdapter[Any]] = {fact_type: TypeAdapter(fact_type) for fact_type in FACT_TYPES}


def line_of(event: Event) -> str:
    """The event's line in a journal, without the line end. Members that stand at their default are left out."""
    fact_type = type(event.fact)
    place = {
        "line": event.line,
        "at_s": round(event.at_s, 6),
        "utc_s": round(event.utc_s, 6),
        "scope": event.scope,
        "kind": kind_of(fact_type),
    }
    members = _ADAPTERS[fact_type].dump_python(event.fact, mode="json", exclude_defaults=True)
    return json.dumps(place | members, ensure_ascii=False, separators=(",", ":"))


def event_of(line: str) -> Event:
    """The event that `line_of` was given. Raises JournalError where the line is none."""
    try:
        members = json.loads(line)
        number, at_s, utc_s, scope, kind = (members.pop(name) for name in ("line", "at_s", "utc_s", "scope", "kind"))
        fact = _ADAPTERS[_TYPE_BY_KIND[kind]].validate_python(members)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise JournalError(f"no event of a journal: {line[:120]!r}") from error
    return Event(number, at_s, utc_s, scope, fact)


class JournalWriter:
    """Appends events to a file as they happen, so that a killed run leaves all but its last line."""

    def __init__(self, path: Path) -> None:
        path.with_name(UNDONE_FILE).unlink(missing_ok=True)  # It told of an older run.
        self._file: TextIO = path.open("w", encoding="utf-8", buffering=1)

    def write(self, event: Event) -> None:
        self._file.write(line_of(event) + "\n")

    def close(self) -> None:
        self._file.close()


def read_journal(path: Path) -> list[Event]:
    """All events of a journal, in order. A last line that was cut off by a kill is left out.

    Raises JournalError for a file that is no journal of this schema, or is damaged in the middle.
    """
    events = list(_events(path))
    if not events or not isinstance(events[0].fact, RunStarted):
        raise JournalError(f"{path}: does not start with the event 'run started'")
    if events[0].fact.schema != SCHEMA:
        raise JournalError(f"{path}: schema {events[0].fact.schema!r}, this version reads {SCHEMA!r}")
    return events


def recorded_history(run: Path) -> History:
    """The history of a run that a user names: by its report directory, or by the journal itself.

    Raises ConfigurationError, which names the file, where there is none that can be read.
    """
    path = run / HISTORY_FILE if run.is_dir() else run
    try:
        return History(tuple(read_journal(path)))
    except JournalError as error:
        place, _, problem = str(error).partition(": ")  # the file, and the line where it is one line's fault
        raise ConfigurationError(place, "", "", problem) from error


def _events(path: Path) -> Iterator[Event]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise JournalError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    lines = text.split("\n")
    cut_off = lines.pop()  # Empty where the file ends with a line end, as it does unless the writer was killed.
    for number, line in enumerate(lines, 1):
        try:
            event = event_of(line)
        except JournalError as error:
            raise JournalError(f"{path}:{number}: {error}") from error
        if event.line != number:
            raise JournalError(f"{path}:{number}: holds event {event.line}; a line is missing or was added")
        yield event
    if cut_off:
        return
