"""What is wrong with a command request, seen from outside: the catalogue's rules applied to what was sent and what the target file says.

A request may have several defects at once; only one with a single defect has a status that the catalogue demands, the order in which a
platform looks at them is a reading (CMD-25).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from typing import Any

from harness.history.events import DISABLED_API_KEY, FULL_API_KEY, OTHER_ORG_API_KEY, READ_ONLY_API_KEY, bytes_of
from harness.history.timeline import Exchange, History
from harness.requirements import row_of
from harness.wire.commands import DOWNLOADS, SEND_CONFIGURATION, DeviceKind, permits
from harness.wire.files import has_extension_of
from harness.wire.json_values import read_json
from harness.wire.topics import command_name_problem


class Defect(Enum):
    """A reason to refuse a command; in the order of CMD-25."""

    API_KEY = "no valid API key"
    FEATURE = "an organisation without the feature"
    SCOPE = "an API key without the scope send-commands"
    BODY = "a malformed body"
    NAME = "a command name that is no topic level"
    ID = "an id that is no UUID"
    DEVICE = "a device that is unknown or takes no commands"
    FOREIGN_DEVICE = "a device of another project or organisation"
    NOT_ALLOWED = "a command that allowed_commands does not list"
    DATA = "malformed data"
    FILE_TYPE = "a file of another type"
    FILE_MISSING = "a file that is not stored"


STATUS_OF = {
    Defect.API_KEY: 401,
    Defect.FEATURE: 403,
    Defect.SCOPE: 403,
    Defect.BODY: 400,
    Defect.NAME: 400,
    Defect.ID: 404,
    Defect.DEVICE: 404,
    Defect.FOREIGN_DEVICE: 404,
    Defect.NOT_ALLOWED: 403,
    Defect.DATA: 400,
    Defect.FILE_TYPE: 400,
    Defect.FILE_MISSING: 404,
}


@dataclass(frozen=True)
class TargetView:
    """The target file as the run's first event holds it, and what scenarios changed meanwhile: stored files, allowed commands."""

    facts: Mapping[str, Any]
    # Line of the timeline, file, and whether it is in the storage from there on.
    storage_changes: tuple[tuple[int, Mapping[str, Any], bool], ...] = ()
    restrictions: tuple[tuple[int, str, str], ...] = ()  # line of the timeline, device id, allowed_commands from there on

    @classmethod
    def of(cls, history: History) -> "TargetView":
        """What a history knows of its target; computed once."""
        return _view_of(history)

    @cached_property
    def devices(self) -> dict[str, dict[str, Any]]:
        """Device id -> the device's table."""
        return {device["id"]: device for device in self.facts.get("devices", ())}

    def allowed_commands(self, device_id: str, line: int) -> str:
        """The device's list at a line of the timeline: the target file's, or the last that a hook set."""
        lists = [value for at, changed, value in self.restrictions if changed == device_id and at < line]
        return lists[-1] if lists else str(self.devices[device_id].get("allowed_commands", ""))

    def takes_commands(self, device_id: str) -> bool:
        """Whether there is such a device, of a kind that takes commands."""
        device = self.devices.get(device_id)
        return device is not None and DeviceKind(device["kind"]).takes_commands

    @property
    def project_ids(self) -> frozenset[str]:
        return frozenset(project["id"] for project in self.facts.get("projects", ()))

    def declared(self, requirement: str) -> str | None:
        """What the target says about a reading, by the requirement's id or its row."""
        declares = self.facts.get("declares", {})
        value = declares.get(requirement, declares.get(row_of(requirement)))
        return None if value is None else str(value)

    def status_read(self, requirement: str, ours: int) -> int:
        """The status that a reading demands: the one that the target declares, else ours."""
        said = self.declared(requirement) or ""
        return int(said) if re.fullmatch(r"[1-5]\d\d", said) else ours

    def files(self, project_id: str | None, file_type: str) -> list[dict[str, Any]]:
        """The files of one type in a project, or (None) in all projects."""
        return [file for file in self.facts.get("files", ()) if file["type"] == file_type and project_id in (None, file["project_id"])]

    def files_ever(self, project_id: str | None, file_type: str) -> list[Mapping[str, Any]]:
        """The same with those that were uploaded in the run, deleted ones included."""
        uploaded = [file for _, file, is_stored in self.storage_changes if is_stored and file["type"] == file_type]
        return [*self.files(project_id, file_type), *(file for file in uploaded if project_id in (None, file["project_id"]))]

    def has_file(self, project_id: str, file_type: str, name: str, line: int) -> bool:
        """Whether such a file is in the project's storage at a line of the timeline."""
        place = (project_id, file_type, name)
        changes = self._changes(place, line)
        return changes[-1] if changes else any(_place(file) == place for file in self.facts.get("files", ()))

    def is_deleted(self, project_id: str, file_type: str, name: str, line: int) -> bool:
        """Whether a scenario took such a file away, and nobody stored it again by a line of the timeline."""
        return self._changes((project_id, file_type, name), line)[-1:] == [False]

    def _changes(self, place: tuple[str, str, str], line: int) -> list[bool]:
        return [is_stored for at, file, is_stored in self.storage_changes if at < line and _place(file) == place]


