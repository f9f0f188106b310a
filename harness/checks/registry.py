"""How a check is written and found.

A check is a named generator over a history: it yields `kept` for every stimulus whose outcome kept the promise and `broken` for every
one that did not. From that its verdict follows by rule: what was broken takes the level of its requirement; no observation at all is
inconclusive, never green.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TypeAlias

from harness.errors import ScenarioError
from harness.history.timeline import Delivery, Exchange, History, Seen
from harness.requirements import CATALOGUE, rows


@dataclass(frozen=True, slots=True)
class Observation:
    """One stimulus and what came of it. `detail` is empty where the promise was kept.

    `requirement` is the id that was broken, where the check judges several; `hint` names likely causes in real stacks. `is_seen`: whether
    the stimulus showed an outcome at all; if none did, `detail` says why.
    """

    lines: tuple[int, ...]
    detail: str = ""
    requirement: str = ""
    hint: str = ""
    is_seen: bool = True


Judge: TypeAlias = Callable[[History], Iterator[Observation]]
Evidence: TypeAlias = Exchange | Delivery | Seen  # type: ignore[type-arg]


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check. `unseen` says, for an inconclusive verdict, what would make the outcome visible.

    `everywhere`: what it looks for means the same whatever else is done to the subject, so it looks at all scenarios, not at its own only.
    """

    id: str
    title: str
    requirements: tuple[str, ...]
    judge: Judge
    unseen: str
    hint: str
    everywhere: bool = False


_registered: dict[str, Check] = {}


def check(*requirements: str, unseen: str = "", hint: str = "", everywhere: bool = False) -> Callable[[Judge], Judge]:
    """Registers a judge under its own name; its title is its docstring's first line.

    Raises ScenarioError for an id that the catalogue does not have, a missing docstring, or a name that is taken.
    """

    def register(judge: Judge) -> Judge:
        name = judge.__name__
        for requirement in requirements:
            if requirement not in CATALOGUE:
                raise ScenarioError(f"check {name!r} cites {requirement!r}, which the catalogue does not have")
        if name in _registered:
            raise ScenarioError(f"two checks are named {name!r}")
        title = (judge.__doc__ or "").strip().split("\n")[0]
        if not title or not requirements:
            raise ScenarioError(f"check {name!r} has no docstring or cites no requirement")
        unseen_or_nothing = unseen or "nothing in this run showed it"
        _registered[name] = Check(name, title.rstrip("."), requirements, judge, unseen_or_nothing, hint, everywhere)
        return judge

    return register


def all_checks() -> MappingProxyType[str, Check]:
    """Every check of this installation, plug-ins included (entry point group `hil.checks`), by name."""
    for entry in entry_points(group="hil.checks"):
        entry.load()
    return MappingProxyType(_registered)


def names_of_checks() -> frozenset[str]:
    """All that a user may name checks by: their own ids, the requirements that they may cite, and the rows of these."""
    return frozenset((*all_checks(), *CATALOGUE, *rows()))


def kept(*evidence: Evidence) -> Observation:
    """The promise was kept here."""
    return Observation(_lines(evidence))


def broken(detail: str, *evidence: Evidence, requirement: str = "", hint: str = "") -> Observation:
    """The promise was broken here; `detail` shows the offending value and what was allowed."""
    return Observation(_lines(evidence), detail, requirement, hint)


def not_seen(detail: str) -> Observation:
    """The promise was put to the test here, and what came of it cannot be told; `detail` says what the subject did instead."""
    return Observation((), detail, is_seen=False)


def _lines(evidence: tuple[Evidence, ...]) -> tuple[int, ...]:
    lines: set[int] = set()
    for piece in evidence:
        lines.update(piece.lines if isinstance(piece, Exchange) else (piece.line,))
    return tuple(sorted(lines))
