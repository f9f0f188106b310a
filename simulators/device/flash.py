"""What a device keeps without power, as one value, and where it is kept.

The idea: everything that must survive a reboot or a power cut is one frozen `Flash`. A step of the device makes a new `Flash`, which is
saved atomically *before* any packet of that step leaves; so a cut finds either all of a step or nothing of it. File contents are too big
for that: they go to *areas*, two per file type. A download writes to the area that is not in use, and only the record in `Flash`, made
after the file was verified, puts it in use (DEV-12). The order save-then-send is the caller's duty (`machine` states it, the skins do
it).
"""

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from harness.mqtt.client_session import ClientMemory
from harness.mqtt.packets import Publish
from harness.wire.files import FileType

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Image:
    """A verified file in an area. `sha256` is the hexadecimal digest of its bytes."""

    file_name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """The two areas of one file type: which one is in use (0 or 1), and what each holds (None: nothing that may be used)."""

    in_use: int = 0
    images: tuple[Image | None, Image | None] = (None, None)

    @property
    def current(self) -> Image | None:
        """The image in use; None means the one that the factory put there."""
        return self.images[self.in_use]

    @property
    def spare(self) -> int:
        """The area that a download may write to."""
        return 1 - self.in_use

    def erased(self) -> "Shelf":
        """The shelf once the spare area's content is no longer valid."""
        return replace(self, images=self._with_spare(None))

    def installed(self, image: Image) -> "Shelf":
        """The shelf once `image` is complete in the spare area: that area is now the one in use."""
        return Shelf(self.spare, self._with_spare(image))

    def fallen_back(self) -> "Shelf":
        """The shelf once the image in use turned out to be broken: the other area is in use."""
        return Shelf(self.spare, (self.images[0], None) if self.in_use else (None, self.images[1]))

    def _with_spare(self, image: Image | None) -> tuple[Image | None, Image | None]:
        return (image, self.images[1]) if self.spare == 0 else (self.images[0], image)


@dataclass(frozen=True, slots=True)
class DownloadJob:
    """A download command that still owes its result. `is_started`: a request may have left, so the one-time key may be used."""

    number: int
    command: str
    file_type: FileType
    url: str
    expires_at: str = ""
    file_name: str = ""
    is_started: bool = False


@dataclass(frozen=True, slots=True)
class Flash:
    """All that a device keeps without power. `session` is what the MQTT session remembers; `boots` counts starts.

    `is_subscribed`: the server confirmed the subscriptions of this session.
    """

    configuration: JsonObject = field(default_factory=dict)
    firmware: Shelf = Shelf()
    logo: Shelf = Shelf()
    jobs: tuple[DownloadJob, ...] = ()
    next_job: int = 1
    is_reboot_due: bool = False
    boots: int = 0
    is_subscribed: bool = False
    session: ClientMemory = field(default_factory=ClientMemory)

    def shelf(self, file_type: FileType) -> Shelf:
        return self.firmware if file_type is FileType.FIRMWARE else self.logo

    def with_shelf(self, file_type: FileType, shelf: Shelf) -> "Flash":
        return replace(self, firmware=shelf) if file_type is FileType.FIRMWARE else replace(self, logo=shelf)

    def without_job(self, number: int) -> "Flash":
        return replace(self, jobs=tuple(job for job in self.jobs if job.number != number))


def area_name(file_type: FileType, area: int) -> str:
    """The name of one of the areas, as a storage knows it: `firmware-0` and so on."""
    return f"{file_type.value}-{area}"


class Storage(Protocol):
    """Where `Flash` and the areas are kept."""

    def load(self) -> Flash | None:
        """What was saved last; None on a device that never ran."""
        ...

    def save(self, flash: Flash) -> None:
        """Keeps `flash`; after a power cut at any moment either it or its predecessor is found."""
        ...

    def erase(self, area: str) -> None: ...

    def append(self, area: str, data: bytes) -> None:
        """Adds to an area; a power cut may leave any part of it."""
        ...

    def sha256(self, area: str) -> str:
        """The hexadecimal digest of what the area really holds."""
        ...


