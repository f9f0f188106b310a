"""Stored files: what a name may be, what a list is answered, and the header under which a file is downloaded."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from harness.clock import rfc3339
from harness.wire.files import FileEntry, FileType, has_extension_of
from simulators.platform.access import AccessRules, Caller, refuse_stranger, refuse_without_feature
from simulators.platform.refusals import Refusal

FILE_NAME_BYTES_MAX = 255
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110 5.6.2


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a project's storage. `uploaded_at_s` in seconds UTC; `sha256` (hex) names its bytes on disk."""

    id: int
    project_id: str
    type: FileType
    name: str
    description: str
    uploaded_at_s: float
    size_bytes: int
    sha256: str

    def entry(self) -> FileEntry:
        return FileEntry(self.name, rfc3339(self.uploaded_at_s), self.size_bytes, self.description)


def file_name_problem(file_type: FileType, name: str) -> str | None:
    """Why a file cannot be stored under this name, or None where it can.

    Names never become paths (files lie under their content's hash); the limits are for the sake of what clients do with a name.
    Source: CMD-11, DLD-09.
    """
    if not name or name in (".", ".."):
        return "the name is empty or a directory"
    if any(character in "/\\" or ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in name):
        return "the name holds a slash, a backslash or a control character"
    if any(0xD800 <= ord(character) < 0xE000 for character in name):
        return "the name is not valid Unicode"
    if len(name.encode()) > FILE_NAME_BYTES_MAX:
        return f"the name is longer than {FILE_NAME_BYTES_MAX} bytes"
    if not has_extension_of(file_type, name):
        return f"{name!r} has no extension of type {file_type.value}"
    return None


def content_disposition(name: str) -> str:
    """`attachment; filename=…`, well-formed for every name: bare where it is a token, else quoted, with `filename*` for what is not ASCII.

    Source: DLD-01, DLD-09, RFC 6266 4.1, RFC 8187 3.2.
    """
    if _TOKEN.fullmatch(name):
        return f"attachment; filename={name}"
    plain = "".join(character if " " <= character <= "~" else "_" for character in name)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"
    return f'attachment; filename="{quoted}"{extended}'


def file_type_of(values: Sequence[str]) -> FileType | None:
    """The type that the `type` parameters of a request name; None where there is not exactly one, and a known one.   Source: LST-04."""
    if len(values) != 1:
        return None
    return next((file_type for file_type in FileType if file_type.value == values[0]), None)


def list_body(files: Iterable[StoredFile]) -> dict[str, Any]:
    """The answer of the list endpoints, in order of upload.   Source: LST-03, LST-07."""
    return {"files": [file.entry().body() for file in files]}


@dataclass(frozen=True, slots=True)
class FileRules:
    """The decisions of this core; a wrong platform replaces one."""

    file_type_of: Callable[[Sequence[str]], FileType | None] = file_type_of
    list_body: Callable[[Iterable[StoredFile]], dict[str, Any]] = list_body
    content_disposition: Callable[[str], str] = content_disposition
    foreign_project_status: int = 200  # LST-10: 200 answers an empty list, as the contract of the endpoint names no 404
    crosses_organisations: bool = False  # LST-02


def refuse_list(caller: Caller | None, file_type: FileType | None, access: AccessRules) -> Refusal | None:
    """Why a list is not shown, in the order 401, 403, 400.   Source: LST-04, LST-05, CMD-22."""
    if caller is None:
        return refuse_stranger(caller)
    if refusal := refuse_without_feature(caller.organisation, access):
        return refusal
    if not access.may_list(caller.scopes):
        return Refusal(403, "missing_scope", "API key may not list files")
    if file_type is None:
        return Refusal(400, "invalid_type", "type must be 'firmware' or 'logo'")
    return None


def list_of_foreign_project(rules: FileRules) -> list[StoredFile] | Refusal:
    """What is answered for a project that is unknown or another organisation's.   Source: LST-10."""
    if rules.foreign_project_status == 200:
        return []
    return Refusal(rules.foreign_project_status, "project_not_found", "Project not found")
