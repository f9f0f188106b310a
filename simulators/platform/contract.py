"""The platform's own contract: OpenAPI 3 for REST, AsyncAPI 3 for MQTT; precise where the source's documents are loose.

The source's OpenAPI documents state neither `required` nor enums, and not every status; here each is stated, so that a tool can hold the
platform to it. What cannot be said in JSON Schema (64 *bytes* of UTF-8) is narrowed to what always holds.
"""

from typing import Any

from harness import __version__
from harness.wire.commands import DOWNLOADS, SEND_CONFIGURATION, STANDARD_COMMANDS
from harness.wire.files import EXTENSIONS, FileType
from harness.wire.responses import COMMAND_PATH, COMMAND_SENT, DOWNLOAD_PATH, ORGANISATION_FILES_PATH, PROJECT_FILES_PATH, SEND_COMMAND

JsonObject = dict[str, Any]

_ERRORS = {
    400: "The body, a parameter or the command's data is not what the endpoint takes",
    401: "The credential is missing, malformed or unknown",
    403: "The feature is not enabled, the scope is missing, or the device does not allow the command",
    404: "There is no such device (or it takes no commands), or no such file",
    413: "The body is longer than 256 KiB",
    429: "Too many failed logins from this address",
    503: "The MQTT broker could not take the command",
}
_ASCII_NAME = r"^(?!\$)[ -\"%-*,\-.0-~$]{1,64}$"  # printable, without / + #
_SHORT_NAME = r"^(?!\$)[^/+#\u0000-\u001f\u007f-\u009f]{1,16}$"  # at most four bytes each


def _ref(name: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{name}"}


def _errors(*statuses: int, media_type: str = "application/json") -> JsonObject:
    schema = {"schema": _ref("main.ErrorResponse")}
    challenge = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    return {
        str(status): {
            "description": _ERRORS[status],
            "content": {("application/json" if status in (413, 429) else media_type): schema},
            **({"headers": challenge} if status == 401 else {}),
            **({"headers": {"Retry-After": {"required": True, "schema": {"type": "string"}}}} if status == 429 else {}),
        }
        for status in statuses
    }


def _answer(description: str, schema: str) -> JsonObject:
    return {"200": {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}}


def _path_parameter(name: str, description: str) -> JsonObject:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string", "minLength": 1}}


_TYPE_PARAMETER = {
    "name": "type", "in": "query", "required": True, "description": "Exactly once",
    "schema": {"type": "string", "enum": [file_type.value for file_type in FileType]},
}  # fmt: skip


def _extension_pattern(file_type: FileType) -> str:
    """A name with one of the type's extensions, in any case."""
    letters = (
        "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else letter for letter in end[1:]) for end in EXTENSIONS[file_type]
    )
    return rf"\.({'|'.join(letters)})$"


def _command(names: JsonObject, data: JsonObject, *, needs_data: bool = False) -> JsonObject:
    required = ["command", "data"] if needs_data else ["command"]
    return {"type": "object", "required": required, "properties": {"command": names, "data": data}}


def command_body_schema() -> JsonObject:
    """What the command endpoint takes.   Source: CMD-09, CMD-10, CMD-11, CMD-18, CMD-29."""
    anything: JsonObject = {"type": "object"}
    special = [SEND_CONFIGURATION, *DOWNLOADS]
    plain = [name for name in STANDARD_COMMANDS if name not in special]
    keys = {"type": "object", "properties": {"keys": {"type": "array", "items": {"type": "string"}}}}
    custom = {
        "type": "string",
        "anyOf": [{"pattern": _ASCII_NAME}, {"pattern": _SHORT_NAME}],
        "not": {"enum": list(STANDARD_COMMANDS)},
    }
    return {
        "description": "A command; `data` becomes the MQTT message (a download command is answered by an offer with a one-time URL)",
        "anyOf": [
            _command({"type": "string", "enum": plain}, anything),
            _command({"type": "string", "enum": [SEND_CONFIGURATION]}, keys),
            *(
                _command(
                    {"type": "string", "enum": [name]},
                    {
                        "type": "object",
                        "required": ["file_name"],
                        "properties": {"file_name": {"type": "string", "pattern": _extension_pattern(file_type)}},
                    },
                    needs_data=True,
                )
                for name, file_type in DOWNLOADS.items()
            ),
            _command(custom, anything),
        ],
    }


def _schemas() -> JsonObject:
    text: JsonObject = {"type": "string"}
    return {
        "CommandBody": command_body_schema(),
        "main.SuccessResponse": {
            "type": "object",
            "required": ["success", "message", "action"],
            "additionalProperties": False,
            "properties": {
                "success": {"type": "boolean", "enum": [True]},
                "message": {"type": "string", "enum": [COMMAND_SENT]},
                "action": {"type": "string", "enum": [SEND_COMMAND]},
            },
        },
        "main.ErrorResponse": {
            "type": "object",
            "required": ["success", "message", "action"],
            "additionalProperties": False,
            "properties": {
                "success": {"type": "boolean", "enum": [False]}, "message": text, "action": text, "code": text, "details": text,
            },
        },
        "FileList": {
            "type": "object",
            "required": ["files"],
            "additionalProperties": False,
            "properties": {"files": {"type": "array", "items": _ref("File")}},
        },
        "File": {
            "type": "object",
            "required": ["name", "time", "size"],
            "additionalProperties": False,
            "properties": {
                "name": text, "description": text, "time": {"type": "string", "format": "date-time"},
                "size": {"type": "integer", "minimum": 0},
            },
        },
    }  # fmt: skip


def _list_operation(summary: str, operation_id: str, parameters: list[JsonObject]) -> JsonObject:
    return {
        "summary": summary,
        "operationId": operation_id,
        "security": [{"ApiKey": []}],
        "parameters": parameters,
        "responses": {**_answer("The files, in order of upload", "FileList"), **_errors(400, 401, 403, 429)},
    }


def _download_operation(error_type: str) -> JsonObject:
    key = {"name": "key", "in": "query", "required": True, "description": "From the command message; exactly once"}
    return {
        "summary": "Download device file",
        "operationId": "downloadDeviceFile",
        "description": "The first GET that passes every check uses the key up. HEAD is answered alike and uses nothing.",
        "security": [{"DeviceToken": []}],
        "parameters": [{**key, "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22}$"}}],
        "responses": {
            "200": {
                "description": "The file",
                "headers": {
                    "Content-Disposition": {"required": True, "schema": {"type": "string", "pattern": "^attachment; filename="}},
                    "Content-Length": {"required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}},
                },
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            },
            **_errors(401, 403, 404, 429, media_type=error_type),
        },
    }


def openapi(server_url: str, *, error_type: str = "application/octet-stream") -> JsonObject:
    """The OpenAPI document of the platform that serves at `server_url`."""
    project = _path_parameter("project_id", "Project id")
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Device Communication, reference platform",
            "version": __version__,
            "description": "Commands to devices over MQTT, one-time downloads, and file lists.",
        },
        "servers": [{"url": server_url}],
        "components": {
            "securitySchemes": {
                "ApiKey": {"type": "http", "scheme": "bearer", "description": "The organisation's API key: `Bearer QB_…`"},
                "DeviceToken": {
                    "type": "apiKey", "in": "header", "name": "Authorization", "description": "`Basic {device token}`, the raw token",
                },
            },
            "schemas": _schemas(),
        },
        "paths": {
            COMMAND_PATH: {
                "post": {
                    "summary": "Send command to device",
                    "operationId": "sendCommand",
                    "description": "200 means that the MQTT broker has taken the message (QoS 2), not that the device has it.",
                    "security": [{"ApiKey": []}],
                    "parameters": [project, _path_parameter("device_id", "Device id")],
                    "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("CommandBody")}}},
                    "responses": {
                        **_answer("The broker has the command", "main.SuccessResponse"),
                        **_errors(400, 401, 403, 404, 413, 429, 503),
                    },
                }
            },
            PROJECT_FILES_PATH: {
                "get": _list_operation("List a project's files", "listProjectFiles", [project, _TYPE_PARAMETER])
            },
            ORGANISATION_FILES_PATH: {"get": _list_operation("List the organisation's files", "listFiles", [_TYPE_PARAMETER])},
            DOWNLOAD_PATH: {"get": _download_operation(error_type)},
        },
    }  # fmt: skip