def _place(file: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(file["project_id"]), str(file["type"]), str(file["name"])


@lru_cache(maxsize=8)
def _view_of(history: History) -> TargetView:
    return TargetView(
        history.start.target,
        tuple(
            sorted(
                ((seen.line, seen.fact.facts, is_stored) for name, is_stored in _STORAGE_CHANGES for seen in history.stimuli(name)),
                key=lambda change: change[0],
            )
        ),
        tuple((seen.line, seen.fact.facts["device_id"], seen.fact.facts["value"]) for seen in history.stimuli("allowed commands set")),
    )


_STORAGE_CHANGES = (("file uploaded", True), ("file deleted", False))
_CREDENTIAL_DEFECTS = {
    FULL_API_KEY: None,
    READ_ONLY_API_KEY: Defect.SCOPE,
    DISABLED_API_KEY: Defect.FEATURE,
    OTHER_ORG_API_KEY: None,
}


def defects(target: TargetView, call: Exchange) -> tuple[Defect, ...]:
    """All that is wrong with a command request; empty where nothing is, so that it must be accepted."""
    found: list[Defect] = []
    credential = _CREDENTIAL_DEFECTS.get(call.request.credential, Defect.API_KEY)
    if credential is not None:
        found.append(credential)
    device_defect = _device_defect(target, call)
    if device_defect is not None:
        found.append(device_defect)
    body = read_json(bytes_of(call.request.body))
    if body_problem(body) is not None:
        found.append(Defect.BODY)
    else:
        found += _command_defects(target, call, body["command"], body.get("data", {}))
    return tuple(sorted(found, key=list(Defect).index))


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def _device_defect(target: TargetView, call: Exchange) -> Defect | None:
    project_id, device_id = call.request.project_id, call.request.device_id
    known = target.devices.get(device_id)
    if known is not None and known["project_id"] == project_id:
        if call.request.credential in (OTHER_ORG_API_KEY, DISABLED_API_KEY):
            return Defect.FOREIGN_DEVICE
        return None if target.takes_commands(device_id) else Defect.DEVICE
    # The target's own ids need not be UUIDs: only those of nobody are judged by their form.
    if not all(_UUID.match(each) for each in (project_id, device_id) if each not in target.devices.keys() | target.project_ids):
        return Defect.ID
    return Defect.DEVICE if known is None else Defect.FOREIGN_DEVICE


def _command_defects(target: TargetView, call: Exchange, command: str, data: dict[str, Any]) -> list[Defect]:
    found: list[Defect] = []
    if command_name_problem(command) is not None:
        found.append(Defect.NAME)
    device_id = call.request.device_id
    if device_id in target.devices and not permits(target.allowed_commands(device_id, call.asked.line), command):
        found.append(Defect.NOT_ALLOWED)
    if command in DOWNLOADS:
        name = data.get("file_name")
        if not isinstance(name, str):
            found.append(Defect.DATA)
        elif not has_extension_of(DOWNLOADS[command], name):
            found.append(Defect.FILE_TYPE)
        elif not target.has_file(call.request.project_id, DOWNLOADS[command].value, name, call.asked.line):
            found.append(Defect.FILE_MISSING)
    if command == SEND_CONFIGURATION and "keys" in data and not _is_list_of_strings(data["keys"]):
        found.append(Defect.DATA)
    return found


def body_problem(body: Any) -> str | None:
    """Why a parsed body is no command request, or None where it is one. Absent `data` is read as empty (CMD-29).   Source: CMD-10."""
    if not isinstance(body, dict):
        return "no JSON object"
    if not isinstance(body.get("command"), str) or not body["command"]:
        return "command is missing, empty or no string"
    if "data" in body and not isinstance(body["data"], dict):
        return "data is no object"
    return None


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
