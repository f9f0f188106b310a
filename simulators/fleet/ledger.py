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
from dataclasses import replace
from typing import Any, Self

from simulators.fleet.entries import Answer, Entry, KeyRecord, Stray
from simulators.fleet.totals import LEFT_OVER, Totals, download_correlation, totals_of

SCHEMA = "hil-ledger/1"


class Ledger:
    """The books of one process, or of several after `merge`."""

    def __init__(self, *, late_after_s: float = 10.0) -> None:
        self.late_after_s = late_after_s
        self.entries: dict[str, Entry] = {}
        self.strays: Counter[Stray] = Counter()
        self.keys: dict[str, KeyRecord] = {}
        self._offers: Counter[str] = Counter()  # distinct download keys seen, by device
        # Of devices with clean sessions, and of those that have had none yet: what was sent into the present one; None: there is none.
        self._sessions: dict[str, list[Entry] | None] = {}
        self._out_of_sight: set[str] = set()  # devices whose deliveries nobody sees any more

    # -------------------------------------------------------------------------------- what senders report

    def sent(self, correlation: str, *, device_id: str, command: str, at_s: float, is_owed: bool = True) -> None:
        """A command is about to leave. Raises ValueError where the correlation is in use: the sender's mistake."""
        if correlation in self.entries:
            raise ValueError(f"correlation {correlation!r} was sent before")
        entry = Entry(device_id, command, at_s, is_owed=is_owed, deliveries=self.strays.pop(Stray(correlation, device_id), 0))
        self.entries[correlation] = entry
        if device_id in self._sessions:
            into = self._sessions[device_id]
            entry.is_owed = is_owed and into is not None
            if into is not None:
                into.append(entry)

    def answered(self, correlation: str, answer: Answer) -> None:
        """The sender has an answer (or, with UNKNOWN, gave up waiting for one)."""
        entry = self.entries[correlation]
        entry.answer = answer
        if entry.device_id in self._out_of_sight:
            entry.give_up()

    # -------------------------------------------------------------------------------- what devices report

    def session_began(self, device_id: str) -> None:
        """A device with a clean session is listening: what is sent from now on is owed to it."""
        self._sessions[device_id] = []

    def session_kept(self, device_id: str) -> None:
        """A device has got a session that outlives its connections: whatever is sent from now on is owed to it."""
        self._sessions.pop(device_id, None)

    def session_ended(self, device_id: str) -> None:
        """A device has no session: what it has not got by now is not owed, nor what is sent before the next."""
        for entry in self._sessions.get(device_id) or ():
            entry.is_owed = entry.is_owed and entry.deliveries > 0
        self._sessions[device_id] = None

    def delivered(self, correlation: str, *, device_id: str, at_s: float) -> float | None:
        """A command was released to a device's application; returns the seconds since it was sent, None where that is not known here."""
        entry = self.entries.get(correlation)
        if entry is None or entry.device_id != device_id:
            self.strays[Stray(correlation, device_id)] += 1
            return None
        entry.deliveries += 1
        if entry.delivered_at_s is None:
            entry.delivered_at_s = at_s
        return at_s - entry.sent_at_s

    def offered(self, key: str, *, device_id: str, at_s: float, expires_at: str = "", is_old: bool = False) -> float | None:
        """A download command with this key was released: the n-th distinct key of a device answers its n-th download command.

        `is_old`: it was issued before this run, whose own downloads it then does not answer. Returns the seconds since it was sent,
        None where that is not known here.
        """
        if key not in self.keys:
            is_left_over = is_old and download_correlation(device_id, 1) not in self.entries
            self._offers[device_id] += not is_left_over
            number = 0 if is_left_over else self._offers[device_id]
            self.keys[key] = KeyRecord(device_id, number, at_s, expires_at)
        if not self.keys[key].number:
            self.strays[Stray(f"{LEFT_OVER}{device_id}", device_id)] += 1
            return None
        return self.delivered(download_correlation(device_id, self.keys[key].number), device_id=device_id, at_s=at_s)

    def downloaded(self, key: str, *, size_bytes: int, duration_s: float) -> None:
        """A complete, verified download."""
        record = self.keys[key]
        record.used += 1
        record.size_bytes, record.duration_s = size_bytes, duration_s

    def download_failed(self, key: str, *, reason: str, size_bytes: int, duration_s: float) -> None:
        """A download that ended without an image, after `size_bytes` of its body; `reason` as the device's result says it."""
        record = self.keys[key]
        if not record.used:  # A second try with a used key does not undo the first.
            record.size_bytes, record.duration_s = size_bytes, duration_s
        if reason.startswith("HTTP status"):
            record.refused = reason
        else:
            record.cut = reason

    def lost_sight(self, device_id: str) -> None:
        """Nobody sees any more what this device is delivered, as its program has crashed: what it has not got by now is unknown."""
        self._out_of_sight.add(device_id)
        for entry in self.entries.values():
            if entry.device_id == device_id:
                entry.give_up()

    def cut_short(self, *, sent_after_s: float) -> None:
        """The run ends before its time: what was sent after this instant and has not arrived might have done so yet; it is unknown."""
        for entry in self.entries.values():
            if entry.sent_at_s > sent_after_s:
                entry.give_up()

    def last_delivery_s(self) -> float | None:
        """The instant of the last delivery of a command that was sent from here; None where there was none."""
        return max((entry.delivered_at_s for entry in self.entries.values() if entry.delivered_at_s is not None), default=None)

    # -------------------------------------------------------------------------------- the books

    def totals(self) -> Totals:
        """The partition. What is still on its way counts as lost: call it when everything had its time."""
        return totals_of(self.entries, self.strays, self.keys.values(), late_after_s=self.late_after_s)

    def to_json(self) -> dict[str, Any]:
        """Everything, so that ledgers of several processes can be merged later; keys are numbered, never written down."""
        return {
            "schema": SCHEMA,
            "late_after_s": self.late_after_s,
            "entries": {correlation: entry.to_json() for correlation, entry in self.entries.items()},
            "strays": [[*stray, count] for stray, count in self.strays.items()],
            "keys": [record.to_json() for record in self.keys.values()],
            "totals": self.totals().to_json(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """What `to_json` wrote; keys come back under numbers. Raises KeyError, TypeError or ValueError for anything else."""
        if document["schema"] != SCHEMA:
            raise ValueError(f"schema {document['schema']!r}, not {SCHEMA!r}")
        ledger = cls(late_after_s=document["late_after_s"])
        ledger.entries = {correlation: Entry.from_json(record) for correlation, record in document["entries"].items()}
        ledger.strays = Counter({Stray(correlation, device_id): count for correlation, device_id, count in document["strays"]})
        ledger.keys = {f"{record['device_id']}#{number}": KeyRecord(**record) for number, record in enumerate(document["keys"])}
        return ledger


def merge(ledgers: Iterable[Ledger]) -> Ledger:
    """One ledger of several: what one sent and another received finds together. Raises ValueError where two sent the same correlation."""
    merged = Ledger()
    for number, ledger in enumerate(ledgers):
        merged.late_after_s = ledger.late_after_s
        doubled = merged.entries.keys() & ledger.entries.keys()
        if doubled:
            raise ValueError(f"two processes sent correlation {min(doubled)!r}")
        merged.entries |= {correlation: replace(entry) for correlation, entry in ledger.entries.items()}
        merged.strays += ledger.strays
        merged.keys |= {f"{number}/{key}": record for key, record in ledger.keys.items()}
    for stray in list(merged.strays):
        entry = merged.entries.get(stray.correlation)
        if entry is not None and entry.device_id == stray.device_id:
            entry.deliveries += merged.strays.pop(stray)
    return merged
