"""The family LST: the lists of stored files."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from harness.checks import list_entries
from harness.checks.admission import TargetView
from harness.checks.command_calls import answered_or_hung_up, shown_status
from harness.checks.key_life import key_lives
from harness.checks.list_views import VALID_TYPES, asked_types, entry_objects, list_path, lists_after, own_lists, well_asked
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import API_KEY, FULL_API_KEY, OTHER_ORG_API_KEY, READ_ONLY_API_KEY
from harness.history.timeline import Exchange, History
from harness.wire.commands import DOWNLOADS
from harness.wire.files import FileType

# Importing this module registers the whole family (entry point `hil.checks`).
__all__ = ["list_entries"]

_NAMES_SHOWN_MAX = 5


@check("LST-01", unseen="no list of a project was asked for")
def list_names_the_stored_files(history: History) -> Iterator[Observation]:
    """A project's list answers 200 and names that project's files of that type."""
    target = TargetView.of(history)
    for exchange, file_type in own_lists(history):
        if exchange.request.project_id:
            yield _names_all(history, exchange, file_type) or _names_one_twice(exchange) or _names_no_other(target, exchange, file_type)


@check("LST-02a", unseen="no list of the organisation was asked for")
def organisation_list_names_the_files_of_all_projects(history: History) -> Iterator[Observation]:
    """The organisation's list answers 200 and names the files of all its projects."""
    target = TargetView.of(history)
    for exchange, file_type in own_lists(history):
        if not exchange.request.project_id:
            yield _names_all(history, exchange, file_type) or _names_no_other(target, exchange, file_type)


def _names_all(history: History, exchange: Exchange, file_type: str) -> Observation | None:
    """What is wrong with a list that should name all files of the target file; None where nothing is."""
    if exchange.status != 200:
        return broken(f"{exchange.request.url} was answered {shown_status(exchange)}, allowed: 200", exchange)
    # A file that is gone after a download of it is DLD-12's question.
    fetched = {life.file_name for life in key_lives(history) if life.was_delivered_before(exchange.asked.line)}
    listed = [file.get("name") for file in entry_objects(exchange)]
    wanted = [file["name"] for file in TargetView.of(history).files(exchange.request.project_id or None, file_type)]
    wanted += _stored_meanwhile(history, exchange, file_type)
    missing = sorted(name for name in set(wanted) - fetched if listed.count(name) < wanted.count(name))
    shown = f"{', '.join(missing[:_NAMES_SHOWN_MAX])}{' and others' if len(missing) > _NAMES_SHOWN_MAX else ''}"
    return broken(f"the list of {file_type} files, of {len(listed)} entries, lacks {shown}", exchange) if missing else None


def _stored_meanwhile(history: History, exchange: Exchange, file_type: str) -> list[str]:
    """The names of the many files that a scenario stored before it asked for this list."""
    names = []
    for seen in history.stimuli("many files stored"):
        facts, is_before = seen.fact.facts, seen.event.scope == exchange.scope and seen.line < exchange.asked.line
        if is_before and facts["type"] == file_type and exchange.request.project_id in ("", facts["project_id"]):
            names += facts["names"]
    return names


def _names_one_twice(exchange: Exchange) -> Observation | None:
    """Whether a project's list holds one file several times: entries that are alike in name, time and size; None where it does not."""
    counted = Counter(_identity(file) for file in entry_objects(exchange))
    doubled = sorted(name for (name, _, _), count in counted.items() if count > 1)
    return broken(f"the list at {list_path(exchange)} holds {', '.join(doubled)} several times", exchange) if doubled else None


def _names_no_other(target: TargetView, exchange: Exchange, file_type: str) -> Observation:
    """Whether a list leaves out files of another project or type, known by names that none of its own has."""
    own = {file["name"] for file in target.files_ever(exchange.request.project_id or None, file_type)}
    others = {file["name"] for kind in FileType for file in target.files_ever(None, kind.value)} - own
    strange = sorted(others & {str(file.get("name")) for file in entry_objects(exchange)})
    if strange:
        return broken(
            f"the list of {file_type} files at {list_path(exchange)} names {', '.join(strange)}, of another project or type", exchange
        )
    return kept(exchange)


