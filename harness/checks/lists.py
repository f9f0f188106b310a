"""The family LST: the lists of stored files."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.checks.admission import TargetView
from harness.checks.command_calls import answered_or_hung_up, shown_status
from harness.checks.key_life import key_lives
from harness.checks.registry import Observation, broken, check, kept
from harness.history.timeline import Exchange, History
from harness.wire.commands import DOWNLOADS
from harness.wire.files import EXTENSIONS, FileType

_ISO8601_UTC = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d)(?::(\d\d)(?:[.,]\d+)?)?(?:[Zz]|[+-]00:?00)\Z")
_LEAP_SECOND = 60


_VALID_TYPES = tuple([file_type.value] for file_type in FileType)


def _types(exchange: Exchange) -> list[str]:
    """The values of the parameter `type`: one of them in a well-formed call."""
    return parse_qs(urlsplit(exchange.request.url).query, keep_blank_values=True).get("type", [])


def _well_asked(history: History, credential: str = "api-key:full") -> Iterator[tuple[Exchange, str]]:
    """List calls with a valid key and type, with the type."""
    for exchange in history.lists():
        types = _types(exchange)
        if exchange.request.credential == credential and answered_or_hung_up(exchange) and types in _VALID_TYPES:
            yield exchange, types[0]


def _own_lists(history: History) -> Iterator[tuple[Exchange, str]]:
    """Lists of the full key's own projects, or of its organisation."""
    for exchange, file_type in _well_asked(history):
        if not exchange.request.project_id or exchange.request.project_id in TargetView.of(history).project_ids:
            yield exchange, file_type


def _entries(exchange: Exchange) -> list[Any]:
    """What stands in a list's `files`, whatever it is."""
    files = exchange.body_json.get("files") if isinstance(exchange.body_json, dict) else None
    return files if isinstance(files, list) else []


def _files(exchange: Exchange) -> list[dict[str, Any]]:
    """The entries that are objects, as all should be (LST-03)."""
    return [entry for entry in _entries(exchange) if isinstance(entry, dict)]


@check("LST-01", unseen="no list of a project was asked for")
def list_names_the_stored_files(history: History) -> Iterator[Observation]:
    """A project's list answers 200 and names that project's files of that type."""
    target = TargetView.of(history)
    for exchange, file_type in _own_lists(history):
        if exchange.request.project_id:
            yield _names_all(history, exchange, file_type) or _names_one_twice(exchange) or _names_no_other(target, exchange, file_type)


@check("LST-02a", unseen="no list of the organisation was asked for")
def organisation_list_names_the_files_of_all_projects(history: History) -> Iterator[Observation]:
    """The organisation's list answers 200 and names the files of all its projects."""
    target = TargetView.of(history)
    for exchange, file_type in _own_lists(history):
        if not exchange.request.project_id:
            yield _names_all(history, exchange, file_type) or _names_no_other(target, exchange, file_type)


def _names_all(history: History, exchange: Exchange, file_type: str) -> Observation | None:
    """What is wrong with a list that should name all files of the target file; None where nothing is."""
    if exchange.status != 200:
        return broken(f"{exchange.request.url} was answered {shown_status(exchange)}, allowed: 200", exchange)
    # A file that is gone after a download of it is DLD-12's question.
    fetched = {life.file_name for life in key_lives(history) if life.was_delivered_before(exchange.asked.line)}
    listed = [file.get("name") for file in _files(exchange)]
    wanted = [file["name"] for file in TargetView.of(history).files(exchange.request.project_id or None, file_type)]
    missing = sorted(name for name in set(wanted) - fetched if listed.count(name) < wanted.count(name))
    return broken(f"the list of {file_type} files lacks {', '.join(missing)}", exchange) if missing else None


def _names_one_twice(exchange: Exchange) -> Observation | None:
    """Whether a project's list holds one file several times: entries that are alike in name, time and size; None where it does not."""
    counted = Counter(_identity(file) for file in _files(exchange))
    doubled = sorted(name for (name, _, _), count in counted.items() if count > 1)
    return broken(f"the list at {_path(exchange)} holds {', '.join(doubled)} several times", exchange) if doubled else None


