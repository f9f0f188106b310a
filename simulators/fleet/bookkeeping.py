"""What a fleet writes into the ledger: a look into each device at the two places where the truth is.

A personality's seams are those places: `executes` sees a message when it is released to the application and a download when it has its
result, `exchanges` sees which results the server has acknowledged. The personality behind them goes on as it was. The same books serve
every skin.
"""

import hashlib
import json
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from harness.clock import Clock, SystemClock
from harness.mqtt.client_session import ClientSession, Duties
from harness.mqtt.packets import Packet
from harness.wire.commands import DOWNLOADS, KEY_LIFETIME_S, download_key
from harness.wire.topics import parse_control_topic
from simulators.device import downloader
from simulators.device.firmware import Message, PublishResult
from simulators.device.flash import DownloadJob, Flash
from simulators.device.personality import Cause, Effects, Notes, Personality
from simulators.device.settings import DeviceSettings
from simulators.fleet.device_line import DeviceLine
from simulators.fleet.entries import RUN_OVER
from simulators.fleet.judgement import Circumstances
from simulators.fleet.ledger import Ledger
from simulators.fleet.totals import FOREIGN

log = logging.getLogger(__name__)

CORRELATION = "hil"
"""The member of `data` that carries a command's correlation."""

LATENCIES_KEPT = 10_000

OLD_S = 5.0
"""A key that was issued so long before the run is of an older one; less may be the difference of two clocks."""


@dataclass(slots=True)
class Counts:
    """What the live view shows. `results`: acknowledged by the server; `latencies_s`: the last ones, from send to release."""

    connected: int = 0
    connected_at_end: int = 0
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


@dataclass(slots=True)
class Transfer:
    """A download that runs. `key` is what the ledger keeps in the key's place; `problem` is how it ended, "" for well."""

    key: str
    began_s: float
    received_bytes: int = 0
    problem: str = "not finished"


