"""What a fleet writes into the ledger: a look into each device at the two places where the truth is.

A personality's seams are those places: `executes` sees a message when it is released to the application and a download when it has its
result, `exchanges` sees which results the server has acknowledged. The personality behind them goes on as it was. The same books serve
every skin.
"""

import hashlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from harness.mqtt.client_session import ClientSession, Duties
from harness.mqtt.packets import Packet
from harness.wire.commands import DOWNLOADS, download_key
from harness.wire.topics import parse_control_topic
from simulators.device.firmware import Message, PublishResult
from simulators.device.flash import DownloadJob, Flash
from simulators.device.personality import Cause, Effects, Notes, Personality
from simulators.device.settings import DeviceSettings
from simulators.fleet.ledger import Ledger

CORRELATION = "hil"
"""The member of `data` that carries a command's correlation."""

LATENCIES_KEPT = 10_000


@dataclass(slots=True)
class Counts:
    """What the live view shows. `results`: acknowledged by the server; `latencies_s`: the last ones, from send to release."""

    connected: int = 0
    connects: int = 0
    reconnects: int = 0
    disconnects: int = 0
    delivered: int = 0
    results: int = 0
    downloads_running: int = 0
    downloads_running_max: int = 0
    downloads_done: int = 0
    downloads_failed: int = 0
    wrong_images: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))


class Books:
    """The ledger's eyes on the devices of one process."""

    def __init__(
        self,
        ledger: Ledger,
        now_s: Callable[[], float],
        moved: Callable[[], None],
        *,
        images: frozenset[str] = frozenset(),
    ) -> None:
        """`moved` is called after each entry; `images` are the SHA-256 digests that a download may bring, empty: any."""
        self.ledger = ledger
        self.counts = Counts()
        self._now_s = now_s
        self._moved = moved
        self._images = images
        self._watched: dict[str, Personality] = {}
        self._begun_s: dict[tuple[str, int], float] = {}

    def watched(self, personality: Personality) -> Personality:
        """The same personality, seen by the books."""
        if personality.name not in self._watched:
            self._watched[personality.name] = replace(
                personality, executes=partial(self._executes, personality), exchanges=partial(self._exchanges, personality)
            )
        return self._watched[personality.name]

    def begun(self, device_id: str, number: int) -> None:
        """Download `number` of a device starts."""
        self._begun_s[device_id, number] = self._now_s()

    def _executes(
        self, personality: Personality, notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects
    ) -> Effects:
        if isinstance(cause, Message):
            self._released(settings.device_id, cause)
        else:
            self._ended(settings.device_id, cause, effects)
        return personality.executes(notes, settings, flash, cause, effects)

    def _exchanges(self, personality: Personality, notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
        self.counts.results += len(duties.completed)
        return personality.exchanges(notes, session, packet, duties)

    def _released(self, device_id: str, message: Message) -> None:
        topic = parse_control_topic(message.topic)
        if topic is None or topic.role != "control":
            return
        self.counts.delivered += 1
        data = _json_object(message.payload)
        if topic.command in DOWNLOADS:
            url = data.get("url")
            key = download_key(url) if isinstance(url, str) else None
            latency_s = self.ledger.offered(_digest(key or ""), device_id=device_id, at_s=self._now_s())
        else:
            correlation = data.get(CORRELATION)
            named = correlation if isinstance(correlation, str) else f"foreign:{message.topic}"
            latency_s = self.ledger.delivered(named, at_s=self._now_s())
        if latency_s is not None:
            self.counts.latencies_s.append(latency_s)
        self._moved()

    def _ended(self, device_id: str, job: DownloadJob, effects: Effects) -> None:
        """A download has its result: an image, or a reason."""
        key = _digest(download_key(job.url) or "")
        duration_s = self._now_s() - self._begun_s.pop((device_id, job.number), self._now_s())
        for effect in effects:
            if not isinstance(effect, PublishResult):
                continue
            if effect.body["success"]:
                self.counts.downloads_done += 1
                self.counts.wrong_images += bool(self._images) and effect.body["sha256"] not in self._images
                self.ledger.downloaded(key, size_bytes=effect.body["size"], duration_s=duration_s)
            else:
                self.counts.downloads_failed += 1
                self.ledger.download_failed(key, reason=effect.body["message"], duration_s=duration_s)
        self._moved()


def _json_object(payload: bytes) -> dict[str, object]:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _digest(key: str) -> str:
    """What the ledger keeps in a key's place."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]
