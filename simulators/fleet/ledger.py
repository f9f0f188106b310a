"""The ledger: what happened to every command and every key, as a partition that adds up.

sent = refused + accepted + unknown (no answer seen); accepted = delivered_once + duplicated + lost + not_owed (the device was offline
with a clean session); late is a part of delivered_once; unexpected = deliveries that no send explains. Delivered means released to the
device's application.

A command is matched by a correlation: a text that the sender puts into `data`, or, for a download, the device and the count of its
distinct keys. Ledgers of several processes are merged before anything is judged, since one may have sent what another received. Pure:
instants come in from outside. Source: interfaces.md, "The ledger".
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self

SCHEMA = "hil-ledger/1"

NAMED_MAX = 50
"""How many commands of one column a summary names."""


class Answer(Enum):
    """What the sender learnt of a command."""

    UNKNOWN = "unknown"  # no answer seen: it may have been taken
    ACCEPTED = "accepted"
    REFUSED = "refused"


class Column(Enum):
    """Where a command ends."""

    REFUSED = "refused"
    UNKNOWN = "unknown"
    DELIVERED_ONCE = "delivered_once"
    DUPLICATED = "duplicated"
    LOST = "lost"
    NOT_OWED = "not_owed"


@dataclass(slots=True)
class Entry:
    """One command. Instants in seconds of one monotonic clock; None where it did not happen."""

    device_id: str
    command: str
    sent_at_s: float
    answer: Answer = Answer.UNKNOWN
    is_owed: bool = True
    deliveries: int = 0
    delivered_at_s: float | None = None

    def column(self) -> Column:
        """The one column of this command; further deliveries of one that was refused or never answered are unexpected, not a column."""
        if self.answer is Answer.REFUSED:
            return Column.REFUSED
        if self.answer is Answer.UNKNOWN:
            return Column.UNKNOWN
        if self.deliveries > 1:
            return Column.DUPLICATED
        if self.deliveries == 1:
            return Column.DELIVERED_ONCE
        return Column.LOST if self.is_owed else Column.NOT_OWED

    def unexpected(self) -> int:
        """Deliveries that this send does not explain."""
        if self.answer is Answer.ACCEPTED:
            return 0
        return max(0, self.deliveries - (self.answer is Answer.UNKNOWN))

    def is_late(self, limit_s: float) -> bool:
        """Whether it was delivered, but more than `limit_s` after it was sent."""
        return self.delivered_at_s is not None and self.delivered_at_s - self.sent_at_s > limit_s


@dataclass(slots=True)
class KeyRecord:
    """One download key as its device saw it: offered, asked for, and how that ended."""

    device_id: str
    number: int = 0  # the device's n-th distinct key
    used: int = 0  # complete downloads
    refused: str = ""  # the last refusal, as the device was told
    size_bytes: int = 0
    duration_s: float = 0.0
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Totals:
    """The ledger's figures. `named` holds some correlations of each red column."""

    sent: int = 0
    refused: int = 0
    accepted: int = 0
    unknown: int = 0
    delivered_once: int = 0
    late: int = 0
    duplicated: int = 0
    lost: int = 0
    not_owed: int = 0
    unexpected: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_green(self) -> bool:
        """Whether nothing was lost, doubled or unexplained."""
        return not (self.duplicated or self.lost or self.unexpected)

    def adds_up(self) -> bool:
        """Whether both partitions hold."""
        accepted = self.delivered_once + self.duplicated + self.lost + self.not_owed
        return self.sent == self.refused + self.accepted + self.unknown and self.accepted == accepted

    def to_json(self) -> dict[str, Any]:
        """The figures under their names in interfaces.md."""
        names = ("sent", "refused", "accepted", "unknown", "delivered_once", "late", "duplicated", "lost", "not_owed", "unexpected")
        return {name: getattr(self, name) for name in names} | {"keys": self.keys, "named": self.named, "green": self.is_green}


