"""One line of words, and one lane, for every kind of fact: how the timeline reads on a page."""

from collections.abc import Iterable
from dataclasses import fields
from enum import Enum
from functools import singledispatch
from typing import Any

from harness.history import events as ev
from harness.wire.urls import host_and_target

_VALUE_MAX = 160


class Lane(Enum):
    """Where on the picture a fact stands."""

    REST = "REST"
    MQTT = "MQTT"
    HTTP = "HTTP"
    SERIAL = "serial"
    BENCH = "bench"


_LANES: dict[type[ev.Fact], Lane] = {
    ev.MqttOpened: Lane.MQTT,
    ev.MqttPacket: Lane.MQTT,
    ev.MqttDelivered: Lane.MQTT,
    ev.MqttMalformed: Lane.MQTT,
    ev.MqttClosed: Lane.MQTT,
    ev.SerialLine: Lane.SERIAL,
}


def lane_of(fact: ev.Fact, rest_exchanges: frozenset[int]) -> Lane:
    """The fact's lane. `rest_exchanges` are the exchanges of the command and list endpoints; all other HTTP is a download's."""
    if isinstance(fact, ev.HttpRequest | ev.HttpResponse | ev.HttpProgress | ev.HttpEnded):
        return Lane.REST if fact.exchange in rest_exchanges else Lane.HTTP
    return _LANES.get(type(fact), Lane.BENCH)


@singledispatch
def words(fact: ev.Fact) -> str:
    """What happened, in one line. Kinds without words of their own are told by their members."""
    told = [f"{field.name}={_short(value)}" for field in fields(fact) if (value := getattr(fact, field.name)) != field.default]
    return f"{ev.kind_of(type(fact))}: {', '.join(told)}"


@words.register
def _(fact: ev.RunStarted) -> str:
    return f"run {fact.run_id} starts: {fact.command}"


@words.register
def _(fact: ev.RunEnded) -> str:
    return "run ends, aborted" if fact.aborted else "run ends"


@words.register
def _(fact: ev.BrokerChecked) -> str:
    kept = sum(promise.verdict == "pass" for promise in fact.promises)
    return f"broker {fact.broker} checked: {kept} of {len(fact.promises)} promises kept"


@words.register
def _(fact: ev.ScenarioStarted) -> str:
    return f"scenario {fact.name} starts"


@words.register
def _(fact: ev.ScenarioEnded) -> str:
    return f"scenario {fact.name} ends" + (f": {fact.problem}" if fact.problem else "")


@words.register
def _(fact: ev.Stimulus) -> str:
    return f"stimulus {fact.name}" + (
        f": {_short(', '.join(f'{name} {value}' for name, value in fact.facts.items()))}" if fact.facts else ""
    )


@words.register
def _(fact: ev.HttpRequest) -> str:
    _, target = host_and_target(fact.url)
    body = f" {_short(fact.body)}" if fact.body else ""
    return f"→ {fact.method} {_short(target)} as {fact.credential}{body}"


@words.register
def _(fact: ev.HttpResponse) -> str:
    return f"← {fact.status}"


@words.register
def _(fact: ev.HttpProgress) -> str:
    return f"… {fact.received_bytes:,} bytes"


@words.register
def _(fact: ev.HttpEnded) -> str:
    whole = "whole body" if fact.complete else "body cut off"
    why = f": {fact.problem}" if fact.problem else ""
    by = f", closed by {fact.closed_by}" if fact.closed_by else ""
    return f"■ {whole}, {fact.received_bytes:,} bytes{by}{why} {_short(fact.body)}".rstrip()


@words.register
def _(fact: ev.MqttOpened) -> str:
    return f"connection {fact.connection} opens"


@words.register
def _(fact: ev.MqttPacket) -> str:
    arrow = "→" if fact.sent_by == "client" else "←"
    flags = [name for name, is_set in (("DUP", fact.dup), ("RETAIN", fact.retain)) if is_set]
    told = [
        f"id {fact.packet_id}" if fact.packet_id is not None else "",
        f"QoS {fact.qos}" if fact.qos is not None else "",
        *flags,
        fact.topic or "",
        _short(fact.payload) if fact.payload is not None else "",
        f"session present {int(fact.session_present)}" if fact.session_present is not None else "",
        f"codes {_listed(fact.return_codes)}" if fact.return_codes is not None else "",
        f"filters {_listed(fact.filters)}" if fact.filters is not None else "",
        f"client {fact.client_id}" if fact.client_id is not None else "",
        f"clean session {int(fact.clean_session)}" if fact.clean_session is not None else "",
        f"keep-alive {fact.keep_alive_s} s" if fact.keep_alive_s is not None else "",
    ]
    return " ".join([arrow, fact.type, *(piece for piece in told if piece)])


@words.register
def _(fact: ev.MqttDelivered) -> str:
    return f"★ delivered {fact.topic} {_short(fact.payload)} QoS {fact.qos}" + (" RETAIN" if fact.retain else "")


@words.register
def _(fact: ev.MqttMalformed) -> str:
    return f"⚠ no MQTT: {fact.problem} [{fact.statement}]"


@words.register
def _(fact: ev.MqttClosed) -> str:
    return f"connection {fact.connection} closed by {fact.closed_by}" + (f": {fact.reason}" if fact.reason else "")


@words.register
def _(fact: ev.FaultInjected) -> str:
    return f"fault: {fact.name}" + (f" ({fact.detail})" if fact.detail else "")


@words.register
def _(fact: ev.ClockAdvanced) -> str:
    return f"test clock moved by {fact.seconds:g} s, now {fact.now}"


@words.register
def _(fact: ev.HookRun) -> str:
    return f"hook {fact.name} ended with {fact.status} {_short(fact.output)}".rstrip()


@words.register
def _(fact: ev.DeviceStarted) -> str:
    return f"device started, boot {fact.boot}"


@words.register
def _(fact: ev.DeviceExited) -> str:
    return f"device {'stopped by us' if fact.by_us else f'exited with status {fact.status}'}"


@words.register
def _(fact: ev.SerialLine) -> str:
    return f"{'←' if fact.sent_by == 'board' else '→'} {_short(fact.text)}"


@words.register
def _(fact: ev.Observed) -> str:
    return f"observed {fact.name} = {_short(fact.value)}"


def _listed(values: Iterable[Any]) -> str:
    """Return codes, filters, or filters with the QoS that was asked for."""
    return ", ".join(f"{value[0]} (QoS {value[1]})" if isinstance(value, tuple) else str(value) for value in values)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = "".join(character if character.isprintable() else "·" for character in text)
    return text if len(text) <= _VALUE_MAX else text[: _VALUE_MAX - 1] + "…"
