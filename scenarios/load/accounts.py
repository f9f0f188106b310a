"""The books of a run over several workers: what each has announced, what each has handed in, and what becomes of those that died.

A worker announces each command before it sends it. One that hands in its ledger is believed; of one that dies its announced commands stay,
as unknown: nobody can say any more what became of them. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from simulators.fleet.entries import RUN_OVER
from simulators.fleet.judgement import Circumstances, together
from simulators.fleet.ledger import Ledger, merge
from simulators.fleet.totals import is_of_another_run

Tell: TypeAlias = Callable[[str, str, float, str], None]
"""Told of what shall be a request entry: type, name, duration in seconds, and a problem or ""."""

Announcement: TypeAlias = tuple[str, str, str, float]
"""A command about to leave: correlation, device, command, instant."""


class ToldLedger(Ledger):
    """A ledger that tells of deliveries and downloads as they are entered."""

    def __init__(self, *, late_after_s: float, tell: Tell, download_over: Callable[[str], None]) -> None:
        """`download_over` is called with the device when one of its downloads has ended, either way."""
        super().__init__(late_after_s=late_after_s)
        self._tell = tell
        self._download_over = download_over

    def delivered(self, correlation: str, *, device_id: str, at_s: float) -> float | None:
        latency_s = super().delivered(correlation, device_id=device_id, at_s=at_s)
        if latency_s is None and is_of_another_run(correlation, self.entries):
            return None
        if latency_s is None:
            self._tell("MQTT", "delivery", 0.0, "unexpected: no send explains it")
        else:
            again = self.entries[correlation].deliveries > 1
            self._tell("MQTT", "delivery", latency_s, "delivered again" if again else "")
        return latency_s

    def downloaded(self, key: str, *, size_bytes: int, duration_s: float) -> None:
        super().downloaded(key, size_bytes=size_bytes, duration_s=duration_s)
        self._tell("HTTP", "download", duration_s, "")
        self._download_over(self.keys[key].device_id)

    def download_failed(self, key: str, *, reason: str, size_bytes: int, duration_s: float) -> None:
        super().download_failed(key, reason=reason, size_bytes=size_bytes, duration_s=duration_s)
        if reason != RUN_OVER:
            self._tell("HTTP", "download", duration_s, reason)
            self._download_over(self.keys[key].device_id)


@dataclass(slots=True)
class WorkerBook:
    """One worker as the master knows it. `beside` stands beside the ledger that it handed in."""

    announced: list[Announcement] = field(default_factory=list)
    ledger: Ledger | None = None
    beside: Circumstances = field(default_factory=Circumstances)

    def account(self) -> Ledger:
        """Its ledger, or what can be said without it."""
        if self.ledger is not None:
            return self.ledger
        ledger = Ledger()
        for correlation, device_id, command, at_s in self.announced:
            ledger.sent(correlation, device_id=device_id, command=command, at_s=at_s)
        return ledger


class Accounts:
    """All workers of a run."""

    def __init__(self, late_after_s: float) -> None:
        self._late_after_s = late_after_s
        self.books: dict[str, WorkerBook] = {}

    def deal(self, worker_ids: Sequence[str]) -> None:
        """These take part."""
        self.books = {worker_id: WorkerBook() for worker_id in worker_ids}

    def announced(self, worker_id: str, record: Announcement) -> None:
        """A worker is about to send; one that joined late takes part from here on."""
        self.books.setdefault(worker_id, WorkerBook()).announced.append(record)

    def handed_in(self, worker_id: str, ledger: Mapping[str, Any], beside: Mapping[str, Any]) -> None:
        """A worker's account, as `Crew.account` gives it. Raises KeyError, TypeError or ValueError where it is none."""
        book = self.books.setdefault(worker_id, WorkerBook())
        book.ledger, book.beside = Ledger.from_json(dict(ledger)), Circumstances(**beside)

    def missing(self) -> list[str]:
        """The workers that have not handed in their ledger."""
        return [worker_id for worker_id, book in self.books.items() if book.ledger is None]

    def merged(self) -> Ledger:
        """One ledger of all."""
        ledger = merge(book.account() for book in self.books.values())
        ledger.late_after_s = self._late_after_s
        return ledger

    def circumstances(self) -> Circumstances:
        """What stands beside the ledgers of all workers."""
        return together(book.beside for book in self.books.values())
