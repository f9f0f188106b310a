"""The family LST: the lists of stored files."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.checks.admission import TargetView
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import Exchange, History

_ISO8601_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]00:?00)\Z")


def _types(exchange: Exchange) -> list[str]:
    return parse_qs(urlsplit(exchange.request.url).query, keep_blank_values=True).get("type", [])


def _well_asked(history: History, credential: str = "api-key:full") -> Iterator[tuple[Exchange, str]]:
    """List calls with a valid key and type, with the type."""
    for exchange in history.lists():
        types = _types(exchange)
        if exchange.request.credential == credential and exchange.status is not None and types in (["firmware"], ["logo"]):
            yield exchange, types[0]


def _files(exchange: Exchange) -> list[dict[str, Any]]:
    files = exchange.body_json.get("files") if isinstance(exchange.body_json, dict) else None
    return [file for file in files if isinstance(file, dict)] if isinstance(files, list) else []


def _knows_project(history: History, exchange: Exchange) -> bool:
    projects = {project["id"] for project in history.start.target.get("projects", ())}
    return not exchange.request.project_id or exchange.request.project_id in projects


@check("LST-01", "LST-02a", unseen="no file list was asked for")
def list_names_the_stored_files(history: History) -> Iterator[Observation]:
    """A list answers 200 and names the files of its project, or of all projects."""
    target = TargetView.of(history)
    for exchange, file_type in _well_asked(history):
        if not _knows_project(history, exchange):
            continue
        requirement = "LST-01" if exchange.request.project_id else "LST-02a"
        wanted = {file["name"] for file in target.files(exchange.request.project_id or None, file_type)}
        listed = {file.get("name") for file in _files(exchange)}
        if exchange.status != 200:
            yield broken(f"{exchange.request.url} was answered {exchange.status}, allowed: 200", exchange, requirement=requirement)
        elif missing := wanted - listed:
            yield broken(f"the list of {file_type} files lacks {', '.join(sorted(missing))}", exchange, requirement=requirement)
        else:
            yield kept(exchange)


@check("LST-03", unseen="no list with an entry came")
def entries_describe_the_file(history: History) -> Iterator[Observation]:
    """Each entry has a name, a time in ISO 8601 UTC and a size in bytes; a description is a string."""
    for exchange, _ in _well_asked(history):
        for file in _files(exchange):
            problem = _entry_problem(file)
            yield broken(f"entry {file!r}: {problem}", exchange) if problem else kept(exchange)


def _entry_problem(file: dict[str, Any]) -> str:
    if not isinstance(file.get("name"), str):
        return "name is no string"
    if not isinstance(file.get("time"), str) or not _ISO8601_UTC.match(file["time"]):
        return "time is not ISO 8601 in UTC"
    if not isinstance(file.get("size"), int) or isinstance(file["size"], bool):
        return "size is no whole number"
    if not isinstance(file.get("description", ""), str):
        return "description is no string"
    return ""


@check("LST-04", unseen="no list with a missing or wrong type was asked for")
def list_without_valid_type_is_refused(history: History) -> Iterator[Observation]:
    """A missing or other `type` answers 400."""
    for exchange in history.lists():
        types = _types(exchange)
        if exchange.request.credential != "api-key:full" or exchange.status is None or not _knows_project(history, exchange):
            continue
        if len(types) > 1 or types in (["firmware"], ["logo"]):
            continue
        if exchange.status == 400:
            yield kept(exchange)
        else:
            yield broken(
                f"type {types[0]!r} was answered {exchange.status}, allowed: 400"
                if types
                else f"a list without type was answered {exchange.status}, allowed: 400",
                exchange,
            )


@check("LST-05", unseen="no list without a valid API key was asked for")
def list_without_valid_key_is_unauthorized(history: History) -> Iterator[Observation]:
    """A missing or unknown API key answers 401."""
    for exchange in history.lists():
        if exchange.request.credential.startswith("api-key:") or exchange.status is None:
            continue
        if exchange.status == 401:
            yield kept(exchange)
        else:
            yield broken(f"a list as {exchange.request.credential} was answered {exchange.status}, allowed: 401", exchange)


@check("LST-07a", unseen="no file list was asked for")
def list_body_is_an_object_with_files(history: History) -> Iterator[Observation]:
    """The body is an object whose `files` is a list."""
    for exchange, _ in _well_asked(history):
        if exchange.status != 200:
            continue
        body = exchange.body_json
        if isinstance(body, dict) and isinstance(body.get("files"), list):
            yield kept(exchange)
        else:
            yield broken(f"the body is {exchange.body[:120]!r}, allowed: an object with the list files", exchange)


@check("LST-11", unseen="no list was asked for with a key without the scope send-commands")
def read_only_key_may_list(history: History) -> Iterator[Observation]:
    """A key without send-commands may list."""
    for exchange, _ in _well_asked(history, "api-key:read_only"):
        if exchange.status == 200:
            yield kept(exchange)
        else:
            yield broken(f"a read-only key got {exchange.status}, our reading: 200", exchange)
