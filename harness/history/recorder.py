"""Writes down what happens, in the one order in which it was seen.

All ports of a bench share one recorder. The scope (which scenario is at work) travels with the asyncio task, so that a driver need not
know it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from harness.clock import Clock
from harness.history.events import BASE64_PREFIX, Event, Fact, SecretSeen, bytes_of, text_of
from harness.history.redaction import Redactor
from harness.history.texts import translated
from harness.history.timeline import History

_SCOPE: ContextVar[str] = ContextVar("scope", default="")


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Everything that this task, and the tasks it starts, records inside belongs to the scenario `name`."""
    token = _SCOPE.set(name)
    try:
        yield
    finally:
        _SCOPE.reset(token)


class EventSink(Protocol):
    """Where events go besides memory: a journal file, a live view."""

    def write(self, event: Event) -> None: ...


class Recorder:
    """Stamps facts with time, line and scope, replaces secrets by labels, keeps the events and hands them to the sinks."""

    def __init__(self, clock: Clock, *, sinks: tuple[EventSink, ...] = ()) -> None:
        self._clock = clock
        self._sinks = sinks
        self._events: list[Event] = []
        self._numbers = 0
        self._early: list[SecretSeen] = []
        self._is_over = False
        self.redactor = Redactor(self._record_secret)

    def record(self, fact: Fact, *, in_scope: str | None = None) -> Event:
        """Appends a fact and returns its event. Every text in it, at any depth, is freed of secrets first.

        `in_scope` is for ports that are called outside a scenario's task, as a server's connections are, and know whose they are.
        """
        event = self._append(translated(fact, self._without_secrets), in_scope)
        while self._early:
            self._append(self._early.pop(0), "")
        return event

    def add_sink(self, sink: EventSink) -> None:
        """From here on `sink` gets every event."""
        self._sinks += (sink,)

    def next_number(self) -> int:
        """A number for a new connection or exchange, unique in the run."""
        self._numbers += 1
        return self._numbers

    def close(self) -> None:
        """The run is over: what equipment still reports while it is put away is nobody's evidence, and is not kept."""
        self._is_over = True

    def history(self) -> History:
        """All that was recorded so far."""
        return History(tuple(self._events))

    def _without_secrets(self, text: str) -> str:
        # Bodies that are no UTF-8 travel as base64: the secret is inside, where a search of the text would not find it.
        if text.startswith(BASE64_PREFIX):
            try:
                return text_of(self.redactor.bytes_without_secrets(bytes_of(text)))
            except ValueError:
                pass  # Something that only begins like our own form.
        return self.redactor.text_without_secrets(text)

    def _record_secret(self, seen: SecretSeen) -> None:
        # The run's first event stands first, though its own secrets must be known before it is written.
        if self._events:
            self._append(seen)
        else:
            self._early.append(seen)

    def _append(self, fact: Fact, in_scope: str | None = None) -> Event:
        event = Event(
            line=len(self._events) + 1,
            at_s=self._clock.monotonic_s(),
            utc_s=self._clock.utc_s(),
            scope=_SCOPE.get() if in_scope is None else in_scope,
            fact=fact,
        )
        if self._is_over:
            return event
        self._events.append(event)
        for sink in self._sinks:
            sink.write(event)
        return event