class Books:
    """The ledger's eyes on the devices of one process."""

    def __init__(
        self,
        ledger: Ledger,
        now_s: Callable[[], float],
        moved: Callable[[], None],
        *,
        images: frozenset[str] = frozenset(),
        clock: Clock | None = None,
    ) -> None:
        """`moved` is called after each entry; `images` are the SHA-256 digests that a download may bring, empty: any. `clock` tells which
        keys have expired.
        """
        self.ledger = ledger
        self.counts = Counts()
        self._now_s = now_s
        self._moved = moved
        self._images = images
        self._watched: dict[str, Personality] = {}
        self._transfers: dict[tuple[str, int], Transfer] = {}
        self.crashes: Counter[str] = Counter()  # defects of our own programs, and how often they showed
        self._crashed: set[str] = set()
        self.last_failure = ""  # why a device got no connection, or lost it at once
        self._left: set[str] = set()
        self._is_closed = False
        self._clock = clock or SystemClock()
        self._began_utc_s = self._clock.utc_s()

    def watched(self, personality: Personality) -> Personality:
        """The same personality, seen by the books."""
        if personality.name not in self._watched:
            self._watched[personality.name] = replace(
                personality, executes=partial(self._executes, personality), exchanges=partial(self._exchanges, personality)
            )
        return self._watched[personality.name]

    # -------------------------------------------------------------------------------- what the skins tell

    def added(self, line: DeviceLine) -> None:
        """A device takes part; it is not connected yet, and nobody knows of a session."""
        self.ledger.session_ended(line.device_id)

    def listening(self, line: DeviceLine) -> None:
        """A device is connected and subscribed."""
        self.counts.connected += 1
        self.counts.connects += 1
        if line.machine.settings.clean_session:
            self.ledger.session_began(line.device_id)
        else:
            self.ledger.session_kept(line.device_id)
        self._moved()

    def lost(self, line: DeviceLine, *, was_listening: bool) -> None:
        """A device has no connection any more."""
        self.counts.connected -= was_listening
        self.counts.disconnects += 1
        # A device that leaves because its run is over has had all its time: what it lacks was lost, and is not forgiven.
        if line.machine.settings.clean_session and not (self._is_closed or line.device_id in self._left):
            self.ledger.session_ended(line.device_id)
        self._moved()

    def leaves(self, line: DeviceLine) -> None:
        """A device is about to leave by itself, for good."""
        self._left.add(line.device_id)

    def failed(self, reason: str | Exception) -> None:
        """A device has got no connection, or was refused on it."""
        self.last_failure = str(reason)

    def crashed(self, line: DeviceLine, error: Exception) -> None:
        """A device has met a defect of ours: what it was sent proves nothing, and it is not to connect again."""
        if line.device_id not in self._crashed:
            self._crashed.add(line.device_id)
            self.ledger.lost_sight(line.device_id)
            self.slipped(f"virtual device {line.device_id}", error)

    def slipped(self, who: str, error: BaseException) -> None:
        """A defect of ours has shown itself; its traceback is logged once."""
        defect = f"{type(error).__name__}: {' '.join(str(error).split())}"
        if defect not in self.crashes:
            log.error("a crash of our own: %s", who, exc_info=error)
        self.crashes[defect] += 1

    def is_over(self, line: DeviceLine) -> bool:
        """Whether a device takes no further part: it has left, or it has crashed."""
        return line.device_id in self._left or line.device_id in self._crashed

    def begun(self, line: DeviceLine, number: int) -> Transfer:
        """Download `number` of a device starts. What is returned knows the outcome once there is one."""
        key = next((_digest(download_key(job.url) or "") for job in line.machine.flash.jobs if job.number == number), "")
        self._transfers[line.device_id, number] = transfer = Transfer(key, self._now_s())
        self.counts.downloads_running += 1
        self.counts.downloads_running_max = max(self.counts.downloads_running_max, self.counts.downloads_running)
        return transfer

    def saw(self, line: DeviceLine, number: int, event: downloader.Event) -> None:
        """Something came for a download that runs; to be told before the device is."""
        transfer = self._transfers.get((line.device_id, number))
        if transfer is not None and isinstance(event, downloader.Body):
            transfer.received_bytes += len(event.data)

    def stopped(self) -> None:
        """The skin works on a download no more, however it ended."""
        self.counts.downloads_running -= 1
        self._moved()

    def close(self) -> None:
        """The run is over, and all devices are about to leave: downloads that still run are cut, keys whose time has come are dead."""
        self._is_closed = True
        self.counts.connected_at_end = self.counts.connected
        for transfer in self._transfers.values():
            duration_s = self._now_s() - transfer.began_s
            if transfer.key in self.ledger.keys:
                self.ledger.download_failed(transfer.key, reason=RUN_OVER, size_bytes=transfer.received_bytes, duration_s=duration_s)
        self._transfers.clear()
        for record in self.ledger.keys.values():
            record.is_expired = record.is_expired or (not record.used and self._has_passed(record.expires_at))

    def circumstances(self, lines: Iterable[DeviceLine]) -> Circumstances:
        """What stands beside the ledger of a whole run of these devices."""
        lines, counts = list(lines), self.counts
        facts = {
            "devices": len(lines),
            "connects": counts.connects,
            "reconnects": counts.reconnects,
            "never_connected": sum(not line.has_listened for line in lines),
            "left": len(self._left),
            "connected_at_end": counts.connected_at_end,
            "delivered": counts.delivered,
            "results": counts.results,
            "downloads_done": counts.downloads_done,
            "downloads_failed": counts.downloads_failed,
            "wrong_images": counts.wrong_images,
        }
        return Circumstances(facts, dict(self.crashes), self.last_failure)

    def _has_passed(self, expires_at: str) -> bool:
        expiry_s = _utc_s(expires_at)
        return expiry_s is not None and self._clock.utc_s() >= expiry_s

    # -------------------------------------------------------------------------------- what the devices show

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
        correlation = data.get(CORRELATION)
        if topic.device_id != device_id:
            latency_s = self.ledger.delivered(f"{FOREIGN}{message.topic} at {device_id}", device_id=device_id, at_s=self._now_s())
        elif topic.command in DOWNLOADS:
            latency_s = self._offered(device_id, data)
        else:
            named = correlation if isinstance(correlation, str) else f"{FOREIGN}{message.topic}"
            latency_s = self.ledger.delivered(named, device_id=device_id, at_s=self._now_s())
        if latency_s is not None:
            self.counts.latencies_s.append(latency_s)
        self._moved()

    def _offered(self, device_id: str, data: dict[str, object]) -> float | None:
        url, expires_at = (text if isinstance(text := data.get(member), str) else "" for member in ("url", "expires_at"))
        expiry_s = _utc_s(expires_at)
        is_old = expiry_s is not None and expiry_s - KEY_LIFETIME_S < self._began_utc_s - OLD_S
        key = _digest(download_key(url) or "")
        return self.ledger.offered(key, device_id=device_id, at_s=self._now_s(), expires_at=expires_at, is_old=is_old)

    def _ended(self, device_id: str, job: DownloadJob, effects: Effects) -> None:
        """A download has its result: an image, or a reason."""
        key = _digest(download_key(job.url) or "")
        transfer = self._transfers.pop((device_id, job.number), None) or Transfer(key, self._now_s())
        duration_s = self._now_s() - transfer.began_s
        for effect in effects:
            if not isinstance(effect, PublishResult):
                continue
            if effect.body["success"]:
                transfer.problem = ""
                self.counts.downloads_done += 1
                self.counts.wrong_images += bool(self._images) and effect.body["sha256"] not in self._images
                self.ledger.downloaded(key, size_bytes=effect.body["size"], duration_s=duration_s)
            else:
                self.counts.downloads_failed += 1
                transfer.problem = reason = effect.body["message"]
                self.ledger.download_failed(key, reason=reason, size_bytes=transfer.received_bytes, duration_s=duration_s)
        self._moved()


def _json_object(payload: bytes) -> dict[str, object]:
    try:
        data = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _utc_s(expires_at: str) -> float | None:
    """Seconds UTC; None where the text is no moment with an offset."""
    try:
        moment = datetime.fromisoformat(expires_at)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo is not None else None


def _digest(key: str) -> str:
    """What the ledger keeps in a key's place."""
    return hashlib.sha256(key.encode()).hexdigest()[:24]
