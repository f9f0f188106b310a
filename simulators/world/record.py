"""What a simulated run leaves behind to be judged: commands as the operator saw them, effects as the devices had them, uses of download
keys as they crossed the platform's door.

Times are virtual seconds since the world began, `utc_s` the wall clock of the server at that moment.
"""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class SentCommand:
    """A command that the operator asked for. `status` is None as long as no answer was seen: it may have been sent, or not."""

    number: int
    device: str
    command: str
    sent_at_s: float
    status: int | None = None
    answered_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Executed:
    """A device's firmware acted on a command. `number` is 0 where the payload carries none; `key` belongs to a download."""

    at_s: float
    device: str
    command: str
    number: int
    key: str = ""
    expires_utc_s: float = 0.0


@dataclass(slots=True)
class KeyUse:
    """A request for a download, as the platform's door saw it: from `host`, with the token of `device`."""

    key: str
    host: str
    device: str
    at_s: float
    utc_s: float
    status: int | None = None
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """A device has finished with an offer, or has refused it at once."""

    at_s: float
    device: str
    key: str
    is_success: bool
    message: str


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A device when it gets its power back, and when the run ends. Hashes: `image` is what it says is in use, `area` what is really there.

    `configured` is the number of the command that the configuration in force came with, 0 for the factory's.
    """

    at_s: float
    device: str
    is_connected: bool
    jobs: int
    results_owed: int
    configured: int
    image: str
    area: str


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault of the plan struck `host`; its effects last until `until_s`."""

    at_s: float
    kind: str
    host: str
    until_s: float


@dataclass(slots=True)
class Record:
    """All of a run. `images` holds the hashes of what the platform offered."""

    sent: list[SentCommand] = field(default_factory=list)
    executed: list[Executed] = field(default_factory=list)
    uses: list[KeyUse] = field(default_factory=list)
    results: list[DownloadResult] = field(default_factory=list)
    states: list[DeviceState] = field(default_factory=list)
    ends: list[DeviceState] = field(default_factory=list)
    faults: list[Struck] = field(default_factory=list)
    steps_utc_s: list[tuple[float, float]] = field(default_factory=list)  # (time, server's wall clock) before and after each step of it
    images: set[str] = field(default_factory=set)
    server_errors: list[tuple[float, str, int]] = field(default_factory=list)
    unhandled: list[str] = field(default_factory=list)
    stopped: str = ""  # why the world could not go on, if so
    quiet_after_s: float | None = None  # how long after the healing everything was done; None: not within the limit
    pending: list[str] = field(default_factory=list)  # what was not

    def lines(self) -> list[dict[str, Any]]:
        """Everything that has a time, as JSON members in the order of time: the history that a finding shows."""
        timed: list[tuple[float, str, Any]] = [(item.sent_at_s, "sent", item) for item in self.sent]
        timed += [(item.at_s, "executed", item) for item in self.executed]
        timed += [(item.at_s, "key use", item) for item in self.uses]
        timed += [(item.at_s, "download result", item) for item in self.results]
        timed += [(item.at_s, "fault", item) for item in self.faults]
        lines = [{**asdict(item), "at_s": round(at_s, 6), "what": what} for at_s, what, item in timed]
        return sorted(lines, key=lambda line: line["at_s"])
