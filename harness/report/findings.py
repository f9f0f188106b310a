"""What each finding teaches: the requirement and where it stands, what was sent, what came back, likely causes, and how to see it again.

`report.json` holds them as its member `findings`; the script that shows a finding without hil stands beside it in the package.
"""

from collections.abc import Iterable, Iterator
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
_OF_THE_BENCH = ev.Stimulus | ev.HookRun | ev.ClockAdvanced | ev.FaultInjected


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

    `sent` and `came_back` are the events of the worst finding in words: what the bench did, and what the subject did. `script` is a path in
    the package, "" where curl and mosquitto_sub cannot show it.
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
    ours, theirs = _by_whom(events, history)
    return Finding(
        check=check.id,
        verdict=check.verdict,
        requirements=tuple(_cited(check)),
        detail=check.detail,
        likely_causes=check.hint,
        sent=tuple(words(event.fact) for event in ours[:_TOLD_MAX]),
        came_back=tuple(words(event.fact) for event in theirs[:_TOLD_MAX]),
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


def _by_whom(events: Iterable[ev.Event], history: History) -> tuple[list[ev.Event], list[ev.Event]]:
    """What the bench did, and what was done to it. For a device the bench is the platform: broker, downloads and all."""
    devices = {seen.fact.name for seen in history.of(ev.ScenarioStarted) if seen.fact.subject == "device"}
    downloads = {exchange.request.exchange for exchange in history.exchanges if exchange.request.endpoint == "download"}
    ours: list[ev.Event] = []
    theirs: list[ev.Event] = []
    for event in events:
        is_ours = _is_served(event.fact, downloads) if event.scope in devices else _is_asked(event.fact)
        (ours if is_ours else theirs).append(event)
    return ours, theirs


def _is_asked(fact: ev.Fact) -> bool:
    """Whether it is something that we did who play devices and operators, and not something that a platform did."""
    if isinstance(fact, ev.MqttPacket):
        return fact.sent_by == "client"
    return isinstance(fact, ev.HttpRequest | ev.MqttOpened | _OF_THE_BENCH)


def _is_served(fact: ev.Fact, downloads: set[int]) -> bool:
    """Whether it is something that we did who play the platform, and not something that a device did."""
    match fact:
        case ev.MqttPacket():
            return fact.sent_by == "server"
        case ev.HttpRequest():
            return fact.exchange not in downloads
        case ev.HttpResponse() | ev.HttpProgress() | ev.HttpEnded():
            return fact.exchange in downloads
        case ev.SerialLine():
            return fact.sent_by == "us"
        case ev.DeviceExited():
            return fact.by_us
    return isinstance(fact, _OF_THE_BENCH)