def _names_no_other(target: TargetView, exchange: Exchange, file_type: str) -> Observation:
    """Whether a list leaves out files of another project or type, known by names that none of its own has."""
    own = {file["name"] for file in target.files_ever(exchange.request.project_id or None, file_type)}
    others = {file["name"] for kind in FileType for file in target.files_ever(None, kind.value)} - own
    strange = sorted(others & {str(file.get("name")) for file in _files(exchange)})
    if strange:
        return broken(
            f"the list of {file_type} files at {_path(exchange)} names {', '.join(strange)}, of another project or type", exchange
        )
    return kept(exchange)


def _path(exchange: Exchange) -> str:
    return urlsplit(exchange.request.url).path


@check("LST-03", unseen="no list with an entry came")
def entries_describe_the_file(history: History) -> Iterator[Observation]:
    """Each entry has a name, a time in ISO 8601 UTC and a size in bytes; a description is a string."""
    for exchange, _ in _well_asked(history):
        for entry in _entries(exchange):
            problem = _entry_problem(entry)
            yield broken(f"entry {entry!r}: {problem}", exchange) if problem else kept(exchange)


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


@check("LST-04", unseen="no list with a missing or wrong type was asked for")
def list_without_valid_type_is_refused(history: History) -> Iterator[Observation]:
    """A missing or other `type` answers 400."""
    projects = TargetView.of(history).project_ids
    for exchange in history.lists():
        types = _types(exchange)
        is_own = not exchange.request.project_id or exchange.request.project_id in projects
        if exchange.request.credential != "api-key:full" or not answered_or_hung_up(exchange) or not is_own:
            continue
        if len(types) > 1 or types in _VALID_TYPES:
            continue
        asked = f"type {types[0]!r}" if types else "a list without type"
        if exchange.status == 400:
            yield kept(exchange)
        else:
            yield broken(f"{asked} was answered {shown_status(exchange)}, allowed: 400", exchange)


@check("LST-05", unseen="no list without a valid API key was asked for")
def list_without_valid_key_is_unauthorized(history: History) -> Iterator[Observation]:
    """A missing or unknown API key answers 401."""
    for exchange in history.lists():
        if exchange.request.credential.startswith("api-key:") or not answered_or_hung_up(exchange):
            continue
        if exchange.status == 401:
            yield kept(exchange)
        else:
            yield broken(f"a list as {exchange.request.credential} was answered {shown_status(exchange)}, allowed: 401", exchange)


@check("LST-06", unseen="no file was uploaded and deleted")
def list_follows_uploads_and_deletions(history: History) -> Iterator[Observation]:
    """A file that was uploaded appears in the list at once, a deleted one is gone."""
    for announcement, is_listed in (("file uploaded", True), ("file deleted", False)):
        for seen in history.stimuli(announcement):
            facts = seen.fact.facts
            after = [
                exchange
                for exchange, file_type in _own_lists(history)
                if exchange.scope == seen.event.scope and exchange.asked.line > seen.line and file_type == facts["type"]
                if exchange.request.project_id in (facts["project_id"], "") and exchange.status == 200
            ]
            for listed in {exchange.request.project_id: exchange for exchange in reversed(after)}.values():  # the first of each
                names = {file.get("name") for file in _files(listed)}
                if (facts["name"] in names) == is_listed:
                    yield kept(seen, listed)
                else:
                    words = "is not listed" if is_listed else "is still listed"
                    done = announcement.removeprefix("file ")
                    yield broken(f"{facts['name']!r} {words} at {_path(listed)} after it was {done}", seen, listed)


@check("LST-07a", "LST-07b", unseen="no file list was asked for")
def list_body_is_an_object_with_files(history: History) -> Iterator[Observation]:
    """The body is an object whose `files` is a list, an empty one when there are none."""
    for exchange, _ in _well_asked(history):
        if exchange.status != 200:
            continue
        body = exchange.body_json
        if isinstance(body, dict) and isinstance(body.get("files"), list):
            yield kept(exchange)
        elif isinstance(body, dict) and body.get("files", ...) is None:
            yield broken("files is null, our reading: [] when there are none", exchange, requirement="LST-07b")
        else:
            yield broken(f"the body is {exchange.body[:120]!r}, allowed: an object with the list files", exchange, requirement="LST-07a")