@check("LST-04", unseen="no list with a missing or wrong type was asked for")
def list_without_valid_type_is_refused(history: History) -> Iterator[Observation]:
    """A missing or other `type` answers 400."""
    projects = TargetView.of(history).project_ids
    for exchange in history.lists():
        types = asked_types(exchange)
        is_own = not exchange.request.project_id or exchange.request.project_id in projects
        if exchange.request.credential != FULL_API_KEY or not answered_or_hung_up(exchange) or not is_own:
            continue
        if len(types) > 1 or types in VALID_TYPES:
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
        if exchange.request.credential.startswith(API_KEY) or not answered_or_hung_up(exchange):
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
            facts, after = seen.fact.facts, lists_after(history, seen)
            for listed in {exchange.request.project_id: exchange for exchange in reversed(after)}.values():  # the first of each
                names = {file.get("name") for file in entry_objects(listed)}
                if (facts["name"] in names) == is_listed:
                    yield kept(seen, listed)
                else:
                    words = "is not listed" if is_listed else "is still listed"
                    done = announcement.removeprefix("file ")
                    yield broken(f"{facts['name']!r} {words} at {list_path(listed)} after it was {done}", seen, listed)


@check("LST-07a", "LST-07b", unseen="no file list was asked for")
def list_body_is_an_object_with_files(history: History) -> Iterator[Observation]:
    """The body is an object whose `files` is a list, an empty one when there are none."""
    for exchange, _ in well_asked(history):
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
        for exchange, file_type in own_lists(history)
        for file in entry_objects(exchange)
    }
    for call in history.commands():
        if call.command not in DOWNLOADS or not answered_or_hung_up(call) or call.request.credential != FULL_API_KEY:
            continue
        place = (call.request.project_id, DOWNLOADS[call.command].value, str(call.file_name))
        if (call.scope, *place) not in listed or TargetView.of(history).is_deleted(*place, call.asked.line):
            continue
        if call.status == 200:
            yield kept(call)
        else:
            yield broken(f"the listed name {call.file_name!r} was answered {shown_status(call)} as file_name, allowed: 200", call)


@check("LST-10", "LST-02b", unseen="no list of an unknown or foreign project was asked for")
def foreign_files_are_not_listed(history: History) -> Iterator[Observation]:
    """A list of an unknown or foreign project is 404 or empty, and no list shows another organisation's files."""
    projects = TargetView.of(history).project_ids
    for credential in (FULL_API_KEY, OTHER_ORG_API_KEY):
        for exchange, _ in well_asked(history, credential):
            project_id = exchange.request.project_id
            if credential == FULL_API_KEY and (not project_id or project_id in projects):
                continue
            if project_id:
                yield _of_foreign_project(exchange)
            else:
                yield _of_other_organisation(history, exchange)


def _of_foreign_project(exchange: Exchange) -> Observation:
    shown = [str(file.get("name")) for file in entry_objects(exchange)]
    whose = "an unknown" if exchange.request.credential == FULL_API_KEY else "a foreign"
    if shown:
        return broken(f"the list of {whose} project names {', '.join(shown[:3])}", exchange, requirement="LST-02b")
    if exchange.status in (200, 404):
        return kept(exchange)
    detail = f"the list of {whose} project was answered {shown_status(exchange)}, our reading: 404 or an empty list"
    return broken(detail, exchange, requirement="LST-10")


def _of_other_organisation(history: History, exchange: Exchange) -> Observation:
    """Whether another organisation's list holds all files that ours always holds (some may be alike by chance), or ours one of theirs."""
    by_project = {_identity(file) for listed, _ in own_lists(history) if listed.request.project_id for file in entry_objects(listed)}
    of_organisation = [(listed, file_type) for listed, file_type in own_lists(history) if not listed.request.project_id]
    by_organisation = {_identity(file) for listed, _ in of_organisation for file in entry_objects(listed)}
    alike = [
        {_identity(file) for file in entry_objects(listed)} for listed, file_type in of_organisation if [file_type] == asked_types(exchange)
    ]
    ours = set.intersection(*alike) if alike else set()
    theirs = {_identity(file) for file in entry_objects(exchange)}
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
    shown = {exchange.request.url for exchange, _ in own_lists(history) if entry_objects(exchange)}
    for exchange, _ in well_asked(history, READ_ONLY_API_KEY):
        if exchange.status == 200 and (entry_objects(exchange) or exchange.request.url not in shown):
            yield kept(exchange)
        elif exchange.status == 200:
            yield broken("a read-only key got an empty list where the full one sees files, our reading: the same", exchange)
        else:
            yield broken(f"a read-only key got {shown_status(exchange)}, our reading: 200", exchange)
