"""Reading the user's TOML files: every mistake becomes one `ConfigurationError` that names file, table, key and value."""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from harness.bench.shell import working_directory
from harness.errors import ConfigurationError

_SHOWN_CHARACTERS = 60
_UNKNOWN_KEY = "unknown_key"


class Table(BaseModel):
    """A table of a file of ours: unknown keys are mistakes, and what was read does not change any more."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, members: Any) -> Any:
        """Pydantic's own complaint does not say which keys there are."""
        unknown = [key for key in members if key not in cls.model_fields] if isinstance(members, dict) else []
        if unknown:
            allowed = ", ".join(cls.model_fields)
            raise PydanticCustomError(_UNKNOWN_KEY, "unknown key; allowed: {allowed}", {"key": unknown[0], "allowed": allowed})
        return members


class CommandTable(Table):
    """A table that holds commands, and remembers its file for them. Read it with `context=from_file(path)`."""

    _file: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any) -> None:
        self._file = context["file"] if context else None

    def directory_of(self, command: str) -> Path | None:
        """Where one of its commands is started (`working_directory`); None, where `hil` was, for a table that no file holds."""
        return None if self._file is None else working_directory(command, self._file)


def from_file(path: Path) -> dict[str, Path]:
    """What the tables of a file are told while they are read."""
    return {"file": path}


def read_toml(path: Path) -> dict[str, Any]:
    """The TOML document at `path`. Raises ConfigurationError where it cannot be read or is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(str(path), "", "", f"cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), "", "", f"is no TOML: {error}") from error


def first_mistake(path: Path, error: ValidationError) -> ConfigurationError:
    """The first complaint of pydantic in the words of a user: table, key, value, what was allowed."""
    mistake = error.errors()[0]
    place = [str(part) for part in mistake["loc"]]
    if mistake["type"] == _UNKNOWN_KEY:
        return ConfigurationError(str(path), ".".join(place), mistake["ctx"]["key"], mistake["msg"])
    table, key = ".".join(place[:-1]), place[-1] if place else ""
    if mistake["type"] == "missing":
        return ConfigurationError(str(path), table, key, "is missing")
    problem = mistake["msg"].removeprefix("Value error, ")
    shown = "" if mistake["type"] == "value_error" else f" (found {_shortened(mistake['input'])})"
    return ConfigurationError(str(path), table, key, problem + shown)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def require_file(path: Path, table: str, key: str, file: Path) -> None:
    """Raises ConfigurationError where there is no file that the user's file at `path` names."""
    try:
        is_there = file.is_file()
    except OSError:
        is_there = False  # Such a name no file can have.
    if not is_there:
        raise ConfigurationError(str(path), table, key, f"{str(file)!r} is no file")


def resolve_secret(path: Path, table: str, key: str, value: Any) -> Any:
    """A secret itself, or what `env:NAME` or `file:PATH` stands for. Raises ConfigurationError where that is not there."""
    if not isinstance(value, str):
        return value
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in os.environ:
            raise ConfigurationError(str(path), table, key, f"environment variable {name!r} is not set")
        return os.environ[name]
    if value.startswith("file:"):
        try:
            return (path.parent / value.removeprefix("file:")).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:  # ValueError: it is no text, or such a name no file can have
            raise ConfigurationError(str(path), table, key, f"{value!r} cannot be read: {error}") from error
    return value
