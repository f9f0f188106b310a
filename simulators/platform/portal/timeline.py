"""The live timeline of a device: audit trail, MQTT packets and download progress as one stream of lines.

Costs one dictionary lookup per event where nobody watches. Packets are seen on the embedded broker only: it alone tells.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.clock import Clock, rfc3339
from harness.errors import RemoteWireError
from harness.mqtt.packets import Packet, Publish
from harness.wire.commands import DOWNLOADS
from harness.wire.topics import parse_control_topic
from simulators.broker.port import ClosedBy, Direction
from simulators.platform.store import AuditEntry
from simulators.platform.trail import Happening

WATCHER_LINES_MAX = 2_000  # lines that one watcher may leave unread; then it is let go and has to come again
PROGRESS_STEP = 0.02  # of a download's size
PAYLOAD_CHARACTERS_MAX = 400
SAID = ("command", "complete")  # facts that a line's text or colour tells already

Lane = Literal["command", "mqtt", "download", "result", "link"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline. `progress` (0 to 1) belongs to the download with the key number `key`."""

    at: str
    lane: Lane
    text: str
    detail: str = ""
    key: int | None = None
    progress: float | None = None
    outcome: Literal["", "good", "bad"] = ""

    def json(self) -> str:
        return json.dumps(asdict(self))


class Watcher:
    """One open page. `lines` ends with None when there will be no more."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[Line | None] = asyncio.Queue()

    def tell(self, line: Line) -> None:
        """The next line; to one that has too many unread ones already, that there will be no more."""
        unread = self.lines.qsize()
        if unread <= WATCHER_LINES_MAX:
            self.lines.put_nowait(line if unread < WATCHER_LINES_MAX else None)


class Timeline:
    """Collects what happens to watched devices. Is the observer of the embedded broker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watchers: dict[str, set[Watcher]] = {}
        self._progress: dict[int, float] = {}

    @contextmanager
    def watch(self, device_id: str) -> Iterator[Watcher]:
        """A watcher of one device, for as long as the context lasts."""
        watcher = Watcher()
        self._watchers.setdefault(device_id, set()).add(watcher)
        try:
            yield watcher
        finally:
            self._watchers[device_id].discard(watcher)
            if not self._watchers[device_id]:
                del self._watchers[device_id]

    def close(self) -> None:
        """Lets every watcher go: the platform stops."""
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.lines.put_nowait(None)

    def _tell(self, device_id: str, line: Line) -> None:
        for watcher in self._watchers.get(device_id, ()):
            watcher.tell(line)

    def _now(self) -> str:
        return rfc3339(self._clock.utc_s(), fraction_digits=3)

    # --- what the platform says ---

    def audited(self, entry: AuditEntry) -> None:
        if entry.kind == Happening.DOWNLOAD_ENDED.value:
            self._progress.pop(entry.facts["key"], None)
        if entry.device_id in self._watchers:
            self._tell(entry.device_id, line_of(entry))

    def progressed(self, device_id: str, key_id: int, sent_bytes: int, size_bytes: int) -> None:
        """So much of a download is on its way; told in steps."""
        if device_id not in self._watchers:
            return
        share = sent_bytes / size_bytes if size_bytes else 1.0
        if share < 1.0 and share - self._progress.get(key_id, 0.0) < PROGRESS_STEP:
            return
        self._progress[key_id] = share
        self._tell(device_id, Line(self._now(), "download", f"{sent_bytes:,} of {size_bytes:,} bytes", key=key_id, progress=share))

    # --- what the broker says ---

    def opened(self, connection: int, peer: str) -> None:
        return

    def packet(self, connection: int, client_id: str, direction: Direction, packet: Packet, size_bytes: int) -> None:
        if client_id not in self._watchers:
            return
        self._tell(client_id, packet_line(self._now(), direction, packet, size_bytes))
        if isinstance(packet, Publish) and direction is Direction.FROM_CLIENT and (line := result_line(self._now(), packet)):
            self._tell(client_id, line)

    def malformed(self, connection: int, client_id: str, error: RemoteWireError) -> None:
        self._tell(client_id, Line(self._now(), "mqtt", f"malformed: {error.problem}", error.statement, outcome="bad"))

    def fault(self, connection: int, client_id: str, name: str, detail: str) -> None:
        self._tell(client_id, Line(self._now(), "mqtt", f"fault: {name}", detail, outcome="bad"))

    def closed(self, connection: int, client_id: str, closed_by: ClosedBy, reason: str) -> None:
        self._tell(client_id, Line(self._now(), "link", "disconnected", reason, outcome="bad"))


def packet_line(at: str, direction: Direction, packet: Packet, size_bytes: int) -> Line:
    """An MQTT packet as one line. The password of a CONNECT and the key of an offer never stand there."""
    arrow = "→" if direction is Direction.TO_CLIENT else "←"
    name = type(packet).__name__.upper()
    if name == "CONNECT":
        return Line(at, "link", "connected", f"CONNECT, {size_bytes} bytes", outcome="good")
    if not isinstance(packet, Publish):
        number = getattr(packet, "packet_id", None)
        return Line(at, "mqtt", f"{arrow} {name}" + (f" {number}" if number is not None else ""))
    flags = "".join((" DUP" if packet.dup else "", " RETAIN" if packet.retain else ""))
    return Line(at, "mqtt", f"{arrow} PUBLISH {packet.packet_id or ''} QoS {packet.qos}{flags}", f"{packet.topic}  {_shown(packet)}")


def _shown(packet: Publish) -> str:
    text = packet.payload[:PAYLOAD_CHARACTERS_MAX].decode(errors="replace")
    head, mark, key = text.partition("?key=")
    return f"{head}{mark}…{key[key.find(chr(34)) :]}" if mark and '"' in key else text


def result_line(at: str, packet: Publish) -> Line | None:
    """A result that a device published; None for any other message."""
    topic = parse_control_topic(packet.topic)
    if topic is None or topic.role != "result":
        return None
    try:
        body: Any = json.loads(packet.payload)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return Line(at, "result", f"{topic.command}: a result that is no JSON object", _shown(packet), outcome="bad")
    is_good = body.get("success") is True
    word = "installed" if is_good and topic.command in DOWNLOADS else "done" if is_good else "failed"
    return Line(at, "result", f"{topic.command}: {word}", _shown(packet), outcome="good" if is_good else "bad")


def line_of(entry: AuditEntry) -> Line:
    """A line of the audit trail as one of the timeline."""
    at, facts = rfc3339(entry.at_s, fraction_digits=3), entry.facts
    lane: Lane = "command" if entry.kind.startswith(("command", "allowed")) else "download"
    shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items() if name not in SAID and value not in ("", None))
    is_bad = "refused" in entry.kind or "expired" in entry.kind or facts.get("complete") is False
    text = f"{entry.kind}: {facts['command']}" if "command" in facts else entry.kind
    progress = 1.0 if facts.get("complete") else None
    return Line(at, lane, text, shown, facts.get("key"), progress, "bad" if is_bad else "")
