"""What a scenario may ask of the bench on which a device is questioned, as data, and what comes back.

The bench plays the platform: it has a REST API, a broker whose packets can be tampered with, files to offer, and the device's power. All
operations concern the one device that the scenario was given. Outcomes are what was seen; a device that never arrives is an error of the
bench (`BenchError`), not an outcome.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.faults import FaultPlan
from harness.history.events import Fact, MqttPacket
from harness.mqtt.packets import Packet
from harness.wire.files import FileType


@dataclass(frozen=True, slots=True)
class Boot:
    """Brings the device to its entry state: running, connected, subscribed. BenchError where it never arrives.

    `afresh`: with a session that begins now. `may_be_refused`: a device whose logins are refused is an outcome, too. Outcome: whether it is
    connected.
    """

    afresh: bool = False
    may_be_refused: bool = False


@dataclass(frozen=True, slots=True)
class Tell:
    """Sends a command through the platform's API. Outcome: the HTTP status."""

    command: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inject:
    """Publishes to the device past the API: what a platform may not send, or an odd payload. Outcome: None.

    `topic` is used as it stands; retained messages are taken away again when the scenario ends.
    """

    topic: str
    payload: bytes
    qos: int = 2
    retain: bool = False


@dataclass(frozen=True, slots=True)
class SendPacket:
    """Writes one packet to the device's connection past the broker's session. Outcome: whether there was a connection.

    The broker answers what comes back as 3.1.1 demands for a packet id that it does not know: PUBREC by PUBREL.
    """

    packet: Packet


@dataclass(frozen=True, slots=True)
class Store:
    """Puts a file into the platform's storage, and says so on the record (`stored`). Outcome: `StoredFile`.

    `content` is given, or random bytes of `size_bytes`, or (where the device file names images) the next real one.
    """

    file_type: FileType
    size_bytes: int = 20_000
    content: bytes | None = None
    valid: bool = True


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that the device can be told to download; `sha256` in hexadecimal."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Interfere:
    """Puts a fault plan in force on the device's MQTT connections, in place of the one before. Outcome: None."""

    plan: FaultPlan


@dataclass(frozen=True, slots=True)
class SpoilDownload:
    """Every next download of the device goes wrong in this way, `times` times; on the record (`download spoilt`). Outcome: None.

    `kind` and `options` are those of the platform's download faults (cut, stall, trickle, corrupt, chunked, short, long, redirect, error).
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    times: int = 1


@dataclass(frozen=True, slots=True)
class AlterOffer:
    """The next download command says something else than the platform meant. Outcome: None.

    `query` is appended to the URL as it stands; `expires_in_s` replaces the time from now to `expires_at` (negative: the past). The key is
    the platform's, and is accepted. `other_port`: the URL leads to another port of the platform than its API has. `spelled_otherwise`: the
    same JSON with further members, in another order, with blanks, and with the escapes that other writers of JSON use.
    """

    query: str = ""
    expires_in_s: float | None = None
    other_port: bool = False
    spelled_otherwise: bool = False


@dataclass(frozen=True, slots=True)
class FollowKeyPolicy:
    """From here on a download key is used up in this way (`first-use` or `complete-delivery`, KEY-08), until the scenario ends.

    On the record (`key policy`), for the next download command. Outcome: None.
    """

    policy: str


@dataclass(frozen=True, slots=True)
class RedirectElsewhere:
    """Every next download of the device is answered by a redirect to another host, `times` times; what arrives there is recorded.

    `body` is the redirect's own. Outcome: None.
    """

    status: int = 302
    times: int = 1
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Observe:
    """Asks the observer of that name in `[device.observe]`, where there is one. Outcome: what it printed, or None."""

    name: str


@dataclass(frozen=True, slots=True)
class UntilConnected:
    """Waits until the device is connected. Outcome: whether it was in time."""

    within_s: float


@dataclass(frozen=True, slots=True)
class CutConnection:
    """Ends the device's MQTT connection without a word; on the record (`connection lost`). Outcome: whether there was one.

    `before_refusals`: how many connects a fault plan will refuse afterwards.
    """

    before_refusals: int = 0


@dataclass(frozen=True, slots=True)
class RestartBroker:
    """Takes the broker away for `down_s`; it comes back without any session. Outcome: None."""

    down_s: float = 0.5


@dataclass(frozen=True, slots=True)
class PowerCut:
    """Cuts the device's power and gives it back. Outcome: None."""


@dataclass(frozen=True, slots=True)
class Until:
    """Waits for facts about the device since the last stimulus. Outcome: the events that match, at most `count`.

    Comes back early when `count` are there. A fact is handed out once.
    """

    matches: Callable[[Fact], bool]
    within_s: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class Settle:
    """Lets the device finish what it may still be doing. Outcome: None."""

    duration_s: float


def is_listening(fact: Fact) -> bool:
    """Whether a fact shows that the device's subscriptions stand: they were granted, or its resumed session has them."""
    if not isinstance(fact, MqttPacket) or fact.sent_by != "server":
        return False
    return fact.type == "SUBACK" or (fact.type == "CONNACK" and fact.session_present is True)
