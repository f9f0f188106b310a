"""The redacted edition: a package that may leave the house.

Secrets are labels already. Here ids and hosts become labels too, the target and device files are left out, and what was said (bodies,
payloads, console lines, outputs of hooks) gives way to its size. What happened, when, with which status and hash, stays, and so do the
verdicts; but the history cannot be judged again.
"""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from harness.history import events as ev
from harness.history.texts import translated
from harness.history.timeline import History
from harness.report.package import Report

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_DIRECTORIES = re.compile(r"(?<![\w:/])(?:~|\.{0,2})/(?:[^\s/'\"]+/)*(?=[^\s/'\"])")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
# What was said, member by member; everything else is kept, with ids and hosts replaced.
_SPOKEN: dict[type[ev.Fact], tuple[str, ...]] = {
    ev.HttpRequest: ("body",),
    ev.HttpEnded: ("body",),
    ev.MqttPacket: ("payload",),
    ev.MqttDelivered: ("payload",),
    ev.MqttMalformed: ("raw",),
    ev.SerialLine: ("text",),
    ev.HookRun: ("command", "output"),
    ev.Observed: ("value",),
}


def redacted(report: Report, history: History) -> tuple[Report, History]:
    """The report and the history of the redacted edition. The same input gives the same labels."""
    labels = _Labels(history.start)
    events = tuple(replace(event, scope=labels.text(event.scope), fact=_fact(event.fact, labels)) for event in history.events)
    checks = tuple(
        replace(check, detail=labels.text(check.detail), hint=labels.text(check.hint), title=labels.text(check.title))
        for check in report.checks
    )
    # What was sent and came back, and a script with it, is what this edition leaves out.
    findings = tuple(
        replace(
            finding, detail=labels.text(finding.detail), likely_causes=labels.text(finding.likely_causes), sent=(), came_back=(), script=""
        )
        for finding in report.findings
    )
    coverage = replace(report.coverage, not_applicable={id_: labels.text(why) for id_, why in report.coverage.not_applicable.items()})
    run = replace(report.run, command=_without_directories(labels.text(report.run.command)))
    official = report.official and replace(report.official, missing=tuple(labels.text(problem) for problem in report.official.missing))
    updates = {policy: labels.text(outcome) for policy, outcome in report.updates.items()}
    shown = replace(report, run=run, checks=checks, coverage=coverage, findings=findings, official=official, updates=updates)
    return shown, History(events)


class _Labels:
    """Stable labels for what names somebody: those that the run's first event holds, and every other UUID when it turns up."""

    def __init__(self, start: ev.RunStarted) -> None:
        self._labels: dict[str, str] = {}
        for members in (start.target, start.declaration):
            self._name(members.get("devices"), "id", "device")
            self._name(members.get("devices"), "project_id", "project")
            self._name(members.get("projects"), "id", "project")
            self._name([members.get("identity")], "id", "device")
            for url in _texts(members):
                host = urlsplit(url).hostname if "://" in url else None
                if host:
                    self._add(host, "host")

    def text(self, text: str) -> str:
        """`text` with every name replaced by its label."""
        for match in _UUID.findall(text):
            self._add(match, "id")
        for address in _ADDRESS.findall(text):
            self._add(address, "host")
        for name in sorted(self._labels, key=len, reverse=True):
            if name in text:
                text = text.replace(name, self._labels[name])
        return text

    def _name(self, entries: Any, member: str, word: str) -> None:
        for entry in entries if isinstance(entries, list | tuple) else []:
            name = entry.get(member) if isinstance(entry, dict) else None
            if isinstance(name, str) and name:
                self._add(name, word)

    def _add(self, name: str, word: str) -> None:
        if name not in self._labels:
            number = 1 + sum(label.startswith(f"<{word}-") for label in self._labels.values())
            self._labels[name] = f"<{word}-{number}>"


def _fact(fact: ev.Fact, labels: _Labels) -> ev.Fact:
    if isinstance(fact, ev.RunStarted):
        told: ev.RunStarted = translated(replace(fact, target={}, declaration={}), labels.text)
        return replace(told, command=_without_directories(told.command))
    sizes = {name: _size(getattr(fact, name)) for name in _SPOKEN.get(type(fact), ())}
    told_of: ev.Fact = replace(translated(fact, labels.text), **sizes)
    return told_of


def _size(text: str | None) -> str | None:
    return f"<{len(ev.bytes_of(text))} bytes>" if text else text


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for member in members for text in _texts(member)]


def _without_directories(command: str) -> str:
    """File names stay, the directories they stand in do not."""
    return _DIRECTORIES.sub("", command)
