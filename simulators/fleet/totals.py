"""What the ledger's lines add up to: the two partitions, the figures of the keys, and the names of what went wrong.

Downloads carry no correlation, only keys: the keys of a device are counted against its download commands, first those that were accepted,
then those without an answer, then the refused ones. Blind spot: a download that was refused and published all the same hides one that was
accepted and lost.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from typing import Any

from simulators.fleet.entries import RUN_OVER, Answer, Column, Entry, KeyRecord, Stray

RED_COLUMNS = ("duplicated", "lost", "unexpected")
"""What turns a ledger red (interfaces.md)."""

NAMED_MAX = 50
"""How many commands of one column a summary names."""

RED_COLUMNS = ("duplicated", "lost", "unexpected")
"""The columns of which a single command makes a run red."""

DOWNLOAD = "download:"
FOREIGN = "foreign:"
LEFT_OVER = "an older download to "
"""The beginnings of what stands in the place of a correlation for messages that carry none of ours."""

_BINDING_ORDER = (Answer.ACCEPTED, Answer.UNKNOWN, Answer.REFUSED)


@dataclass(frozen=True, slots=True)
class Totals:
    """The ledger's figures. `named` holds some correlations of each column that somebody will ask about.

    `left_over`: deliveries of commands with a correlation of another run, which an earlier one has left in the devices' sessions. They
    are no fault of the target, and in no column.
    """

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
    left_over: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    named: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_green(self) -> bool:
        """Whether nothing was lost, doubled or unexplained."""
        return not any(getattr(self, column) for column in RED_COLUMNS)

    def adds_up(self) -> bool:
        """Whether both partitions hold."""
        accepted = self.delivered_once + self.duplicated + self.lost + self.not_owed
        return self.sent == self.refused + self.accepted + self.unknown and self.accepted == accepted

    def to_json(self) -> dict[str, Any]:
        """The figures under their names in interfaces.md."""
        names = ("sent", "refused", "accepted", "unknown", "delivered_once", "late", "duplicated", "lost", "not_owed", "unexpected")
        figures: dict[str, Any] = {name: getattr(self, name) for name in (*names, "left_over")}
        return figures | {"keys": self.keys, "named": self.named, "green": self.is_green}


def download_correlation(device_id: str, number: int) -> str:
    """The correlation of a device's download command number `number` (from 1)."""
    return f"{DOWNLOAD}{device_id}:{number}"


def totals_of(entries: Mapping[str, Entry], strays: Counter[Stray], keys: Iterable[KeyRecord], *, late_after_s: float) -> Totals:
    """The partition of `entries`. What is still on its way counts as lost: to be asked when everything had its time."""
    entries, strays = _with_downloads_bound(entries, strays)
    columns = Counter(entry.column() for entry in entries.values())
    once = (entry for entry in entries.values() if entry.column() is Column.DELIVERED_ONCE)
    left_over = sum(count for stray, count in strays.items() if is_of_another_run(stray.correlation, entries))
    return Totals(
        sent=len(entries),
        refused=columns[Column.REFUSED],
        accepted=len(entries) - columns[Column.REFUSED] - columns[Column.UNKNOWN],
        unknown=columns[Column.UNKNOWN],
        delivered_once=columns[Column.DELIVERED_ONCE],
        late=sum(entry.is_late(late_after_s) for entry in once),
        duplicated=columns[Column.DUPLICATED],
        lost=columns[Column.LOST],
        not_owed=columns[Column.NOT_OWED],
        unexpected=sum(entry.unexpected() for entry in entries.values()) + strays.total() - left_over,
        left_over=left_over,
        keys=_key_totals(list(keys)),
        named=_named(entries, strays),
    )


def is_of_another_run(correlation: str, entries: Container[str]) -> bool:
    """Whether another run of ours has sent it: it carries a correlation of our making, which this run has not."""
    return not correlation.startswith((DOWNLOAD, FOREIGN)) and correlation not in entries


def _with_downloads_bound(entries: Mapping[str, Entry], strays: Counter[Stray]) -> tuple[Mapping[str, Entry], Counter[Stray]]:
    """Entries and strays with each device's keys counted against its download commands, in the order that the module tells."""
    by_device: dict[str, list[str]] = {}
    for correlation, entry in entries.items():
        if correlation.startswith(DOWNLOAD):
            by_device.setdefault(entry.device_id, []).append(correlation)
    in_doubt = {
        device_id: downloads
        for device_id, downloads in by_device.items()
        if any(entries[correlation].answer is not Answer.ACCEPTED for correlation in downloads)
    }
    if not in_doubt:
        return entries, strays
    bound, left = dict(entries), Counter(strays)
    for device_id, downloads in in_doubt.items():
        arrivals = [(entry.deliveries, entry.delivered_at_s) for entry in map(entries.__getitem__, downloads) if entry.deliveries]
        for number in range(len(downloads) + 1, len(downloads) + 1 + len(strays)):
            if not (count := left.pop(Stray(download_correlation(device_id, number), device_id), 0)):
                break
            arrivals.append((count, None))
        bound |= _bound([(correlation, entries[correlation]) for correlation in downloads], arrivals)
        for number, (count, _) in enumerate(arrivals[len(downloads) :], len(downloads) + 1):
            left[Stray(download_correlation(device_id, number), device_id)] = count
    return bound, left


def _bound(downloads: list[tuple[str, Entry]], arrivals: list[tuple[int, float | None]]) -> Iterator[tuple[str, Entry]]:
    """The download commands of one device, each with the deliveries of the key that is counted against it."""
    ordered = sorted(downloads, key=lambda download: _BINDING_ORDER.index(download[1].answer))
    came = chain(arrivals, repeat((0, None)))
    for (correlation, entry), (deliveries, at_s) in zip(ordered, came, strict=False):
        yield correlation, replace(entry, deliveries=deliveries, delivered_at_s=at_s)


def _key_totals(keys: list[KeyRecord]) -> dict[str, int]:
    return {
        "issued": len(keys),
        "used": sum(record.used > 0 for record in keys),
        "refused": sum(bool(record.refused) for record in keys),
        "expired": sum(record.is_expired for record in keys),
        "cut": sum(record.cut not in ("", RUN_OVER) for record in keys),
        "unfinished": sum(record.cut == RUN_OVER for record in keys),
        "unused": sum(record.is_untouched() for record in keys),
        "used_twice": sum(record.used > 1 for record in keys),
        "bytes": sum(record.size_bytes for record in keys),
    }


def _named(entries: Mapping[str, Entry], strays: Counter[Stray]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for correlation, entry in entries.items():
        for word in _words(entry):
            _name(named, word, f"{correlation} ({entry.command} to {entry.device_id})")
    for correlation, device_id in strays:
        text = f"{FOREIGN}{correlation} at {device_id}" if correlation in entries else correlation
        _name(named, "left_over" if is_of_another_run(correlation, entries) else "unexpected", text)
    return named


def _words(entry: Entry) -> list[str]:
    """The red words that a command earns."""
    column = entry.column()
    words = [column.value] if column in (Column.DUPLICATED, Column.LOST) else []
    return [*words, "unexpected"] if entry.unexpected() else words


def _name(named: dict[str, list[str]], word: str, text: str) -> None:
    names = named.setdefault(word, [])
    if len(names) < NAMED_MAX:
        names.append(text)
