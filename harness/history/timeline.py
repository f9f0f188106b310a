"""A recorded run, ready to be asked: the events in order, and the views of them that most checks want."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from harness.errors import JournalError
from harness.history.events import (
    ClockAdvanced,
    Event,
    Fact,
    HttpEnded,
    HttpRequest,
    HttpResponse,
    MqttDelivered,
    MqttPacket,
    RunStarted,
    ScenarioEnded,
    ScenarioStarted,
    Stimulus,
    header_of,
)
from harness.wire.commands import DownloadOffer, download_key, parse_download_offer
from harness.wire.json_values import read_json
from harness.wire.topics import ControlTopic, parse_control_topic

F = TypeVar("F", bound=Fact)


@dataclass(frozen=True, slots=True)
class Seen(Generic[F]):
    """An event whose fact is of a known kind."""

    event: Event
    fact: F

    @property
    def line(self) -> int:
        return self.event.line

    @property
    def at_s(self) -> float:
        return self.event.at_s


@dataclass(frozen=True)
class Exchange:
    """One HTTP request with what came of it. `response` is None where no status line was seen: maybe it happened."""

    asked: Seen[HttpRequest]
    answered: Seen[HttpResponse] | None
    ended: Seen[HttpEnded] | None

    @property
    def request(self) -> HttpRequest:
        return self.asked.fact

    @property
    def scope(self) -> str:
        return self.asked.event.scope

    @property
    def status(self) -> int | None:
        return self.answered.fact.status if self.answered else None

    @property
    def lines(self) -> tuple[int, ...]:
        """The timeline's lines of this exchange."""
        return tuple(seen.line for seen in (self.asked, self.answered, self.ended) if seen is not None)

    @property
    def is_delivered_whole(self) -> bool:
        """Whether a 200 came with its whole body; a HEAD delivers none."""
        return self.request.method != "HEAD" and self.status == 200 and self.ended is not None and self.ended.fact.complete

    @property
    def was_ended_by_us(self) -> bool:
        """Whether we ended the exchange, or a fault that we injected: then its end says nothing of the other side."""
        return self.ended is not None and self.ended.fact.closed_by in ("us", "fault")

    def sent_header(self, name: str) -> str | None:
        """The request's header of that name, as `header_of` finds it."""
        return header_of(self.request.headers, name)

    def header(self, name: str) -> str | None:
        """The response's header of that name, as `header_of` finds it; None where no response came."""
        return header_of(self.answered.fact.headers, name) if self.answered else None

    @property
    def media_type(self) -> str:
        """The media type of the response, in lower case and without parameters; "" where none is named."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def body(self) -> str:
        return self.ended.fact.body if self.ended else ""

    @cached_property
    def sent_json(self) -> Any:
        """The request's body as JSON; None where it is none."""
        return read_json(self.request.body)

    @cached_property
    def body_json(self) -> Any:
        """The response's body as JSON; None where it is none."""
        return read_json(self.body)

    @property
    def command(self) -> str | None:
        """The command's name, of a well-formed command request."""
        name = self.sent_json.get("command") if isinstance(self.sent_json, dict) else None
        return name if isinstance(name, str) else None

    @property
    def file_name(self) -> str | None:
        """The file that a command's data names, where it names one."""
        data = self.sent_json.get("data") if isinstance(self.sent_json, dict) else None
        name = data.get("file_name") if isinstance(data, dict) else None
        return name if isinstance(name, str) else None

    @cached_property
    def key(self) -> str | None:
        """The label of the download key in the URL, if there is just one."""
        return download_key(self.request.url)


@dataclass(frozen=True)
class Delivery:
    """A message that was released to the application of a device that the harness plays."""

    seen: Seen[MqttDelivered]

    @property
    def message(self) -> MqttDelivered:
        return self.seen.fact

    @property
    def line(self) -> int:
        return self.seen.line

    @property
    def topic(self) -> ControlTopic | None:
        return parse_control_topic(self.message.topic)

    @cached_property
    def payload_json(self) -> Any:
        return read_json(self.message.payload)

    @property
    def offer(self) -> DownloadOffer | None:
        return parse_download_offer(self.message.payload.encode())


