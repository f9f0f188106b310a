"""Wrong platforms, by the rows of LST: which files are listed to whom, and as what."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.wire.files import FileType
from simulators.platform.files import StoredFile, list_body
from simulators.platform.personality import Personality, answering, is_list
from simulators.platform.refusals import Refusal
from simulators.platform.rules import Change, files_ruled
from simulators.platform.service import Service


class _ShowsAllProjects(Service):
    """A project's list names the whole organisation's files."""

    def list_files(self, authorization: Sequence[str], type_values: Sequence[str], project_id: str | None) -> Refusal | list[StoredFile]:
        return super().list_files(authorization, type_values, None)


class _ShowsOneProject(Service):
    """The organisation's list names the first project's files only."""

    def list_files(self, authorization: Sequence[str], type_values: Sequence[str], project_id: str | None) -> Refusal | list[StoredFile]:
        outcome = super().list_files(authorization, type_values, project_id)
        if isinstance(outcome, Refusal) or project_id is not None or not outcome:
            return outcome
        return [file for file in outcome if file.project_id == outcome[0].project_id]


class _ShowsStrangers(Service):
    """A project's list is shown to other organisations."""

    def list_files(self, authorization: Sequence[str], type_values: Sequence[str], project_id: str | None) -> Refusal | list[StoredFile]:
        outcome = super().list_files(authorization, type_values, project_id)
        file_type = self.rules.files.file_type_of(type_values)
        if isinstance(outcome, Refusal) or project_id is None or file_type is None:
            return outcome
        return self._store.project_files(project_id, file_type)


def _listed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Change:
    """Lists whose entries are changed."""

    def body(files: Iterable[StoredFile]) -> dict[str, Any]:
        return {"files": [change(entry) for entry in list_body(files)["files"]]}

    return files_ruled(list_body=body)


def _any_type(values: Sequence[str]) -> FileType | None:
    return next((file_type for file_type in FileType if values and values[0].lower() == file_type.value), FileType.FIRMWARE)


def _null_for_none(files: Iterable[StoredFile]) -> dict[str, Any]:
    body = list_body(files)
    return body if body["files"] else {"files": None}


async def _lists_bare(request: web.Request, handler: Handler) -> web.StreamResponse:
    answer = await handler(request)
    if is_list(request) and answer.status == 200 and isinstance(answer, web.Response) and isinstance(answer.body, bytes):
        return web.json_response(json.loads(answer.body)["files"])
    return answer


WRONG_LISTS: tuple[Personality, ...] = (
    Personality(
        "lists-all-projects",
        "a project's list names all files",
        ("LST-01",),
        {
            "LST-08": "a listed file is another project's",
            "LST-10": "so does an unknown project's",
            "LST-02": "to the other organisation theirs",
        },
        service=_ShowsAllProjects,
    ),
    Personality("lists-one-project", "the organisation's list names one project's files", ("LST-02",), service=_ShowsOneProject),
    Personality(
        "lists-all-organisations",
        "the organisation's list names everybody's files",
        ("LST-02",),
        rules=files_ruled(crosses_organisations=True),
    ),
    Personality("writes-sizes-as-text", "size is a string", ("LST-03",), rules=_listed(lambda entry: entry | {"size": str(entry["size"])})),
    Personality(
        "writes-local-times",
        "time has no zone",
        ("LST-03",),
        rules=_listed(lambda entry: entry | {"time": entry["time"].removesuffix("Z")}),
    ),
    Personality(
        "describes-with-null",
        "a file without description has null for it",
        ("LST-03",),
        rules=_listed(lambda entry: {"description": None} | entry),
    ),
    Personality("lists-any-type", "a wrong type lists firmware", ("LST-04",), rules=files_ruled(file_type_of=_any_type)),
    Personality(
        "forbids-lists-to-strangers",
        "a list without a key is 403",
        ("LST-05",),
        answers=answering(where=is_list, status=401, as_status=403),
    ),
    Personality(
        "lists-bare",
        "the list's body is an array",
        ("LST-07",),
        {"LST-01": "no file is found in it", "LST-02": "no file is found in it"},
        answers=_lists_bare,
    ),
    Personality("writes-null-for-none", "files is null where there are none", ("LST-07",), rules=files_ruled(list_body=_null_for_none)),
    Personality(
        "decorates-names",
        "listed names hold the type",
        ("LST-08",),
        {"LST-01": "the stored name is not listed", "LST-02": "the stored name is not listed", "DLD-12": "nor after a download"},
        rules=_listed(lambda entry: entry | {"name": "v_" + entry["name"]}),
    ),
    Personality(
        "counts-in-kilobytes", "size is in kilobytes", ("LST-09",), rules=_listed(lambda entry: entry | {"size": entry["size"] // 1000})
    ),
    Personality("shows-foreign-projects", "another organisation's key lists our projects", ("LST-10",), service=_ShowsStrangers),
)
