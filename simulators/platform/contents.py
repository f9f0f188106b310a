"""The bytes of stored files on disk, by content hash, and the temporary copy that each issued download has (DLD-06).

A content is written to a nameless place, flushed, and renamed to its SHA-256: it is there completely or not at all, and never changes. A
copy is a hard link named by the key's number, where there can be one: it costs no space, outlives the deletion of the stored file, and is
one `unlink` to remove.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are on disk: their SHA-256 in hex, and how many."""

    sha256: str
    size_bytes: int


class Contents:
    """The directory with all bytes. Every method blocks for the time of a few file system calls."""

    def __init__(self, directory: Path, *, is_durable: bool = True) -> None:
        """With `is_durable` false nothing is flushed to the disk: for directories that do not outlive the process."""
        self._is_durable = is_durable
        self._contents = directory / "contents"
        self._incoming = directory / "incoming"
        self._copies = directory / "downloads"
        for place in (self._contents, self._incoming, self._copies):
            place.mkdir(parents=True, exist_ok=True)

    def receive(self) -> "Incoming":
        """A place for bytes that arrive piece by piece; nothing stays of them unless `keep` is called."""
        return Incoming(self._incoming, self._contents, is_durable=self._is_durable)

    def path(self, sha256: str) -> Path:
        return self._contents / sha256

    def remove(self, sha256: str) -> None:
        self.path(sha256).unlink(missing_ok=True)

    def stored(self) -> Iterator[str]:
        """The SHA-256 of all bytes that are here."""
        return (entry.name for entry in os.scandir(self._contents))

    def make_copy(self, key_id: int, sha256: str) -> None:
        """Makes the temporary copy of an issued download. Raises FileNotFoundError where the content has been removed meanwhile."""
        copy = self._copies / str(key_id)
        copy.unlink(missing_ok=True)  # of a process that was killed before it had committed a key of this number
        try:
            os.link(self.path(sha256), copy)
        except FileNotFoundError:
            raise
        except OSError:  # There is an end to the links of one file: 65,000 on ext4, as many live keys for one image.
            shutil.copyfile(self.path(sha256), copy)

    def open_copy(self, key_id: int) -> BinaryIO | None:
        """The copy, unbuffered; it stays readable when it is removed. None where there is none."""
        try:
            return (self._copies / str(key_id)).open("rb", buffering=0)
        except FileNotFoundError:
            return None

    def remove_copy(self, key_id: int) -> None:
        (self._copies / str(key_id)).unlink(missing_ok=True)

    def copies(self) -> Iterator[int]:
        """The keys that have a copy."""
        return (int(entry.name) for entry in os.scandir(self._copies))


class Incoming:
    """Bytes on their way to the disk. A context manager: leaving it removes what was not kept."""

    def __init__(self, incoming: Path, contents: Path, *, is_durable: bool) -> None:
        self._is_durable = is_durable
        handle, name = tempfile.mkstemp(dir=incoming)
        self._file = os.fdopen(handle, "wb")
        self._path = Path(name)
        self._contents = contents
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    def flush(self) -> None:
        """Brings the bytes to the disk."""
        self._file.flush()
        if self._is_durable:
            os.fsync(self._file.fileno())

    def keep(self) -> Content:
        """Makes the bytes, which must have been flushed, a content."""
        self._file.close()
        content = Content(self._hash.hexdigest(), self.size_bytes)
        self._path.replace(self._contents / content.sha256)
        return content

    def __enter__(self) -> "Incoming":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
