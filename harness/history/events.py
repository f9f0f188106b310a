"""The facts of a run: what was seen on the wire and at the bench, one frozen dataclass per kind.

An `Event` is a fact with its place on the timeline. Facts judge nothing: a refused command and an accepted one are both `HttpEnded`.
Secrets never stand here; `harness.history.redaction` has replaced them by labels (`<token:…>`, `<key:17>`) and recorded what checks need
to know of them as `SecretSeen`.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from harness.mqtt.packets import Side

SCHEMA = "hil-history/1"

BASE64_PREFIX = "base64:"

Headers: TypeAlias = tuple[tuple[str, str], ...]


def header_of(headers: Headers, name: str) -> str | None:
    """The value of the header of that name, whatever its case; several are joined with a comma (R 5.2). None where there is none."""
    values = [value for key, value in headers if key.lower() == name.lower()]
    return ", ".join(values) if values else None


def text_of(data: bytes) -> str:
    """Bytes as the timeline writes them: UTF-8 text where it is that, else `base64:` and the base64 form. `bytes_of` reverses it."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return BASE64_PREFIX + base64.b64encode(data).decode()
    if text.startswith(BASE64_PREFIX):
        return BASE64_PREFIX + base64.b64encode(data).decode()
    return text


def bytes_of(text: str) -> bytes:
    """The bytes that `text_of` was given."""
    if text.startswith(BASE64_PREFIX):
        return base64.b64decode(text[len(BASE64_PREFIX) :])
    return text.encode()


# --- the run ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    """What the plan says of one check, before anything is sent. `reason` names the line that rules it out, or the option."""

    id: str
    status: Literal["planned", "not-applicable", "skipped"]
    reason: str = ""


SubjectKind: TypeAlias = Literal["platform", "device", "pair", "broker"]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first event: all that is needed to judge this history again without the target or device file."""

    schema: str
    run_id: str
    version: str
    command: str
    seed: int
    profile: str
    subject_kind: SubjectKind
    subject_name: str
    hardening: Literal["should", "must"]
    target: dict[str, Any]  # what the target file says, secrets as labels; {} where no platform is judged
    declaration: dict[str, Any]  # what the device file says; {} where no device is judged
    plan: tuple[PlannedCheck, ...]


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event. `aborted` is a Ctrl-C."""

    aborted: bool = False


@dataclass(frozen=True, slots=True)
class BrokerPromise:
    """What one trial of a broker came to; `verdict` is a word of interfaces.md."""

    id: str
    title: str
    requirements: tuple[str, ...]
    level: str
    verdict: str
    detail: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class BrokerChecked:
    """The broker on which a device is questioned was checked itself: what rests on a broken promise of it proves nothing."""

    broker: str
    promises: tuple[BrokerPromise, ...]


@dataclass(frozen=True, slots=True)
class ScenarioStarted:
    """A scenario begins; what happens in it carries its name as the event's scope."""

    name: str
    subject: Literal["platform", "device"]
    serves: tuple[str, ...]
    devices: dict[str, str]  # role in the scenario -> device id


@dataclass(frozen=True, slots=True)
class ScenarioEnded:
    """A scenario is over. `problem` is empty, or says what of our equipment, or of the target's reachability, ended it early."""

    name: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Stimulus:
    """A scenario says what it is about to do where the wire alone would not tell: `name` is what checks look for."""

    name: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SecretSeen:
    """What may be known of a secret that its label replaces from here on. `bits_max`: length times the alphabet's bits."""

    label: str
    what: Literal["api key", "token", "download key", "gateway secret"]
    length: int
    alphabet: Literal["base64url", "other"]
    bits_max: float


# --- HTTP: commands, lists, downloads ----------------------------------------------------------------------------------------------

Endpoint: TypeAlias = Literal["command", "files", "download", "other"]

API_KEY = "api-key:"
"""How the `credential` of a request with an API key begins; the key's name in the target file stands behind it."""

FULL_API_KEY = API_KEY + "full"
READ_ONLY_API_KEY = API_KEY + "read_only"
DISABLED_API_KEY = API_KEY + "disabled"
OTHER_ORG_API_KEY = API_KEY + "other_org"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request is sent (or, on a bench that plays the platform, has come in).

    `credential` names whose secret the request carries, by the target file: `FULL_API_KEY`, `token:<device id>`, `none`, `unknown`, …;
    how it is written stands in the headers.
    """

    exchange: int
    endpoint: Endpoint
    method: str
    url: str
    credential: str
    headers: Headers
    body: str = ""
    project_id: str = ""
    device_id: str = ""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status line and headers have arrived. The status of an exchange that failed earlier never does."""

    exchange: int
    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class HttpProgress:
    """So many bytes of the body have been seen by now; samples make the byte timeline."""

    exchange: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class HttpEnded:
    """An exchange is over. `body` holds small bodies only; `complete` means that the whole announced body came.

    `problem` is empty, or what ended the exchange early; `closed_by` who did.
    """

    exchange: int
    received_bytes: int
    complete: bool
    sha256: str = ""
    body: str = ""
    problem: str = ""
    closed_by: Literal["", "us", "peer", "fault"] = ""


