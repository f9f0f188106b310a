"""A board without a network, as a pure state machine behind the link.

The commands are decided by the firmware core of `simulators.device`; downloads are pulled piece by piece. It is to the boards of
`pty_board` what commands.c is to the C firmware. What must outlive a power cut is one `BoardMemory`; the rest is
gone with the power.
"""

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.bench.serial import messages
from harness.errors import RemoteWireError
from harness.wire.files import FileType
from harness.wire.topics import control_topic
from simulators.device import firmware
from simulators.device.firmware import FirmwareRules, Message, PublishResult, Reboot, StartDownload, WhenBusy
from simulators.device.flash import DirectoryStorage, Flash, Image, replace_text
from simulators.device.settings import FACTORY_CONFIGURATION

QUEUE_MAX = 4
PART_BYTES = 1_024
DEVICE_ID = "board"


@dataclass(slots=True)
class BoardMemory:
    """What the board keeps without power: the last command number, and the flash, in which an image is its record alone."""

    done: int = 0
    flash: Flash = field(default_factory=lambda: Flash(configuration=FACTORY_CONFIGURATION))


class KeptMemory:
    """Keeps a board's memory in a directory, so that it outlives the process: what the flash of a real board does."""

    def __init__(self, directory: Path) -> None:
        self._storage = DirectoryStorage(directory)
        self._done = directory / "done"
        self._kept: tuple[int, Flash] | None = None

    def load(self) -> BoardMemory:
        """What was kept last; a fresh memory where there is nothing."""
        flash = self._storage.load()
        if flash is None:
            return BoardMemory()
        return BoardMemory(int(self._done.read_text()) if self._done.exists() else 0, flash)

    def keep(self, memory: BoardMemory) -> None:
        """Writes down what has changed. To be called before anything that follows from it leaves the board."""
        if self._kept == (memory.done, memory.flash):
            return
        replace_text(self._done, str(memory.done))
        self._storage.save(memory.flash)
        self._kept = (memory.done, memory.flash)


@dataclass(slots=True)
class _Transfer:
    number: int
    command: str
    file_name: str
    size_bytes: int | None = None
    data: bytearray = field(default_factory=bytearray)


class BoardCore:
    """One powered board. `accept` takes the link's messages, `next_message` gives what to say; ask again until it gives None."""

    def __init__(self, memory: BoardMemory, *, rules: FirmwareRules | None = None) -> None:
        """A boot: a download that was under way is gone with the power, and a reboot that was due has happened."""
        self.memory = memory
        memory.flash = replace(memory.flash, jobs=(), is_reboot_due=False)
        self.rules = rules or FirmwareRules(DEVICE_ID, factory_configuration=FACTORY_CONFIGURATION, when_busy=WhenBusy.REFUSE)
        self.wants_reboot = False
        self._commands: deque[tuple[int, str, bytes]] = deque()
        self._replies: deque[dict[str, Any]] = deque()
        self._transfer: _Transfer | None = None

    def accept(self, message: dict[str, Any]) -> bool:
        """Takes a message of the host, or has no room for it. A command's number is in the memory when this returns."""
        kind = message.get("t")
        if kind == "command":
            return self._accept_command(message)
        if kind in ("body", "part", "end") and self._transfer is not None and message.get("n") == self._transfer.number:
            self._continue(self._transfer, str(kind), message)
        return True

    def next_message(self) -> dict[str, Any] | None:
        """The next message to the host, if there is one. A reboot that is due waits until there is none."""
        if not self._replies and self._commands and not self.wants_reboot:
            self._execute(*self._commands.popleft())
        return self._replies.popleft() if self._replies else None

    def _accept_command(self, message: dict[str, Any]) -> bool:
        if len(self._commands) >= QUEUE_MAX or self.wants_reboot:
            return False
        try:
            payload = messages.payload_of(message)
        except RemoteWireError:
            payload = b"\xff"  # refused as what it is: no JSON
        number, name = message.get("n"), message.get("name")
        if isinstance(number, int) and isinstance(name, str):
            self.memory.done = number
            self._commands.append((number, name, payload))
        return True

    def _execute(self, number: int, command: str, payload: bytes) -> None:
        rules, flash = self.rules, self.memory.flash
        for effect in firmware.decide(rules, flash, Message(control_topic(rules.device_id, command), payload or b"{}")):
            self.memory.flash = firmware.apply(effect, self.memory.flash)
            match effect:
                case PublishResult(command=name, body=body):
                    self._reply(number, name, body)
                case StartDownload():
                    self._begin(number, effect)
                case Reboot():
                    self.wants_reboot = True

    def _reply(self, number: int, command: str, body: dict[str, Any]) -> None:
        self._replies.append(messages.result(number, command, json.dumps(body, separators=(",", ":")).encode()))

    def _begin(self, number: int, start: StartDownload) -> None:
        job = self.memory.flash.jobs[-1]
        shelf = self.memory.flash.shelf(job.file_type).erased()
        self.memory.flash = self.memory.flash.with_shelf(job.file_type, shelf)
        self._transfer = _Transfer(number, start.command, start.file_name)
        self._replies.append({"t": "fetch", "n": number, "url": start.url})

    def _continue(self, transfer: _Transfer, kind: str, message: dict[str, Any]) -> None:
        if kind == "body" and message.get("status") != 200:
            self._replies.append({"t": "stop", "n": transfer.number})
            self._fail(transfer, f"the download was answered with status {message.get('status')}")
        elif kind == "body":
            size = message.get("size")
            transfer.size_bytes = size if isinstance(size, int) and size >= 0 else None
            self._ask_for_more(transfer)
        elif kind == "part" and message.get("at") == len(transfer.data):
            transfer.data += messages.payload_of(message)
            self._ask_for_more(transfer)
        elif kind == "end":
            self._end(transfer, is_complete=message.get("complete") is True)

    def _ask_for_more(self, transfer: _Transfer) -> None:
        self._replies.append({"t": "more", "n": transfer.number, "at": len(transfer.data), "len": PART_BYTES})

    def _end(self, transfer: _Transfer, *, is_complete: bool) -> None:
        data = bytes(transfer.data)
        if not is_complete or transfer.size_bytes not in (None, len(data)) or not data:
            self._fail(transfer, f"the download ended early, after {len(data)} bytes")
            return
        file_type = self._drop_job()
        image = Image(transfer.file_name, len(data), hashlib.sha256(data).hexdigest())
        self.memory.flash = self.memory.flash.with_shelf(file_type, self.memory.flash.shelf(file_type).installed(image))
        facts = {"file_name": image.file_name, "size": image.size_bytes, "sha256": image.sha256}
        self._reply(transfer.number, transfer.command, firmware.success(transfer.command, "installed", **facts).body)

    def _fail(self, transfer: _Transfer, why: str) -> None:
        self._drop_job()
        self._reply(transfer.number, transfer.command, firmware.failure(transfer.command, why).body)

    def _drop_job(self) -> FileType:
        """The download is over; returns what it was to bring."""
        self._transfer = None
        job = self.memory.flash.jobs[-1]
        self.memory.flash = self.memory.flash.without_job(job.number)
        return job.file_type
