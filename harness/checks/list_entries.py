"""The family LST, second part: what an entry of a list says of its file."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from harness.checks.key_life import key_lives
from harness.checks.list_views import entries, entry_objects, list_path, lists_after, own_lists, well_asked
from harness.checks.registry import Observation, broken, check, kept
from harness.checks.target_time import windows_s
from harness.history.timeline import Exchange, History
from harness.wire.files import EXTENSIONS, FileType

_ISO8601_UTC = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d)(?::(\d\d)(?:[.,]\d+)?)?(?:[Zz]|[+-]00:?00)\Z")
_LEAP_SECOND = 60
_UPLOAD_TIME_OFF_S = 600.0  # more than clocks differ, less than time zones do


@check("LST-03", unseen="no list with an entry came")
def entries_describe_the_file(history: History) -> Iterator[Observation]:
    """Each entry has a name, a time in ISO 8601 UTC and a size in bytes; a description is a string."""
    for exchange, _ in well_asked(history):
        for entry in entries(exchange):
            problem = _entry_problem(entry)
            yield broken(f"entry {entry!r}: {problem}", exchange) if problem else kept(exchange)
    yield from _times_that_change(history)
    yield from _times_that_are_no_uploads(history)


def _entry_problem(file: Any) -> str:
    if not isinstance(file, dict):
        return "it is no object"
    if not isinstance(file.get("name"), str):
        return "name is no string"
    if not isinstance(file.get("time"), str) or not _is_utc_time(file["time"]):
        return "time is not ISO 8601 in UTC"
    if not isinstance(file.get("size"), int) or isinstance(file["size"], bool):
        return "size is no whole number"
    # It may be left out; null is no string (the contract does not call it nullable).
    if not isinstance(file.get("description", ""), str):
        return "description is no string"
    return ""


def _is_utc_time(text: str) -> bool:
    """Whether a text is an instant in ISO 8601, in UTC, that the calendar and the clock have."""
    match = _ISO8601_UTC.match(text)
    if match is None:
        return False
    to_the_minute, seconds = match.groups()
    try:
        datetime.fromisoformat(to_the_minute)
    except ValueError:
        return False
    return int(seconds or 0) <= _LEAP_SECOND


def _times_that_change(history: History) -> Iterator[Observation]:
    """Files that nobody stored anew and that are listed with another time than before, at the same place."""
    stored_by_us = {str(seen.fact.facts["name"]) for seen in history.stimuli("file uploaded")}
    first: dict[tuple[str, str, Any], tuple[Any, Exchange]] = {}
    for exchange, file_type in own_lists(history):
        names = Counter(str(file.get("name")) for file in entry_objects(exchange))
        for file in entry_objects(exchange):
            name = str(file.get("name"))
            if name in stored_by_us or names[name] > 1:
                continue  # The organisation's projects may each have a file of that name.
            time, before = first.setdefault((list_path(exchange), file_type, (name, file.get("size"))), (file.get("time"), exchange))
            if time != file.get("time"):
                detail = f"{name!r} is listed with time {time!r} and later with {file.get('time')!r}, allowed: that of its upload"
                yield broken(detail, before, exchange)


def _times_that_are_no_uploads(history: History) -> Iterator[Observation]:
    """Files that were uploaded in this run, and are dated by a quarter of an hour or more off it: another time zone, or no upload time."""
    for seen in history.stimuli("file uploaded"):
        for exchange in lists_after(history, seen)[:1]:
            windows = [(seen.event.utc_s, seen.event.utc_s), *windows_s(history, exchange, exchange.asked)]
            times = [file.get("time") for file in entry_objects(exchange) if file.get("name") == seen.fact.facts["name"]]
            for text in times if len(windows) > 1 else ():
                at_s = _instant_s(text)
                if at_s is not None and not any(
                    start_s - _UPLOAD_TIME_OFF_S < at_s < end_s + _UPLOAD_TIME_OFF_S for start_s, end_s in windows
                ):
                    yield broken(f"{seen.fact.facts['name']!r} was uploaded just now and is dated {text!r}", seen, exchange)


def _instant_s(text: Any) -> float | None:
    return datetime.fromisoformat(text).timestamp() if isinstance(text, str) and _is_utc_time(text) else None


@check("LST-09", unseen="no list with an entry came")
def entries_are_of_the_type_and_size(history: History) -> Iterator[Observation]:
    """Only the type's extensions are listed; the size is the download's Content-Length."""
    lengths = {
        (life.project_id, life.file_type, life.file_name): attempt
        for life in key_lives(history)
        for attempt in life.own_attempts()
        if attempt.is_delivered_whole
    }
    for exchange, file_type in own_lists(history):
        projects = _project_of_each_name(exchange, [(project_id, name) for project_id, kind, name in lengths if kind == file_type])
        for file in entry_objects(exchange):
            name = str(file.get("name"))
            download = lengths.get((projects.get(name, ""), file_type, name))
            length = download.header("content-length") if download else None
            if not name.lower().endswith(EXTENSIONS[FileType(file_type)]):
                yield broken(f"{name!r} is listed as {file_type}", exchange)
            elif download is not None and length is not None and length != str(file.get("size")):
                yield broken(f"{name!r} is listed with size {file.get('size')}, its download has {length} bytes", exchange, download)
            else:
                yield kept(exchange)


def _project_of_each_name(exchange: Exchange, known: list[tuple[str, str]]) -> dict[str, str]:
    """Name -> the project whose file an entry of that name is; of an organisation's list only names that it and we know once."""
    if exchange.request.project_id:
        return {name: project_id for project_id, name in known if project_id == exchange.request.project_id}
    listed, ours = Counter(str(file.get("name")) for file in entry_objects(exchange)), Counter(name for _, name in known)
    return {name: project_id for project_id, name in known if listed[name] == ours[name] == 1}
