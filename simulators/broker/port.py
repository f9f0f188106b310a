"""The port behind which every broker stands, and what a broker needs from its surroundings.

A platform publishes commands through `BrokerPort` and never learns which broker carries them. Who may log in, and read and write what, is
the platform's knowledge: it comes in as a `DeviceDirectory`. An observer sees every packet of the embedded broker, for recording.
"""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Protocol

from harness.errors import BenchError, RemoteWireError
from harness.mqtt.packets import Packet
from harness.wire.topics import is_of_device
from simulators.network.addresses import host_in_url


class BrokerUnavailable(BenchError):
    """The broker cannot take a message now: not started, unreachable, or its answer did not come in time (CMD-31)."""


class QueueFull(BrokerUnavailable):
    """The queue of an offline session is full and the policy is `REFUSE`: the message was not taken."""


class QueuePolicy(Enum):
    """What happens to a message for a session whose queue is full."""

    DROP_NEWEST = "drop newest"
    DROP_OLDEST = "drop oldest"
    REFUSE = "refuse"  # publish() raises QueueFull; the connection of an MQTT publisher is closed, as 3.1.1 knows no refusal


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Named limits of the embedded broker. Times in seconds, sizes in bytes."""

    inflight_max: int = 20  # unfinished QoS 1 and 2 messages to one client at a time; 1 to 65,535
    queued_messages_max: int = 1_000  # waiting messages of one session
    queue_policy: QueuePolicy = QueuePolicy.DROP_NEWEST
    packet_bytes_max: int = 1_048_576
    connect_timeout_s: float = 10.0  # from the connection's start to its CONNECT
    sessions_max: int = 100_000  # kept for clients that are away; the longest away goes first
    session_expiry_s: float = 7 * 24 * 3600.0  # how long a session outlives its connection
    subscriptions_max: int = 1_000  # of one session; more are refused in the SUBACK
    retained_max: int = 100_000  # topics with a retained message


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of a TLS listener. With `client_ca`, clients must present a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def server_context(self) -> ssl.SSLContext:
        """What serves TLS with them. Raises BenchError where they cannot be used."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key, password="")  # "": nobody is asked for one at the terminal
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:  # ssl.SSLError is one
            named = ", ".join(str(file) for file in (self.certificate, self.key, self.client_ca) if file)
            raise BenchError(f"the TLS files {named} cannot be used: {error}") from error
        return context


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """How a broker is set up. A port of 0 is any free port; None means that there is no such listener."""

    bind: str = "127.0.0.1"
    port: int = 0
    tls_port: int | None = None
    websocket_port: int | None = None
    tls: TlsFiles | None = None
    state_directory: Path | None = None  # sessions and messages survive a kill in here; None keeps them in memory only
    public_host: str = ""  # what stands in `mqtt_url`; empty: the bind address
    limits: BrokerLimits = field(default_factory=BrokerLimits)

    @property
    def url_host(self) -> str:
        """The host as it stands in the broker's URLs."""
        return host_in_url(self.public_host or self.bind)


class Principal(Protocol):
    """A client that has logged in, and its rights."""

    @property
    def client_id(self) -> str: ...

    def may_read(self, topic_filter: str) -> bool:
        """Whether everything that `topic_filter` can match may be delivered to it."""
        ...

    def may_write(self, topic: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class DevicePrincipal:
    """A device: reads and writes `{device_id}` and what is below it, nothing else.   Source: CMD-23."""

    client_id: str

    def may_read(self, topic_filter: str) -> bool:
        # No wildcard can hide here: `{id}+` is no legal filter, and an id that holds a wildcard never logs in.
        return is_of_device(topic_filter, self.client_id)

    def may_write(self, topic: str) -> bool:
        return is_of_device(topic, self.client_id)


@dataclass(frozen=True, slots=True)
class TrustedPrincipal:
    """A client with all rights: the platform itself, a load generator, a test."""

    client_id: str

    def may_read(self, topic_filter: str) -> bool:
        return True

    def may_write(self, topic: str) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Login:
    """One line of a password file. `is_trusted` logins may read and write everything."""

    client_id: str
    username: str
    password: str
    is_trusted: bool = False


class DeviceDirectory(Protocol):
    """Who may log in."""

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        """The client's rights, or None: CONNACK 5.   Source: CMD-23."""
        ...

    def logins(self) -> Iterable[Login]:
        """All logins, for brokers that need a password file before they start."""
        ...


class LoginTable:
    """A directory over a fixed set of logins; a device's client id must be its own."""

    def __init__(self, logins: Iterable[Login]) -> None:
        self._logins = {login.username: login for login in logins}

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        login = self._logins.get(username or "")
        if login is None or password is None or login.password.encode() != password:
            return None
        if login.is_trusted:
            return TrustedPrincipal(client_id)
        return DevicePrincipal(client_id) if client_id == login.client_id else None

    def logins(self) -> Iterable[Login]:
        return self._logins.values()


class AnyoneMayDoAnything:
    """A directory without locks: for tests and benches of the broker itself."""

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        return TrustedPrincipal(client_id)

    def logins(self) -> Iterable[Login]:
        return ()


class Direction(Enum):
    """Which way a packet goes; the value is the `sent_by` of the history."""

    FROM_CLIENT = "client"
    TO_CLIENT = "server"


class ClosedBy(Enum):
    """Who ended a connection; the value is the `closed_by` of the history, seen from the broker."""

    BROKER = "us"
    CLIENT = "peer"
    FAULT = "fault"


class PacketObserver(Protocol):
    """Sees what happens on the embedded broker's connections, in order. Called from the event loop; must return at once.

    `connection` numbers the connections of one broker from 1; `client_id` is "" before a CONNECT was read.
    """

    def opened(self, connection: int, peer: str) -> None: ...

    def packet(self, connection: int, client_id: str, direction: Direction, packet: Packet, size_bytes: int) -> None: ...

    def malformed(self, connection: int, client_id: str, error: RemoteWireError) -> None: ...

    def fault(self, connection: int, client_id: str, name: str, detail: str) -> None: ...

    def closed(self, connection: int, client_id: str, closed_by: ClosedBy, reason: str) -> None: ...


class BrokerPort(Protocol):
    """A broker, whichever it is. Made with `(settings, directory)`; `start` before anything else."""

    async def start(self) -> None:
        """Serves when it returns. Raises BenchError: a port is taken, a binary is missing."""
        ...

    async def stop(self) -> None:
        """Closes all connections and listeners; harmless when it is not running."""
        ...

    @property
    def mqtt_url(self) -> str:
        """Where clients connect, as `mqtt://host:port`; known after `start`."""
        ...

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        """Hands a message over; returns when the broker has taken the responsibility for it (CMD-20).

        Raises BrokerUnavailable when it did not (or when it cannot be known).
        """
        ...

    async def disconnect(self, client_id: str) -> bool:
        """Ends the client's connection without a word; False where there is none, or this broker cannot do it."""
        ...

    def connected_clients(self) -> frozenset[str] | None:
        """The client ids that are connected now; None where this broker does not tell."""
        ...
