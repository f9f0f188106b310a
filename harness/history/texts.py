"""Every text in a value put through one translation, at any depth: how facts are freed of secrets, and of names."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any


def translated(value: Any, translate: Callable[[str], str]) -> Any:
    """`value` with every text in it translated: in sequences, in objects (their members' names too) and in dataclasses."""
    if isinstance(value, str):
        return translate(value)
    if isinstance(value, tuple | list):
        return type(value)(translated(item, translate) for item in value)
    if isinstance(value, dict):
        return {translated(key, translate): translated(item, translate) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        members = {field.name: getattr(value, field.name) for field in fields(value)}
        changes = {name: new for name, old in members.items() if (new := translated(old, translate)) != old}
        return replace(value, **changes) if changes else value
    return value
