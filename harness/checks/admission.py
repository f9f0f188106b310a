"""What is wrong with a command request, seen from outside: the catalogue's rules applied to what was sent and what the target file says.

A request may have several defects at once; only one with a single defect has a status that the catalogue demands, the order in which a
platform looks at them is a reading (CMD-25).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

from harness.history.events import bytes_of
from harness.history.timeline import Exchange, History
from harness.wire.commands import DOWNLOADS, SEND_CONFIGURATION, DeviceKind, permits
from harness.wire.files import has_extension_of
from harness.wire.topics import command_name_problem


class Defect(Enum):
    """A reason to refuse a command; in the order of CMD-25."""

    API_KEY = "no valid API key"
    FEATURE = "an organisation without the feature"
    SCOPE = "an API key without the scope send-commands"
    BODY = "a malformed body"
    NAME = "a command name that is no topic level"
    DEVICE = "a device that is unknown or takes no commands"
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
    Defect.DEVICE: 404,
    Defect.NOT_ALLOWED: 403,
    Defect.DATA: 400,
    Defect.FILE_TYPE: 400,
    Defect.FILE_MISSING: 404,
}


@dataclass(frozen=True)
class TargetView:
    """The target file as the run's first event holds it."""

    facts: Mapping[str, Any]

    @classmethod
    def of(cls, history: History) -> "TargetView":
        return cls(history.start.target)

    @cached_property
    def devices(self) -> dict[str, dict[str, Any]]:
        """Device id -> the device's table."""
        return {device["id"]: device for device in self.facts.get("devices", ())}

    @property
    def api_url(self) -> str:
        return str(self.facts.get("api_url", ""))

    def takes_commands(self, project_id: str, device_id: str) -> bool:
        """Whether such a device is in such a project and of a kind that takes commands."""
        device = self.devices.get(device_id)
        if device is None or device["project_id"] != project_id:
            return False
        return DeviceKind(device["kind"]).takes_commands

    def files(self, project_id: str | None, file_type: str) -> list[dict[str, Any]]:
        """The files of one type in a project, or (None) in all projects."""
        return [file for file in self.facts.get("files", ()) if file["type"] == file_type and project_id in (None, file["project_id"])]

    def has_file(self, project_id: str, file_type: str, name: str) -> bool:
        return any(file["name"] == name for file in self.files(project_id, file_type))


_CREDENTIAL_DEFECTS = {
    "api-key:full": None,
    "api-key:read_only": Defect.SCOPE,
    "api-key:disabled": Defect.FEATURE,
    "api-key:other_org": None,
}


def defects(target: TargetView, call: Exchange) -> tuple[Defect, ...]:
    """All that is wrong with a command request; empty where nothing is, so that it must be accepted."""
    found: list[Defect] = []
    credential = _CREDENTIAL_DEFECTS.get(call.request.credential, Defect.API_KEY)
    if credential is not None:
        found.append(credential)
    foreign = call.request.credential in ("api-key:other_org", "api-key:disabled")
    if foreign or not target.takes_commands(call.request.project_id, call.request.device_id):
        found.append(Defect.DEVICE)
    body = _json(bytes_of(call.request.body))
    problem = body_problem(body)
    if problem is not None:
        found.append(Defect.BODY)
        return tuple(found)
    return tuple(found + _command_defects(target, call, body["command"], body.get("data", {})))


def _command_defects(target: TargetView, call: Exchange, command: str, data: dict[str, Any]) -> list[Defect]:
    found: list[Defect] = []
    if command_name_problem(command) is not None:
        found.append(Defect.NAME)
    device = target.devices.get(call.request.device_id)
    if device is not None and not permits(device.get("allowed_commands", ""), command):
        found.append(Defect.NOT_ALLOWED)
    if command in DOWNLOADS:
        name = data.get("file_name")
        if not isinstance(name, str) or not name:
            found.append(Defect.DATA)
        elif not has_extension_of(DOWNLOADS[command], name):
            found.append(Defect.FILE_TYPE)
        elif not target.has_file(call.request.project_id, DOWNLOADS[command].value, name):
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


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