@check("LST-08", unseen="no listed file was commanded")
def listed_name_can_be_commanded(history: History) -> Iterator[Observation]:
    """A listed name works verbatim as `file_name` of its command."""
    listed = {
        (exchange.scope, exchange.request.project_id, file_type, file.get("name"))
        for exchange, file_type in _own_lists(history)
        for file in _files(exchange)
    }
    for call in history.commands():
        if call.command not in DOWNLOADS or not answered_or_hung_up(call) or call.request.credential != "api-key:full":
            continue
        place = (call.request.project_id, DOWNLOADS[call.command].value, str(call.file_name))
        if (call.scope, *place) not in listed or TargetView.of(history).is_deleted(*place, call.asked.line):
            continue
        if call.status == 200:
            yield kept(call)
        else:
            yield broken(f"the listed name {call.file_name!r} was answered {shown_status(call)} as file_name, allowed: 200", call)


@check("LST-09", unseen="no list with an entry came")
def entries_are_of_the_type_and_size(history: History) -> Iterator[Observation]:
    """Only the type's extensions are listed; the size is the download's Content-Length."""
    lengths = {
        (life.project_id, life.file_type, life.file_name): attempt
        for life in key_lives(history)
        for attempt in life.own_attempts()
        if attempt.is_delivered_whole
    }
    for exchange, file_type in _own_lists(history):
        for file in _files(exchange):
            name = str(file.get("name"))
            download = lengths.get((exchange.request.project_id, file_type, name))
            length = download.header("content-length") if download else None
            if not name.lower().endswith(EXTENSIONS[FileType(file_type)]):
                yield broken(f"{name!r} is listed as {file_type}", exchange)
            elif download is not None and length is not None and length != str(file.get("size")):
                yield broken(f"{name!r} is listed with size {file.get('size')}, its download has {length} bytes", exchange, download)
            else:
                yield kept(exchange)


@check("LST-10", "LST-02b", unseen="no list of an unknown or foreign project was asked for")
def foreign_files_are_not_listed(history: History) -> Iterator[Observation]:
    """A list of an unknown or foreign project is 404 or empty, and no list shows another organisation's files."""
    projects = TargetView.of(history).project_ids
    for credential in ("api-key:full", "api-key:other_org"):
        for exchange, _ in _well_asked(history, credential):
            project_id = exchange.request.project_id
            if credential == "api-key:full" and (not project_id or project_id in projects):
                continue
            if project_id:
                yield _of_foreign_project(exchange)
            else:
                yield _of_other_organisation(history, exchange)


def _of_foreign_project(exchange: Exchange) -> Observation:
    shown = [str(file.get("name")) for file in _files(exchange)]
    whose = "an unknown" if exchange.request.credential == "api-key:full" else "a foreign"
    if shown:
        return broken(f"the list of {whose} project names {', '.join(shown[:3])}", exchange, requirement="LST-02b")
    if exchange.status in (200, 404):
        return kept(exchange)
    detail = f"the list of {whose} project was answered {shown_status(exchange)}, our reading: 404 or an empty list"
    return broken(detail, exchange, requirement="LST-10")


def _of_other_organisation(history: History, exchange: Exchange) -> Observation:
    """Whether another organisation's list holds all of ours (some of them may be alike by chance), or ours holds one of theirs."""
    by_project = {_identity(file) for listed, _ in _own_lists(history) if listed.request.project_id for file in _files(listed)}
    by_organisation = {_identity(file) for listed, _ in _own_lists(history) if not listed.request.project_id for file in _files(listed)}
    wanted = _types(exchange)
    ours = {_identity(file) for listed, file_type in _own_lists(history) if [file_type] == wanted for file in _files(listed)}
    theirs = {_identity(file) for file in _files(exchange)}
    if len(ours) > 1 and ours <= theirs:
        return broken(f"another organisation's list shows all {len(ours)} of our files", exchange, requirement="LST-02b")
    strange = sorted(name for name, _, _ in theirs & by_organisation - by_project)
    if by_project and strange:
        return broken(f"our organisation's list shows {', '.join(strange)} of another one", exchange, requirement="LST-02b")
    return kept(exchange)


def _identity(file: dict[str, Any]) -> tuple[str, str, str]:
    return str(file.get("name")), str(file.get("time")), str(file.get("size"))


@check("LST-11", unseen="no list was asked for with a key without the scope send-commands")
def read_only_key_may_list(history: History) -> Iterator[Observation]:
    """A key without send-commands may list."""
    for exchange, _ in _well_asked(history, "api-key:read_only"):
        if exchange.status == 200:
            yield kept(exchange)
        else:
            yield broken(f"a read-only key got {shown_status(exchange)}, our reading: 200", exchange)
