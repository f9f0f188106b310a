"""Requirement families as a report shows them: their titles, and their order."""

from collections.abc import Mapping
from types import MappingProxyType

from harness.requirements import FAMILIES

# Statements of the standard that no row of the catalogue repeats; a broker's self-check cites them as MQTT-….
_TITLES: Mapping[str, str] = MappingProxyType({**FAMILIES, "MQT": "MQTT 3.1.1"})


def family_title(family: str) -> str:
    """What a reader calls the family of a check (`CheckResult.family`)."""
    return _TITLES.get(family, "Other")


def family_rank(family: str) -> int:
    """Its place: the catalogue's families in their order, then the standard, then what belongs to none."""
    return list(_TITLES).index(family) if family in _TITLES else len(_TITLES)
