"""The target file: what a platform under test is, and what of it the harness may use. Source: interfaces.md, "Target file".

Reading it never touches the network. Every mistake becomes one `ConfigurationError` that names file, table, key and value.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator

from harness.bench.tls import Tls, with_pem_files
from harness.bench.toml_file import CommandTable, Table, first_mistake, from_file, read_toml, require_file, resolve_secret
from harness.errors import ConfigurationError
from harness.requirements import find
from harness.wire.commands import KEY_POLICIES, DeviceKind
from harness.wire.files import FileType

_SECRET_HEADER = re.compile("auth|key|token|secret|password|cookie", re.IGNORECASE)


class ApiKeys(Table):
    """The API keys of the target; those that are left out make the checks that need them not applicable."""

    full: str
    read_only: str | None = None
    disabled: str | None = None
    other_org: str | None = None


class HttpOptions(Table):
    """A proxy, and headers for a gateway in front of the target. Both may be `env:NAME` or `file:PATH`."""

    proxy: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)

    @field_validator("proxy")
    @classmethod
    def _is_http(cls, url: str | None) -> str | None:
        return None if url is None else _checked_url(url, ("http", "https"))

    def secrets(self) -> dict[str, str]:
        """What of it must not stand in a report, by label: the proxy's password, and headers whose name says that they hold a secret."""
        password = urlsplit(self.proxy or "").password
        named = {f"<header:{name}>": value for name, value in self.headers.items() if _SECRET_HEADER.search(name)}
        return named | ({"<proxy:password>": password} if password else {})


class Limits(Table):
    """What the target tolerates; the harness paces itself."""

    requests_per_s: float | None = Field(default=None, gt=0)
    connects_per_min: float | None = Field(default=None, gt=0)


