"""What a requirement is. The rows themselves stand beside this file, one module per family."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """What breaking a requirement means: FAIL, WARNING, or a deviation from our reading of a silent or contradictory source."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    READ = "READ"


class Side(Enum):
    """Who has to keep a requirement."""

    PLATFORM = "P"
    DEVICE = "D"
    BROKER = "B"


SOURCES = {
    "C": "Send command to device",
    "D": "Download device file",
    "L": "List device files",
    "O": "the OpenAPI documents",
    "M": "MQTT 3.1.1 (OASIS); the numbers are its normative statements",
    "R": "RFC 9110",
    "I": "inferred: what a careful engineer expects",
}


def row_of(requirement_id: str) -> str:
    """The row of the specification that an id belongs to, `CMD-21` for `CMD-21a`: the six characters that outside programs match on."""
    return requirement_id[:6]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One normative statement with one level.

    `id` is the row's six characters (`CMD-21`), with a letter behind them where the row says several things (`CMD-21a`). `source` holds
    the letters of `SOURCES` with their clauses. `reading` says how our reference understands what the source leaves open. `hardening`
    marks what is not in the source; it becomes MUST where a target or device file asks for it. `unjudged` says why no check can judge
    the row from outside; empty where one does.
    """

    id: str
    level: Level
    sides: tuple[Side, ...]
    statement: str
    source: str
    reading: str = ""
    hardening: bool = False
    unjudged: str = ""

    @property
    def row(self) -> str:
        return row_of(self.id)

    @property
    def family(self) -> str:
        """`CMD`, `KEY`, `DLD`, `LST`, `DEV` or `BRK`."""
        return self.id[:3]
