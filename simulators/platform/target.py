"""The target file: everything a harness must know to certify this platform, as TOML (interfaces.md)."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.wire.files import FileType
from simulators.platform.access import Device, Project
from simulators.platform.provisioning import Secrets
from simulators.platform.store import Store


def device_table(device: Device, secrets: Secrets) -> dict[str, Any]:
    """One `[[platform.devices]]`, or one line of the devices file."""
    return {
        "id": device.id,
        "project_id": device.project_id,
        "token": secrets.device_token(device.id),
        "kind": device.kind.value,
        "allowed_commands": device.allowed_commands,
        "disposable": device.disposable,
    }


def target_tables(
    *,
    name: str,
    api_url: str,
    mqtt_url: str,
    store: Store,
    secrets: Secrets,
    projects: tuple[Project, ...],
    contents: Path,
    optional: Mapping[str, Any],
) -> dict[str, Any]:
    """The file's tables as plain values. `optional` holds whole tables (`clock`, `tls`, `hooks`, `declares`) and keys of `[platform]`."""
    ids = {project.id for project in projects}
    devices = [device for device in store.devices() if device.project_id in ids and not device.name.startswith("fleet-")]
    scalars = {key: value for key, value in optional.items() if not isinstance(value, Mapping)}
    tables = {key: dict(value) for key, value in optional.items() if isinstance(value, Mapping) and value}
    return {
        "platform": {
            "name": name,
            "api_url": api_url,
            "mqtt_url": mqtt_url,
            **scalars,
            "api_keys": {key: secrets.api_key(key) for key in ("full", "read_only", "disabled", "other_org")},
            **tables,
            "projects": [{"id": project.id} for project in projects],
            "devices": [device_table(device, secrets) for device in devices],
            "files": [
                {
                    "project_id": project.id,
                    "type": file_type.value,
                    "name": file.name,
                    "path": str(contents / file.sha256),
                }
                for project in projects
                for file_type in FileType
                for file in store.project_files(project.id, file_type)
            ],
        }
    }


def fleet_lines(store: Store, secrets: Secrets) -> Iterator[str]:
    """The devices file: one JSON object a line for each device of `--provision`."""
    for device in store.devices():
        if device.name.startswith("fleet-"):
            yield json.dumps(device_table(device, secrets)) + "\n"


def to_toml(tables: Mapping[str, Any]) -> str:
    """Nested tables, arrays of tables, strings, numbers and booleans as TOML."""
    return "\n".join(_lines(tables, "")) + "\n"


def _lines(table: Mapping[str, Any], path: str) -> Iterator[str]:
    for key, value in table.items():
        if not isinstance(value, Mapping | list):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        inner = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, Mapping):
            yield f"\n[{inner}]"
            yield from _lines(value, inner)
        elif isinstance(value, list):
            for entry in value:
                yield f"\n[[{inner}]]"
                yield from _lines(entry, inner)


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: str | float | bool) -> str:
    # A JSON string is a TOML basic string, except for DEL, which TOML wants escaped, and surrogate pairs, which it does not know.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
