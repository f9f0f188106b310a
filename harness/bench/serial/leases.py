"""Leases: who may use a board now. A lock on a file, which the operating system drops when its holder dies, however it dies.

Parallel jobs of one machine share a bench that way. Who holds a lease stands in the file, for the message to those who wait.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.bench.serial.ports import PortBusy
from harness.errors import BenchError

RETRY_S = 0.1


def lease_directory() -> Path:
    """Where the locks of this machine are: shared by all its users."""
    return Path(os.environ.get("HIL_LEASE_DIR") or Path(tempfile.gettempdir()) / "hil-leases")


class Lease:
    """One board for one holder, from `acquire` (or `with`) to `release`."""

    def __init__(self, identity: str, *, holder: str = "", directory: Path | None = None) -> None:
        readable = re.sub(r"[^A-Za-z0-9]+", "-", identity).strip("-")[-40:]
        name = f"{readable}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}.lock"
        self.identity = identity
        self.path = (directory or lease_directory()) / name
        self._holder = holder
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()

    @property
    def is_held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Takes the lease, at once or not at all. Raises PortBusy, which names the holder."""
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _read_holder(descriptor)
            os.close(descriptor)
            raise PortBusy(f"busy port: {self.identity} is leased by {holder}") from error
        if not self._is_the_file(descriptor):
            os.close(descriptor)
            return self.acquire()  # it was replaced between opening and locking
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "holder": self._holder}).encode(), 0)
        self._descriptor = descriptor
        return None

    async def acquire_until(self, deadline_s: float) -> None:
        """Takes the lease as soon as it is free. Raises PortBusy at the deadline (of the running loop's clock)."""
        while True:
            try:
                return self.acquire()
            except PortBusy:
                if asyncio.get_running_loop().time() + RETRY_S >= deadline_s:
                    raise
            await asyncio.sleep(RETRY_S)

    def require(self) -> None:
        """Raises BenchError where the lease was lost: its file was removed or replaced, so somebody else may hold the board."""
        if self._descriptor is None or not self._is_the_file(self._descriptor):
            raise BenchError(f"the lease of {self.identity} was lost: {self.path} is not the file that was locked")

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.truncate(descriptor, 0)
            os.close(descriptor)

    def _open(self) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.parent.stat().st_uid == os.getuid():
                self.path.parent.chmod(0o1777)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise BenchError(f"no lease of {self.identity}: {self.path}: {error.strerror}") from error
        return descriptor

    def _is_the_file(self, descriptor: int) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _read_holder(descriptor: int) -> str:
    try:
        facts = json.loads(os.pread(descriptor, 4_096, 0))
        return f"process {facts['pid']}" + (f" ({facts['holder']})" if facts.get("holder") else "")
    except (ValueError, KeyError, TypeError, OSError):
        return "another process"
