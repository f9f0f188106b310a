"""What each finding teaches: the requirement and where it stands, what was sent, what came back, likely causes, and how to see it again.

`report.json` holds them as its member `findings`; the script that shows a finding without hil stands beside it in the package.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.checks.verdict import CheckResult, Verdict
from harness.history import events as ev
from harness.history.timeline import History
from harness.report.recipe import recipe
from harness.report.wording import words
from harness.requirements import CATALOGUE, SOURCES

SCRIPTS_DIRECTORY = "reproduce"
BROKEN = (Verdict.FAIL, Verdict.WARNING, Verdict.DEVIATION)  # what was seen to be otherwise than it should
_TOLD_MAX = 20


@dataclass(frozen=True, slots=True)
class Cited:
    """A requirement in full: its sentence, the letters of its source with their titles, and our reading of what the source leaves open."""

    id: str
    level: str
    statement: str
    source: str
    source_titles: tuple[str, ...]
    reading: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, told for whoever must mend it. `detail` shows the offending value and what was allowed.

    `sent` and `came_back` are the events of the worst finding in words; `script` is a path in the package, "" where curl and mosquitto_sub
    cannot show it.
    """

    check: str
    verdict: Verdict
    requirements: tuple[Cited, ...]
    detail: str
    likely_causes: str
    sent: tuple[str, ...] = ()
    came_back: tuple[str, ...] = ()
    script: str = ""


def finding_of(check: CheckResult, history: History) -> Finding:
    """The finding behind a check's verdict."""
    events = [history.events[line - 1] for line in check.example if 0 < line <= len(history.events)]
    return Finding(
        check=check.id,
        verdict=check.verdict,
        requirements=tuple(_cited(check)),
        detail=check.detail,
        likely_causes=check.hint,
        sent=tuple(words(event.fact) for event in events if _is_ours(event.fact))[:_TOLD_MAX],
        came_back=tuple(words(event.fact) for event in events if not _is_ours(event.fact))[:_TOLD_MAX],
        script=f"{SCRIPTS_DIRECTORY}/{check.id}.sh" if recipe(history, check.example) else "",
    )


def _cited(check: CheckResult) -> Iterator[Cited]:
    for requirement in (CATALOGUE[id_] for id_ in check.requirements if id_ in CATALOGUE):
        titles = tuple(title for letter, title in SOURCES.items() if letter in _letters(requirement.source))
        level = requirement.level.value
        yield Cited(requirement.id, level, requirement.statement, requirement.source, titles, requirement.reading)


def _letters(source: str) -> set[str]:
    """The letters of `SOURCES` in a source such as `C, M 4.3.3`."""
    return {part.strip()[:1] for part in source.split(",")}


def _is_ours(fact: ev.Fact) -> bool:
    """Whether it is something that we did, and not something that was done to us."""
    if isinstance(fact, ev.MqttPacket):
        return fact.sent_by == "client"
    return isinstance(fact, ev.HttpRequest | ev.Stimulus | ev.HookRun | ev.ClockAdvanced | ev.FaultInjected | ev.MqttOpened)
