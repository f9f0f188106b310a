"""Faults as data, at protocol events: what shall go wrong, and exactly when.

A plan is a list of faults, each an event ("the second PUBREC that dev-1 sends on its first connection") and an action ("cut the connection
after it"). It is JSON, so that it can stand in a history. `harness.fault_interpreter` says what a plan makes of the packets.

Most actions are what networks do (delay, split, cut); some are legal but rare behaviour of a server (session present either way, a refused
SUBACK); some are illegal, to see what the peer makes of them (corrupt, QoS changed). Telling them apart is the scenario's business.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from harness.mqtt.packets import Side

PacketName: TypeAlias = Literal[
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
]


class _Datum(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# --- events --------------------------------------------------------------------------------------------------------------------------


class PacketEvent(_Datum):
    """Some packets of some clients. What is left out matches all; `skip` and `times` count per client.

    `client_id` may hold `*` and `?`; `connection` is the client's how-manyeth, from 1. `topic` is a topic filter: it matches a PUBLISH, and
    the acknowledgements of its exchange, as far as the plan has seen the PUBLISH; `qos` and `dup` match PUBLISH only.
    """

    packet: PacketName | None = None
    sent_by: Side | None = None
    client_id: str = "*"
    connection: int | None = Field(default=None, ge=1)
    topic: str | None = None
    qos: Literal[0, 1, 2] | None = None
    dup: bool | None = None
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=1, ge=1)


class BodyEvent(_Datum):
    """A place in an HTTP exchange: the request, or the response at a byte of its body (0: before the status line).

    `path` may hold `*` and `?` and is compared without the query; `skip` and `times` count the exchanges that match.
    """

    method: str | None = None
    path: str = "*"
    part: Literal["request", "response"] = "response"
    at_byte: int = Field(default=0, ge=0)
    skip: int = Field(default=0, ge=0)
    times: int | None = Field(default=1, ge=1)


# --- actions -------------------------------------------------------------------------------------------------------------------------


class Delay(_Datum):
    """Everything in this direction waits for `seconds`, then goes on in its order."""

    do: Literal["delay"] = "delay"
    seconds: float = Field(ge=0)


class Hold(_Datum):
    """Everything in this direction waits until the same client is seen with `until`, or for `seconds_max`."""

    do: Literal["hold"] = "hold"
    until: PacketEvent
    seconds_max: float = Field(default=60.0, ge=0)


class Drop(_Datum):
    """The packet vanishes."""

    do: Literal["drop"] = "drop"


class Duplicate(_Datum):
    """The packet is followed by copies with the same packet id; `dup` sets or clears DUP on them, None leaves it."""

    do: Literal["duplicate"] = "duplicate"
    copies: int = Field(default=1, ge=1, le=1_000)
    dup: bool | None = None
    pause_s: float = Field(default=0.0, ge=0)


class Reorder(_Datum):
    """The packet goes out behind the next `behind` packets of its direction; never, if they do not come."""

    do: Literal["reorder"] = "reorder"
    behind: int = Field(default=1, ge=1)


class Split(_Datum):
    """The packet goes out in pieces that end at these bytes; without any: byte by byte."""

    do: Literal["split"] = "split"
    at: tuple[int, ...] = ()
    pause_s: float = Field(default=0.0, ge=0)


class Coalesce(_Datum):
    """This packet and the next ones, `packets` in all, go out in one segment; they wait for each other for `seconds_max`."""

    do: Literal["coalesce"] = "coalesce"
    packets: int = Field(default=2, ge=2)
    seconds_max: float = Field(default=1.0, ge=0)


class Corrupt(_Datum):
    """The byte `at` (negative: from the end) is combined with `xor`."""

    do: Literal["corrupt"] = "corrupt"
    at: int = 0
    xor: int = Field(default=0xFF, ge=1, le=0xFF)


class Cut(_Datum):
    """The connection ends before the packet, after it, or after `at_byte` bytes of it."""

    do: Literal["cut"] = "cut"
    when: Literal["before", "after"] = "after"
    at_byte: int | None = Field(default=None, ge=0)


class Rewrite(_Datum):
    """The packet says something else: fields of CONNACK, SUBACK or PUBLISH; None leaves a field."""

    do: Literal["rewrite"] = "rewrite"
    session_present: bool | None = None
    return_code: int | None = Field(default=None, ge=0, le=5)
    return_codes: tuple[int, ...] | None = None
    retain: bool | None = None
    dup: bool | None = None
    qos: Literal[0, 1, 2] | None = None
    payload: str | None = None


class Inject(_Datum):
    """Bytes of our own (hexadecimal) go out before or after the packet."""

    do: Literal["inject"] = "inject"
    raw_hex: str
    when: Literal["before", "after"] = "after"


class Throttle(_Datum):
    """From here on the body flows with `bytes_per_s`."""

    do: Literal["throttle"] = "throttle"
    bytes_per_s: float = Field(gt=0)


class Answer(_Datum):
    """The proxy answers by itself; the server never sees the request."""

    do: Literal["answer"] = "answer"
    status: int = Field(ge=100, le=599)
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""


PacketAction: TypeAlias = Annotated[
    Delay | Hold | Drop | Duplicate | Reorder | Split | Coalesce | Corrupt | Cut | Rewrite | Inject, Field(discriminator="do")
]
BodyAction: TypeAlias = Annotated[Delay | Cut | Corrupt | Throttle | Answer, Field(discriminator="do")]


class PacketFault(_Datum):
    """An action at some MQTT packets. `name` is how the history calls it."""

    name: str
    at: PacketEvent
    action: PacketAction


class BodyFault(_Datum):
    """An action at a place of some HTTP exchanges."""

    name: str
    at: BodyEvent
    action: BodyAction


class FaultPlan(_Datum):
    """All that shall go wrong. Several faults at one packet are applied in their order, each to what the former left."""

    packets: tuple[PacketFault, ...] = ()
    bodies: tuple[BodyFault, ...] = ()