class History:
    """The events of a run. Immutable; the views are computed once."""

    def __init__(self, events: tuple[Event, ...]) -> None:
        self.events = events
        self._within: dict[str, History] = {}
        self._without: dict[frozenset[str], History] = {}

    @property
    def end_line(self) -> int:
        """The line behind the last event."""
        return self.events[-1].line + 1

    @property
    def start(self) -> RunStarted:
        """The run's first event. Raises JournalError where the history has none."""
        for event in self.events[:1]:
            if isinstance(event.fact, RunStarted):
                return event.fact
        raise JournalError("the history does not start with the event 'run started'")

    def of(self, fact_type: type[F], *, scope: str | None = None) -> Iterator[Seen[F]]:
        """The events of one kind, in order; of one scenario only, if asked."""
        for event in self._by_type.get(fact_type, ()):
            if scope is None or event.scope == scope:
                yield Seen(event, cast(F, event.fact))

    @cached_property
    def _by_type(self) -> dict[type[Any], list[Event]]:
        found: dict[type[Any], list[Event]] = {}
        for event in self.events:
            found.setdefault(type(event.fact), []).append(event)
        return found

    def within(self, scope: str) -> "History":
        """What happened in one scenario, after the run's first event."""
        if scope not in self._within:
            self._within[scope] = History(self.events[:1] + tuple(event for event in self.events[1:] if event.scope == scope))
        return self._within[scope]

    def without(self, scopes: Set[str]) -> "History":
        """What happened outside these scenarios. The same part is the same object, so that its views are computed once.

        A step of the target's clock stays: time has passed for everyone.
        """
        left_out = frozenset(scopes)
        if left_out not in self._without:
            kept = (event for event in self.events if event.scope not in left_out or isinstance(event.fact, ClockAdvanced))
            self._without[left_out] = History(tuple(kept))
        return self._without[left_out]

    @cached_property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every HTTP request with its outcome, in the order in which they were sent."""
        answered = {seen.fact.exchange: seen for seen in self.of(HttpResponse)}
        ended = {seen.fact.exchange: seen for seen in self.of(HttpEnded)}
        return tuple(Exchange(seen, answered.get(seen.fact.exchange), ended.get(seen.fact.exchange)) for seen in self.of(HttpRequest))

    def commands(self) -> Iterator[Exchange]:
        """The calls of the command endpoint."""
        return (exchange for exchange in self.exchanges if exchange.request.endpoint == "command")

    def downloads(self) -> Iterator[Exchange]:
        """The calls of the download endpoint."""
        return (exchange for exchange in self.exchanges if exchange.request.endpoint == "download")

    @cached_property
    def downloads_by_key(self) -> Mapping[str | None, list[Exchange]]:
        """The same by the label of their key; those with none, or with several, under None."""
        by_key: dict[str | None, list[Exchange]] = defaultdict(list)
        for exchange in self.downloads():
            by_key[exchange.key].append(exchange)
        return dict(by_key)

    def lists(self) -> Iterator[Exchange]:
        """The calls of the file list endpoints."""
        return (exchange for exchange in self.exchanges if exchange.request.endpoint == "files")

    @cached_property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Every message that a played device's application got."""
        return tuple(Delivery(seen) for seen in self.of(MqttDelivered))

    def packets(self, packet_type: str, *, device_id: str | None = None) -> Iterator[Seen[MqttPacket]]:
        """The packets of one type (`PUBLISH`, `PUBREC`, …), of one device if asked."""
        for seen in self.of(MqttPacket):
            if seen.fact.type == packet_type and device_id in (None, seen.fact.device_id):
                yield seen

    @cached_property
    def published_by_clients(self) -> frozenset[tuple[str, str]]:
        """Topic and payload of everything that a device of ours published."""
        return frozenset(
            (seen.fact.topic or "", seen.fact.payload or "") for seen in self.packets("PUBLISH") if seen.fact.sent_by == "client"
        )

    def stimuli(self, name: str) -> Iterator[Seen[Stimulus]]:
        """The announcements of that name."""
        return (seen for seen in self.of(Stimulus) if seen.fact.name == name)

    @cached_property
    def problems(self) -> dict[str, str]:
        """Scenario name -> what ended it early: our equipment, the target's reachability, or the end of the record itself."""
        ended = {seen.fact.name: seen.fact.problem for seen in self.of(ScenarioEnded)}
        cut_off = {seen.fact.name: "the record ends before it does" for seen in self.of(ScenarioStarted) if seen.fact.name not in ended}
        return cut_off | {name: problem for name, problem in ended.items() if problem}

    def advanced_s(self, from_line: int, to_line: int) -> float:
        """By how many seconds the target's test clock was moved between two lines of the timeline."""
        return sum(seen.fact.seconds for seen in self.of(ClockAdvanced) if from_line < seen.line < to_line)