class MemoryStorage:
    """Storage of a device that lives inside this process; survives `power_cut` of the device, not the process."""

    def __init__(self) -> None:
        self.flash: Flash | None = None
        self.areas: dict[str, bytearray] = {}

    def load(self) -> Flash | None:
        return self.flash

    def save(self, flash: Flash) -> None:
        self.flash = flash

    def erase(self, area: str) -> None:
        self.areas[area] = bytearray()

    def append(self, area: str, data: bytes) -> None:
        self.areas.setdefault(area, bytearray()).extend(data)

    def sha256(self, area: str) -> str:
        return hashlib.sha256(self.areas.get(area, b"")).hexdigest()


class DirectoryStorage:
    """Storage of a device that is a process of its own: `flash.json` and one file per area in a directory.

    Survives SIGKILL at any moment: a new `flash.json` replaces the old one by rename. No fsync: the machine itself is not cut off.
    """

    def __init__(self, directory: Path) -> None:
        """`directory` is made where it does not exist. Raises OSError where it cannot be written."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._record = directory / "flash.json"

    def load(self) -> Flash | None:
        return flash_from_json(json.loads(self._record.read_bytes())) if self._record.exists() else None

    def save(self, flash: Flash) -> None:
        replace_text(self._record, json.dumps(flash_to_json(flash)))

    def erase(self, area: str) -> None:
        self._area(area).write_bytes(b"")

    def append(self, area: str, data: bytes) -> None:
        with self._area(area).open("ab") as file:
            file.write(data)

    def sha256(self, area: str) -> str:
        if not self._area(area).exists():
            return hashlib.sha256().hexdigest()
        with self._area(area).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _area(self, area: str) -> Path:
        return self._directory / area


def replace_text(path: Path, text: str) -> None:
    """Writes a file anew; after a SIGKILL at any moment either it or its predecessor is found."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def flash_to_json(flash: Flash) -> JsonObject:
    """`flash` as a JSON object; `flash_from_json` is its inverse."""
    return {
        "configuration": flash.configuration,
        "firmware": _shelf_to_json(flash.firmware),
        "logo": _shelf_to_json(flash.logo),
        "jobs": [_job_to_json(job) for job in flash.jobs],
        "next_job": flash.next_job,
        "is_reboot_due": flash.is_reboot_due,
        "boots": flash.boots,
        "is_subscribed": flash.is_subscribed,
        "session": _memory_to_json(flash.session),
    }


def flash_from_json(record: JsonObject) -> Flash:
    """The `Flash` that `flash_to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    return Flash(
        configuration=record["configuration"],
        firmware=_shelf_from_json(record["firmware"]),
        logo=_shelf_from_json(record["logo"]),
        jobs=tuple(_job_from_json(job) for job in record["jobs"]),
        next_job=record["next_job"],
        is_reboot_due=record["is_reboot_due"],
        boots=record["boots"],
        is_subscribed=record["is_subscribed"],
        session=_memory_from_json(record["session"]),
    )


def _shelf_to_json(shelf: Shelf) -> JsonObject:
    images = [image and {"file_name": image.file_name, "size_bytes": image.size_bytes, "sha256": image.sha256} for image in shelf.images]
    return {"in_use": shelf.in_use, "images": images}


def _shelf_from_json(record: JsonObject) -> Shelf:
    first, second = (Image(**image) if image else None for image in record["images"])
    return Shelf(record["in_use"], (first, second))


def _job_to_json(job: DownloadJob) -> JsonObject:
    return {
        "number": job.number,
        "command": job.command,
        "file_type": job.file_type.value,
        "url": job.url,
        "expires_at": job.expires_at,
        "file_name": job.file_name,
        "is_started": job.is_started,
    }


def _job_from_json(record: JsonObject) -> DownloadJob:
    return DownloadJob(**{**record, "file_type": FileType(record["file_type"])})


def _memory_to_json(memory: ClientMemory) -> JsonObject:
    # Latin-1 maps every byte to one character and back.
    outgoing = [
        [message.topic, message.payload.decode("latin-1"), message.qos, message.retain, message.dup, message.packet_id]
        for message in memory.outgoing
    ]
    return {"outgoing": outgoing, "released": list(memory.released), "received": sorted(memory.received)}


def _memory_from_json(record: JsonObject) -> ClientMemory:
    outgoing = tuple(
        Publish(topic, payload.encode("latin-1"), qos, retain, dup, packet_id)
        for topic, payload, qos, retain, dup, packet_id in record["outgoing"]
    )
    return ClientMemory(outgoing, tuple(record["released"]), frozenset(record["received"]))
