"""The lines of the ledger: one per command, one per download key. Values only; what they add up to stands in `totals`."""

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, NamedTuple


class Answer(Enum):
    """What the sender learnt of a command."""

    UNKNOWN = "unknown"  # no answer seen, or nobody to see what came of it
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

    def may_arrive(self) -> bool:
        """Whether it has not been delivered, but was accepted, or may have been."""
        return not self.deliveries and self.column() in (Column.LOST, Column.UNKNOWN)

    def give_up(self) -> None:
        """Nobody can say any more whether it arrives: that it did not is no loss."""
        if self.column() is Column.LOST:
            self.answer = Answer.UNKNOWN

    def unexpected(self) -> int:
        """Deliveries that this send does not explain."""
        if self.answer is Answer.ACCEPTED:
            return 0
        return max(0, self.deliveries - (self.answer is Answer.UNKNOWN))

    def is_late(self, limit_s: float) -> bool:
        """Whether it was delivered, but more than `limit_s` after it was sent."""
        return self.delivered_at_s is not None and self.delivered_at_s - self.sent_at_s > limit_s

    def to_json(self) -> list[Any]:
        return [self.device_id, self.command, self.sent_at_s, self.answer.value, self.is_owed, self.deliveries, self.delivered_at_s]

    @classmethod
    def from_json(cls, record: list[Any]) -> "Entry":
        """Raises TypeError or ValueError for what `to_json` did not write."""
        device_id, command, sent_at_s, answer, is_owed, deliveries, delivered_at_s = record
        return cls(device_id, command, sent_at_s, Answer(answer), is_owed, deliveries, delivered_at_s)


class Stray(NamedTuple):
    """A delivery for which no send is known (yet), or none to this device."""

    correlation: str
    device_id: str


RUN_OVER = "the run was over"
"""Why a download was cut that had not ended when its run did."""


@dataclass(slots=True)
class KeyRecord:
    """One download key as its device saw it: offered, asked for, and how its last download ended. The key itself is never kept."""

    device_id: str
    number: int = 0  # the device's n-th distinct key
    offered_at_s: float = 0.0
    expires_at: str = ""  # as the command said
    used: int = 0  # complete downloads
    refused: str = ""  # the last refusal, as the device was told
    is_expired: bool = False  # it died unused
    size_bytes: int = 0  # of the file, or what had come of it when the download was cut
    duration_s: float = 0.0
    cut: str = ""  # why the last download ended in its midst; "" where it did not

    def is_untouched(self) -> bool:
        """Whether its device never came to ask for it."""
        return not (self.used or self.refused or self.cut or self.is_expired)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