# --- MQTT ------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MqttOpened:
    """A network connection between a device and the broker stands. `connection` numbers the run's connections."""

    connection: int
    device_id: str


@dataclass(frozen=True, slots=True)
class MqttPacket:
    """A packet went over a connection. Only the fields that its type has are set; `size_bytes` is the whole packet before redaction."""

    connection: int
    device_id: str
    sent_by: Side
    type: str
    size_bytes: int
    packet_id: int | None = None
    topic: str | None = None
    payload: str | None = None
    qos: int | None = None
    dup: bool | None = None
    retain: bool | None = None
    session_present: bool | None = None
    return_codes: tuple[int, ...] | None = None
    filters: tuple[tuple[str, int], ...] | None = None
    client_id: str | None = None
    username: str | None = None
    password: str | None = None
    clean_session: bool | None = None
    keep_alive_s: int | None = None
    will_topic: str | None = None


@dataclass(frozen=True, slots=True)
class MqttDelivered:
    """A message was released to the application of a device that the harness plays: the effect, where packets may repeat."""

    connection: int
    device_id: str
    topic: str
    payload: str
    qos: int
    retain: bool
    dup: bool
    packet_id: int | None = None


@dataclass(frozen=True, slots=True)
class MqttMalformed:
    """The peer sent bytes that are no MQTT 3.1.1."""

    connection: int
    device_id: str
    problem: str
    statement: str
    raw: str


@dataclass(frozen=True, slots=True)
class MqttClosed:
    """A connection is gone: closed by us, by the peer, or by a fault that we injected."""

    connection: int
    device_id: str
    closed_by: Literal["us", "peer", "fault"]
    reason: str = ""


# --- the bench -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClockAdvanced:
    """The target's test clock was moved forward. `now` is what the target answered, `traceparent` names the call in its logs."""

    seconds: float
    now: str
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class HookRun:
    """A hook or observer command of the user's was run; `output` is cut to a few lines."""

    name: str
    command: str
    status: int
    output: str


@dataclass(frozen=True, slots=True)
class FaultInjected:
    """A fault of the plan fired."""

    name: str
    device_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class DeviceStarted:
    """A device under test was started by us (`boot` counts from 1)."""

    device_id: str
    boot: int


@dataclass(frozen=True, slots=True)
class DeviceExited:
    """A device under test ended by itself with `status` (0 is a reboot), or was stopped by us (`by_us`)."""

    device_id: str
    status: int
    by_us: bool


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A line on a board's console, in either direction."""

    device_id: str
    sent_by: Literal["board", "us"]
    text: str


@dataclass(frozen=True, slots=True)
class Observed:
    """A declared observer printed a value: the hash of the installed image, the configuration in force."""

    device_id: str
    name: str
    value: str


Fact: TypeAlias = (
    RunStarted
    | RunEnded
    | BrokerChecked
    | ScenarioStarted
    | ScenarioEnded
    | Stimulus
    | SecretSeen
    | HttpRequest
    | HttpResponse
    | HttpProgress
    | HttpEnded
    | MqttOpened
    | MqttPacket
    | MqttDelivered
    | MqttMalformed
    | MqttClosed
    | ClockAdvanced
    | HookRun
    | FaultInjected
    | DeviceStarted
    | DeviceExited
    | SerialLine
    | Observed
)

FACT_TYPES: tuple[type[Fact], ...] = get_args(Fact)


def kind_of(fact_type: type[Fact]) -> str:
    """The word that names a kind of fact in a journal: `HttpRequest` is `http request`."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", fact_type.__name__).lower()


@dataclass(frozen=True, slots=True)
class Event:
    """A fact with its place on the timeline.

    `line` counts from 1 and is the line of `history.jsonl`; `at_s` is monotonic, `utc_s` wall time, both in seconds; `scope` is the
    scenario that was at work, "" for the run as a whole.
    """

    line: int
    at_s: float
    utc_s: float
    scope: str
    fact: Fact
