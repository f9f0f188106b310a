"""What a scenario may ask of a bench, as data, and what comes back.

A workload yields operations and is sent their outcomes; it never waits, opens or reads anything itself. Every outcome is what was seen,
not what it means: a refused connection of the target raises `TargetUnavailable` in the runner, everything else comes back as data.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from harness.history.events import Endpoint, Headers, MqttDelivered


@dataclass(frozen=True, slots=True)
class Call:
    """Sends one HTTP request to the API. Outcome: `Answer`.

    `path` is what stands in the request line, query included, and is not touched. It follows the API's URL, or the `origin` (scheme, host
    and port) of the URL that is called; where nobody takes connections there, the API is asked in its place. `credential` labels whose
    secret the headers carry. `read_bytes_per_s` reads the body slowly, with so small a window that the target cannot have sent much more
    than was read; `abort_after_bytes` closes the connection after so many bytes of the body; `pause_after_bytes` reads nothing for
    `pause_s` there. `within_s` bounds the whole exchange.
    """

    method: str
    path: str
    endpoint: Endpoint
    credential: str = "none"
    headers: Headers = ()
    body: bytes | None = None
    project_id: str = ""
    device_id: str = ""
    read_bytes_per_s: float | None = None
    abort_after_bytes: int | None = None
    pause_after_bytes: int | None = None
    pause_s: float = 0.0
    within_s: float = 30.0
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a `Call`. `status` is None where no status line came; `problem` says why an exchange ended early."""

    status: int | None
    headers: Headers = ()
    body: bytes = b""
    complete: bool = False
    problem: str = ""
    json: Any = None


@dataclass(frozen=True, slots=True)
class Volley:
    """Sends several requests so that their last bytes leave together. Outcome: a list of `Answer`, in the order of the calls."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Performs several operations side by side. Outcome: a list of their outcomes, in their order."""

    operations: tuple["Operation", ...]


@dataclass(frozen=True, slots=True)
class InOrder:
    """Performs operations one after the other: for use within `Together`. Outcome: a list of their outcomes."""

    operations: tuple["Operation", ...]


@dataclass(frozen=True, slots=True)
class Connect:
    """Connects as a device and subscribes. Outcome: `Connected`.

    `token` and `client_id` replace the device's own; `anonymously` leaves user name and password out, `without_password` the password
    only; `withhold` names packet types (`PUBREC`, …) that are not sent although they are due; `cut_after` names the packet
    (`received PUBLISH`, `sent PUBREC`, …) after which the connection is cut, once.
    """

    device_id: str
    clean_session: bool = True
    keep_alive_s: int = 60
    filters: tuple[tuple[str, int], ...] = ()
    token: str | None = None
    anonymously: bool = False
    without_password: bool = False
    client_id: str | None = None
    withhold: frozenset[str] = frozenset()
    cut_after: str | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """What came of a `Connect`: `return_code` of the CONNACK (None where none came), and the SUBACK's codes."""

    return_code: int | None
    session_present: bool = False
    granted: tuple[int, ...] = ()
    problem: str = ""

    @property
    def is_accepted(self) -> bool:
        return self.return_code == 0


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Ends a device's connection: with DISCONNECT, or (`abruptly`) by closing the socket. Outcome: None."""

    device_id: str
    abruptly: bool = False


@dataclass(frozen=True, slots=True)
class Publish:
    """Publishes as a device that was connected. Outcome: whether the server acknowledged within `within_s`; QoS 0 counts as that."""

    device_id: str
    topic: str
    payload: bytes
    qos: int = 2
    within_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Receive:
    """Waits for the next messages at a device's application. Outcome: the `MqttDelivered` that came, at most `count`.

    Comes back early when `count` messages are there; a message is handed out once.
    """

    device_id: str
    count: int = 1
    within_s: float = 5.0


@dataclass(frozen=True, slots=True)
class AdvanceClock:
    """Moves the target's test clock forward. Outcome: None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Lets real (or virtual) time pass. Outcome: None."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class RunHook:
    """Runs a hook of the target file. Outcome: its standard output; a status other than 0 voids the scenario.

    With `may_refuse` the outcome is None then: the target need not accept what it was asked to.
    """

    name: str
    values: dict[str, str] = field(default_factory=dict)
    may_refuse: bool = False


@dataclass(frozen=True, slots=True)
class Announce:
    """Writes a `Stimulus` into the history: what is about to be done, where the wire alone would not tell. Outcome: None."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)


Operation: TypeAlias = Any  # One of the above, or an operation of a plug-in's own bench.
Received: TypeAlias = list[MqttDelivered]