class Ledger:
    """The books of one process, or of several after `merge`."""

    def __init__(self, *, late_after_s: float = 10.0) -> None:
        self.late_after_s = late_after_s
        self.entries: dict[str, Entry] = {}
        self.strays: Counter[str] = Counter()  # deliveries by correlation for which no send is known (yet)
        self.keys: dict[str, KeyRecord] = {}
        self._offers: Counter[str] = Counter()  # distinct download keys seen, by device

    # -------------------------------------------------------------------------------- what senders report

    def sent(self, correlation: str, *, device_id: str, command: str, at_s: float, is_owed: bool = True) -> None:
        """A command is about to leave. Raises ValueError where the correlation is in use: the sender's mistake."""
        if correlation in self.entries:
            raise ValueError(f"correlation {correlation!r} was sent before")
        self.entries[correlation] = Entry(device_id, command, at_s, is_owed=is_owed, deliveries=self.strays.pop(correlation, 0))

    def answered(self, correlation: str, answer: Answer) -> None:
        """The sender has an answer (or, with UNKNOWN, gave up waiting for one)."""
        self.entries[correlation].answer = answer

    def not_owed(self, correlation: str) -> None:
        """The device was offline with a clean session when the command was accepted: nobody promised its delivery."""
        self.entries[correlation].is_owed = False

    # -------------------------------------------------------------------------------- what devices report

    def delivered(self, correlation: str, *, at_s: float) -> float | None:
        """A command was released to a device's application; returns the seconds since it was sent, None where that is not known here."""
        entry = self.entries.get(correlation)
        if entry is None:
            self.strays[correlation] += 1
            return None
        entry.deliveries += 1
        if entry.delivered_at_s is None:
            entry.delivered_at_s = at_s
        return at_s - entry.sent_at_s

    def offered(self, key: str, *, device_id: str, at_s: float) -> float | None:
        """A download command with this key was released: the n-th distinct key of a device answers its n-th download command.

        Returns the seconds since it was sent, None where that is not known here.
        """
        if key not in self.keys:
            self._offers[device_id] += 1
            self.keys[key] = KeyRecord(device_id, number=self._offers[device_id])
        return self.delivered(download_correlation(device_id, self.keys[key].number), at_s=at_s)

    def downloaded(self, key: str, *, size_bytes: int, duration_s: float) -> None:
        """A complete, verified download."""
        record = self.keys[key]
        record.used += 1
        record.size_bytes, record.duration_s = size_bytes, duration_s

    def download_failed(self, key: str, *, reason: str, duration_s: float) -> None:
        """A download that ended without an image; `reason` as the device's result says it."""
        record = self.keys[key]
        record.duration_s = duration_s
        record.refused = reason if reason.startswith("HTTP status") else record.refused
        record.is_cut = not reason.startswith("HTTP status")

    def last_delivery_s(self) -> float | None:
        """The instant of the last delivery of a command that was sent from here; None where there was none."""
        return max((entry.delivered_at_s for entry in self.entries.values() if entry.delivered_at_s is not None), default=None)

    # -------------------------------------------------------------------------------- the books

    def totals(self) -> Totals:
        """The partition. What is still on its way counts as lost: call it when everything had its time."""
        columns: Counter[Column] = Counter()
        named: dict[str, list[str]] = {}
        late = unexpected = 0
        for correlation, entry in self.entries.items():
            column = entry.column()
            columns[column] += 1
            late += column is Column.DELIVERED_ONCE and entry.is_late(self.late_after_s)
            unexpected += entry.unexpected()
            if column is not Column.DELIVERED_ONCE:
                for red in _red_words(column, entry):
                    _name(named, red, f"{correlation} ({entry.command} to {entry.device_id})")
        for correlation in self.strays:
            _name(named, "unexpected", correlation)
        return Totals(
            sent=len(self.entries),
            refused=columns[Column.REFUSED],
            accepted=len(self.entries) - columns[Column.REFUSED] - columns[Column.UNKNOWN],
            unknown=columns[Column.UNKNOWN],
            delivered_once=columns[Column.DELIVERED_ONCE],
            late=late,
            duplicated=columns[Column.DUPLICATED],
            lost=columns[Column.LOST],
            not_owed=columns[Column.NOT_OWED],
            unexpected=unexpected + self.strays.total(),
            keys=self._key_totals(),
            named=named,
        )

    def _key_totals(self) -> dict[str, int]:
        return {
            "issued": len(self.keys),
            "used": sum(record.used > 0 for record in self.keys.values()),
            "refused": sum(bool(record.refused) for record in self.keys.values()),
            "cut": sum(record.is_cut for record in self.keys.values()),
            "unused": sum(not record.used and not record.refused and not record.is_cut for record in self.keys.values()),
            "used_twice": sum(record.used > 1 for record in self.keys.values()),
            "bytes": sum(record.size_bytes for record in self.keys.values()),
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, so that ledgers of several processes can be merged later; keys are numbered, never written down."""
        return {
            "schema": SCHEMA,
            "late_after_s": self.late_after_s,
            "entries": {correlation: _entry_to_json(entry) for correlation, entry in self.entries.items()},
            "strays": dict(self.strays),
            "keys": [_key_to_json(record) for record in self.keys.values()],
            "totals": self.totals().to_json(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """What `to_json` wrote; keys come back under numbers. Raises KeyError, TypeError or ValueError for anything else."""
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r}, not {SCHEMA!r}")
        ledger = cls(late_after_s=document["late_after_s"])
        ledger.entries = {correlation: _entry_from_json(record) for correlation, record in document["entries"].items()}
        ledger.strays = Counter(document["strays"])
        ledger.keys = {f"{record['device_id']}#{number}": KeyRecord(**record) for number, record in enumerate(document["keys"])}
        return ledger


def download_correlation(device_id: str, number: int) -> str:
    """The correlation of a device's download command number `number` (from 1)."""
    return f"download:{device_id}:{number}"


def merge(ledgers: Iterable[Ledger]) -> Ledger:
    """One ledger of several: what one sent and another received finds together. Raises ValueError where two sent the same correlation."""
    merged = Ledger()
    for ledger in ledgers:
        merged.late_after_s = ledger.late_after_s
        doubled = merged.entries.keys() & ledger.entries.keys()
        if doubled:
            raise ValueError(f"two processes sent correlation {min(doubled)!r}")
        merged.entries |= {correlation: _copy(entry) for correlation, entry in ledger.entries.items()}
        merged.strays += ledger.strays
        merged.keys |= ledger.keys
    for correlation in [correlation for correlation in merged.strays if correlation in merged.entries]:
        merged.entries[correlation].deliveries += merged.strays.pop(correlation)
    return merged


def _copy(entry: Entry) -> Entry:
    return _entry_from_json(_entry_to_json(entry))


def _red_words(column: Column, entry: Entry) -> list[str]:
    words = [column.value] if column in (Column.DUPLICATED, Column.LOST) else []
    return [*words, "unexpected"] if entry.unexpected() else words


def _name(named: dict[str, list[str]], word: str, text: str) -> None:
    names = named.setdefault(word, [])
    if len(names) < NAMED_MAX:
        names.append(text)


def _entry_to_json(entry: Entry) -> list[Any]:
    return [entry.device_id, entry.command, entry.sent_at_s, entry.answer.value, entry.is_owed, entry.deliveries, entry.delivered_at_s]


def _entry_from_json(record: list[Any]) -> Entry:
    device_id, command, sent_at_s, answer, is_owed, deliveries, delivered_at_s = record
    return Entry(device_id, command, sent_at_s, Answer(answer), is_owed, deliveries, delivered_at_s)


def _key_to_json(record: KeyRecord) -> dict[str, Any]:
    return {
        "device_id": record.device_id,
        "number": record.number,
        "used": record.used,
        "refused": record.refused,
        "size_bytes": record.size_bytes,
        "duration_s": record.duration_s,
        "is_cut": record.is_cut,
    }
