"""Device files: their types, the extensions of each, and their entry in a list. Source: CMD-11, LST-03, LST-09."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any


class FileType(Enum):
    """What a stored file is for; the value is the word of the `type` parameter."""

    FIRMWARE = "firmware"
    LOGO = "logo"


EXTENSIONS = {
    FileType.FIRMWARE: (".bin", ".hex", ".elf"),
    FileType.LOGO: (".png", ".jpg", ".bmp"),
}


def has_extension_of(file_type: FileType, name: str) -> bool:
    """Whether `name` ends like a file of that type; upper and lower case are alike. Source: CMD-11 (READ)."""
    return name.lower().endswith(EXTENSIONS[file_type])


def is_plain_name(name: str) -> bool:
    """Whether a header can hold `name` as it is, without quotes or escapes. Source: DLD-09."""
    return re.fullmatch(r"[A-Za-z0-9._-]+", name) is not None


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One entry of a file list. `time` is ISO 8601 in UTC, as on the wire; `size` in bytes."""

    name: str
    time: str
    size: int
    description: str = ""

    def body(self) -> dict[str, Any]:
        """The entry as the list endpoint sends it; an empty description is left out."""
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, **described, "time": self.time, "size": self.size}
