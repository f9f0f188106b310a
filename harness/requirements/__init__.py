"""The requirement catalogue: every normative statement of the protocol, with a stable id, its level, side, source and our reading.

A check cites the ids that it judges, a report prints which of them were covered. A row of the specification that says several things is
split into sub-ids, so that each has exactly one level and is not covered by half; a bare row id of such a row is not an id.
"""

from collections.abc import Mapping
from types import MappingProxyType

from harness.requirements.brokers import BROKERS
from harness.requirements.commands import COMMANDS
from harness.requirements.devices import DEVICES
from harness.requirements.downloads import DOWNLOADS
from harness.requirements.keys import KEYS
from harness.requirements.lists import LISTS
from harness.requirements.requirement import SOURCES, Level, Requirement, Side, row_of

__all__ = ["CATALOGUE", "FAMILIES", "SOURCES", "Level", "Requirement", "Side", "find", "row_of", "rows"]

FAMILIES: Mapping[str, str] = MappingProxyType(
    {
        "CMD": "Commands",
        "KEY": "Download keys",
        "DLD": "Download",
        "LST": "File lists",
        "DEV": "Device under test",
        "BRK": "Broker",
    }
)

CATALOGUE: Mapping[str, Requirement] = MappingProxyType(
    {requirement.id: requirement for requirement in (*COMMANDS, *KEYS, *DOWNLOADS, *LISTS, *DEVICES, *BROKERS)}
)


def find(id_or_row: str) -> tuple[Requirement, ...]:
    """The requirement of that id, or all sub-ids of that row (`CMD-21` finds `CMD-21a` and `CMD-21b`); empty for an unknown one."""
    exact = CATALOGUE.get(id_or_row)
    if exact is not None:
        return (exact,)
    return tuple(requirement for requirement in CATALOGUE.values() if requirement.row == id_or_row)


def rows() -> tuple[str, ...]:
    """The rows of the specification (`CMD-01` … `BRK-12`), each once, in its order."""
    return tuple(dict.fromkeys(requirement.row for requirement in CATALOGUE.values()))