class TestClock(Table):
    """The target's test clock."""

    advance_url: str

    @field_validator("advance_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return _checked_url(url, ("http", "https"))


class Hooks(CommandTable):
    """Shell commands that do what the API cannot."""

    upload_file: str | None = None
    delete_file: str | None = None
    set_allowed_commands: str | None = None
    restart: str | None = None
    stop_broker: str | None = None
    start_broker: str | None = None
    temporary_copies: str | None = None  # prints how many temporary copies of files the target keeps
    memory_bytes: str | None = None  # prints the target's resident memory in bytes
    provision: str | None = None
    deprovision: str | None = None


class Project(Table):
    """A project of the full key's organisation."""

    id: str = Field(min_length=1)


class TargetDevice(Table):
    """A device of the target that the harness plays."""

    id: str = Field(min_length=1)
    project_id: str = Field(min_length=1)
    token: str
    kind: DeviceKind
    allowed_commands: str = ""
    disposable: bool = True


class TargetFile(Table):
    """A file in the target's storage, and the same bytes on our side (`path`, relative to the target file)."""

    project_id: str = Field(min_length=1)
    type: FileType
    name: str = Field(min_length=1)
    path: Path

    @property
    def size_bytes(self) -> int:
        """The size of the bytes on our side; 0 where they are not there any more."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def sha256(self) -> str:
        """The hash of the bytes on our side, in hexadecimal; empty where they are not there any more."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError:
            return ""


class Platform(Table):
    """The table `[platform]`."""

    name: str = Field(min_length=1)
    api_url: str
    mqtt_url: str
    hardening: Literal["should", "must"] = "should"
    devices_file: Path | None = None
    api_keys: ApiKeys
    tls: Tls = Tls()
    http: HttpOptions = HttpOptions()
    limits: Limits = Limits()
    clock: TestClock | None = None
    hooks: Hooks = Hooks()
    declares: dict[str, str] = Field(default_factory=dict)
    projects: tuple[Project, ...] = ()
    devices: tuple[TargetDevice, ...] = ()
    files: tuple[TargetFile, ...] = ()

    @field_validator("declares")
    @classmethod
    def _are_readings(cls, declares: dict[str, str]) -> dict[str, str]:
        for row, reading in declares.items():
            if not find(row):
                raise ValueError(f"{row!r} is no requirement; `hil requirements` lists them")
            if row == "KEY-08" and reading not in KEY_POLICIES:
                raise ValueError(f"KEY-08 is read as {' or '.join(KEY_POLICIES)}, not {reading!r}")
        return declares

    @field_validator("api_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return _checked_url(url, ("http", "https")).rstrip("/")

    @field_validator("mqtt_url")
    @classmethod
    def _is_mqtt(cls, url: str) -> str:
        return _checked_url(url, ("mqtt", "mqtts", "ws", "wss"))


class Target(Table):
    """A target file, read and checked."""

    platform: Platform


def _checked_url(url: str, schemes: tuple[str, ...]) -> str:
    allowed = ", ".join(f"{scheme}://host[:port]" for scheme in schemes)
    try:
        parts = urlsplit(url)
        has_host = bool(parts.hostname)
        _ = parts.port  # Raises ValueError where it is no number of a port.
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL ({error}); allowed: {allowed}") from error
    if parts.scheme not in schemes or not has_host:
        raise ValueError(f"{url!r} is no URL of the kind {allowed}")
    return url


def read_target(path: Path) -> Target:
    """Reads a target file with everything that it names. Raises ConfigurationError for the first mistake."""
    document = read_toml(path)
    platform = document.get("platform")
    if not isinstance(platform, dict):
        raise ConfigurationError(str(path), "platform", "", "the table is missing")
    document = document | {"platform": _with_secrets(path, _with_devices_file(path, platform))}
    try:
        target = Target.model_validate(document, context=from_file(path))
    except ValidationError as error:
        raise first_mistake(path, error) from error
    return _checked_references(path, _with_absolute_paths(path, target))


def _with_secrets(path: Path, platform: dict[str, Any]) -> dict[str, Any]:
    resolved = dict(platform)
    keys = platform.get("api_keys")
    if isinstance(keys, dict):
        resolved["api_keys"] = {name: resolve_secret(path, "platform.api_keys", name, value) for name, value in keys.items()}
    resolved |= _with_http_secrets(path, platform.get("http"))
    devices = platform.get("devices")
    if isinstance(devices, list):
        resolved["devices"] = [
            device | {"token": resolve_secret(path, f"platform.devices.{index}", "token", device["token"])}
            if isinstance(device, dict) and "token" in device
            else device
            for index, device in enumerate(devices)
        ]
    return resolved


def _with_http_secrets(path: Path, http: Any) -> dict[str, Any]:
    """The table `http` with its proxy and the values of its headers resolved; nothing where there is none."""
    if not isinstance(http, dict):
        return {}
    resolved = {name: resolve_secret(path, "platform.http", name, value) for name, value in http.items()}
    headers = resolved.get("headers")
    if isinstance(headers, dict):
        resolved["headers"] = {name: resolve_secret(path, "platform.http.headers", name, value) for name, value in headers.items()}
    return {"http": resolved}


def _with_devices_file(path: Path, platform: dict[str, Any]) -> dict[str, Any]:
    """The devices of `devices_file` behind those of the target file itself."""
    name = platform.get("devices_file")
    if not isinstance(name, str):
        return platform
    more = []
    try:
        lines = (path.parent / name).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:  # ValueError: it is no text, or such a name no file can have
        raise ConfigurationError(str(path), "platform", "devices_file", f"{name!r} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            more.append(json.loads(line))
        except ValueError as error:
            raise ConfigurationError(str(path), "platform", "devices_file", f"{name}:{number} is no JSON: {error}") from error
    own = platform.get("devices", [])
    return platform | {"devices": [*own, *more] if isinstance(own, list) else own}


def _with_absolute_paths(path: Path, target: Target) -> Target:
    here = path.absolute().parent
    platform = target.platform
    tls = with_pem_files(path, "platform.tls", platform.tls, authority="ca", pair=("client_cert", "client_key"))
    files = tuple(file.model_copy(update={"path": here / file.path}) for file in platform.files)
    return target.model_copy(update={"platform": platform.model_copy(update={"tls": tls, "files": files})})


def _checked_references(path: Path, target: Target) -> Target:
    """Ids that the file itself does not define, and files that are not there, are mistakes too."""
    projects = {project.id for project in target.platform.projects}
    homes = {
        "devices": [device.project_id for device in target.platform.devices],
        "files": [file.project_id for file in target.platform.files],
    }
    for table, project_ids in homes.items():
        for index, project_id in enumerate(project_ids):
            if project_id not in projects:
                problem = f"{project_id!r} is none of [[platform.projects]]: {', '.join(sorted(projects)) or 'there is none'}"
                raise ConfigurationError(str(path), f"platform.{table}.{index}", "project_id", problem)
    for index, file in enumerate(target.platform.files):
        require_file(path, f"platform.files.{index}", "path", file.path)
    doubled = _first_doubled([device.id for device in target.platform.devices])
    if doubled is not None:
        raise ConfigurationError(str(path), "platform.devices", "id", f"{doubled!r} stands there twice")
    return target


def _first_doubled(names: list[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
