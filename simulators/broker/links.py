"""What the broker's core works on: one link per network connection, one session per client id, and the orders for a link."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from harness.mqtt.packets import Packet, Publish, Will
from harness.mqtt.server_session import ServerSession, SessionJournal
from simulators.broker.port import BrokerLimits, ClosedBy, Principal


class BrokerJournal(SessionJournal, Protocol):
    """Where everything is written down that must survive a kill."""

    def retained_stored(self, message: Publish) -> None: ...

    def retained_removed(self, topic: str) -> None: ...


class BrokerSession(ServerSession):
    """A session, and the link that carries it now; None while the client is away."""

    __slots__ = ("away_since_s", "link")

    def __init__(self, client_id: str, *, is_clean: bool, limits: BrokerLimits, journal: SessionJournal | None) -> None:
        super().__init__(client_id, is_clean=is_clean, inflight_max=limits.inflight_max, journal=journal)
        self.link: Link | None = None
        self.away_since_s = 0.0


class Link:
    """One network connection, from its first byte to its end."""

    __slots__ = ("client_id", "is_closed", "is_congested", "last_heard_s", "number", "patience_s", "principal", "session", "will")

    def __init__(self) -> None:
        self.number = 0
        self.client_id = ""
        self.principal: Principal | None = None
        self.session: BrokerSession | None = None
        self.will: Will | None = None
        self.last_heard_s = 0.0
        self.patience_s = 0.0  # silence of this length ends the connection; 0: never
        self.is_congested = False  # set by the skin: the client does not read, so QoS 0 is dropped
        self.is_closed = False


@dataclass(frozen=True, slots=True)
class Close:
    """The order to end a connection after everything before it has been sent."""

    closed_by: ClosedBy
    reason: str


Output: TypeAlias = tuple[Link, Packet | Close]
