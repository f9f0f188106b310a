"""Bodies of the REST answers, and the paths of the endpoints. Source: CMD-01, CMD-17, LST-07, the OpenAPI documents."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

COMMAND_PATH = "/v2/projects/{project_id}/devices/{device_id}/communication/command"
PROJECT_FILES_PATH = "/v2/projects/{project_id}/files"
ORGANISATION_FILES_PATH = "/v2/files"
DOWNLOAD_PATH = "/v2/device/download"

COMMAND_SENT = "Command sent successfully"
SEND_COMMAND = "send command"


def command_path(project_id: str, device_id: str) -> str:
    """Path of the command endpoint; the ids are percent-encoded."""
    return COMMAND_PATH.format(project_id=quote(project_id, safe=""), device_id=quote(device_id, safe=""))


def project_files_path(project_id: str) -> str:
    """Path of one project's file list; the id is percent-encoded."""
    return PROJECT_FILES_PATH.format(project_id=quote(project_id, safe=""))


@dataclass(frozen=True, slots=True)
class SuccessBody:
    """`main.SuccessResponse`."""

    message: str
    action: str

    def body(self) -> dict[str, Any]:
        return {"success": True, "message": self.message, "action": self.action}


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """`main.ErrorResponse`; `code` and `details` are optional and left out when empty."""

    message: str
    action: str
    code: str = ""
    details: str = ""

    def body(self) -> dict[str, Any]:
        optional = {key: value for key, value in (("code", self.code), ("details", self.details)) if value}
        return {"success": False, "message": self.message, "action": self.action, **optional}


ERROR_BODY_TYPES = {"success": bool, "message": str, "action": str, "code": str, "details": str}


def error_body_problem(body: Any) -> str | None:
    """Why a parsed body is no `main.ErrorResponse`, or None where it is one. Source: CMD-17 (MUST part)."""
    if not isinstance(body, dict):
        return f"the body is no JSON object but {type(body).__name__}"
    for member, wanted in ERROR_BODY_TYPES.items():
        if member in body and not isinstance(body[member], wanted):
            return f"member {member!r} is {body[member]!r}, not {wanted.__name__}"
    if body.get("success", False) is not False:
        return "member 'success' is true in an error body"
    return None


def missing_error_members(body: dict[str, Any]) -> list[str]:
    """The members that an error body should have and has not. Source: CMD-17 (SHOULD part)."""
    return [member for member in ("success", "message", "action") if member not in body]