def asyncapi(mqtt_url: str) -> JsonObject:
    """The AsyncAPI document of the MQTT side at `mqtt_url`."""
    scheme, _, host = mqtt_url.partition("://")
    parameters = {
        "device_id": {"description": "The device's id: its client id and user name as well"},
        "command": {"description": f"One of {', '.join(STANDARD_COMMANDS)}, or a custom name of at most 64 bytes"},
    }
    offer = {
        "type": "object",
        "required": ["url", "expires_at"],
        "properties": {"url": {"type": "string", "format": "uri"}, "expires_at": {"type": "string", "format": "date-time"}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Device Communication, MQTT side",
            "version": __version__,
            "description": "Commands to devices, and their results.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": host,
                "protocol": scheme,
                "protocolVersion": "3.1.1",
                "security": [{"$ref": "#/components/securitySchemes/device"}],
            }
        },
        "channels": {
            "control": {
                "address": "{device_id}/control/{command}",
                "parameters": parameters,
                "messages": {"command": {"$ref": "#/components/messages/command"}, "offer": {"$ref": "#/components/messages/offer"}},
            },
            "result": {
                "address": "{device_id}/control/{command}/result",
                "parameters": parameters,
                "messages": {"result": {"$ref": "#/components/messages/result"}},
            },
        },
        "operations": {
            "commandDevice": {
                "action": "send",
                "channel": {"$ref": "#/channels/control"},
                "summary": "The platform publishes a command, QoS 2, not retained",
                "bindings": {"mqtt": {"qos": 2, "retain": False}},
            },
            "receiveResult": {
                "action": "receive",
                "channel": {"$ref": "#/channels/result"},
                "summary": "A device may answer",
                "bindings": {"mqtt": {"qos": 2, "retain": False}},
            },
        },
        "components": {
            "securitySchemes": {"device": {"type": "userPassword", "description": "User name: the device id; password: the device token"}},
            "messages": {
                "command": {"summary": "The `data` object of the command", "payload": {"type": "object"}},
                "offer": {"summary": "What download_firmware and download_logo carry", "payload": offer},
                "result": {"summary": "The device's answer; its form is the device's own", "payload": {"type": "object"}},
            },
        },
    }
