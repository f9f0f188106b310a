"""The in-memory network of a world: hosts, listeners, connections, and what can go wrong between them.

All addresses that mean "this machine" are one address here, because a whole system that was written for loopback runs on many simulated
hosts: the port decides which server is meant. Who connects is known from the task: each task of a host carries the host's name.

Deliveries fall on a grid, as what one poll of a real loop finds: events that are exactly simultaneous are what races with no delay in
between need, and with continuous latencies there would be none.
"""

import asyncio
import contextvars
import itertools
import math
import socket
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.entropy import SeededEntropy
from simulators.world.links import LAN, Host, LinkShape, one_way_s
from simulators.world.trace import Trace
from simulators.world.transport import SimulatedTransport, reset_error, timeout_error

if TYPE_CHECKING:
    from simulators.world.loop import SimulatedLoop

Address = tuple[str, int]

# The host that a task runs on; inherited by all that it starts.
CURRENT_HOST: ContextVar[str] = ContextVar("simulated_host", default="server")

_THIS_MACHINE = "127.0.0.1"
_WORDS_FOR_THIS_MACHINE = frozenset({"", "0.0.0.0", "127.0.0.1", "localhost", "::", "::1", "None"})
_FIRST_FREE_PORT = 20_000
EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class NetworkTiming:
    """Seconds. `tick_s` is the grid of deliveries (0: none); `chunk_s` how much time of a slow link one delivery of bulk data takes."""

    tick_s: float = 0.01
    chunk_s: float = 5.0
    retransmission_s: float = 1.0
    give_up_s: float = 900.0  # Linux gives a connection up after about 15 minutes of retransmissions,
    connect_give_up_s: float = 127.0  # and a connect after about two


@dataclass(frozen=True, slots=True)
class Partition:
    """Nothing passes between `a` and `b` (`EVERYBODY` is any host) until `until_s`."""

    a: str
    b: str
    until_s: float

    def separates(self, one: str, other: str) -> bool:
        return (self.a in (one, EVERYBODY) and self.b in (other, EVERYBODY)) or (
            self.a in (other, EVERYBODY) and self.b in (one, EVERYBODY)
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection, for faults to choose from."""

    number: int
    client: SimulatedTransport
    server: SimulatedTransport
    port: int


class _ListeningSocket:
    """As much of a socket as those ask for who want to know the port."""

    __slots__ = ("_address",)
    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, address: Address) -> None:
        self._address = address

    def getsockname(self) -> Address:
        return self._address

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_args: object) -> None:
        return


class SimulatedServer(asyncio.AbstractServer):
    """A listener. Closing it leaves its connections alone, as asyncio's does."""

    def __init__(self, network: "SimulatedNetwork", factory: Callable[[], Any], address: Address, host: Host) -> None:
        self._network = network
        self.factory = factory
        self.address = address
        self.host = host
        self.context = contextvars.copy_context()
        self.sockets: tuple[_ListeningSocket, ...] = (_ListeningSocket(address),)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    def is_serving(self) -> bool:
        return bool(self.sockets)

    def close(self) -> None:
        if self.sockets:
            self.sockets = ()
            self._network.stop_listening(self)

    async def start_serving(self) -> None:
        return

    async def serve_forever(self) -> None:
        await self._network.loop.create_future()

    async def wait_closed(self) -> None:
        return


class SimulatedNetwork:
    """All of the network. Faults are methods; each writes itself into the trace."""

    loop: "SimulatedLoop"  # set by the world, which makes both

    def __init__(self, entropy: SeededEntropy, trace: Trace, timing: NetworkTiming) -> None:
        self.trace = trace
        self.timing = timing
        self.has_obstacles = False
        self.connections: dict[int, Connection] = {}
        self._entropy = entropy
        self._places = entropy.stream("places")
        self._hosts: dict[str, Host] = {}
        self._names: dict[str, str] = {}
        self._names_by_address: dict[str, str] = {}
        self._listeners: dict[int, SimulatedServer] = {}
        self._tokens: dict[socket.socket, Address] = {}
        self._partitions: list[Partition] = []
        self._ports = itertools.count(_FIRST_FREE_PORT)
        self._connection_numbers = itertools.count(1)

    # --- hosts and names

    def host(self, name: str, shape: LinkShape | None = None, *, skew_s: float | None = None) -> Host:
        """The host of that name, made when it is new (on a LAN). `shape` and `skew_s` change it."""
        host = self._hosts.get(name)
        if host is None:
            number = len(self._hosts) + 1
            address = f"172.{16 + number // 62_500}.{number // 250 % 250}.{number % 250 + 1}"
            host = self._hosts[name] = Host(name, address, LAN, self._entropy.stream(f"host/{name}"))
            self._names_by_address[address] = name
        if shape is not None:
            host.shape = shape
        if skew_s is not None:
            host.skew_s = skew_s
        return host

    def name_at(self, address: str) -> str:
        """The host whose connections come from that address; "" where there is none."""
        return self._names_by_address.get(address, "")

    def address_of(self, name: object) -> str:
        """The address that a name resolves to."""
        text = str(name)
        if text in _WORDS_FOR_THIS_MACHINE:
            return _THIS_MACHINE
        if text[0].isdigit():
            return text
        return self._names.setdefault(text, f"10.0.{len(self._names) // 250}.{len(self._names) % 250 + 1}")

    # --- times and places of deliveries

    def on_grid(self, at_s: float) -> float:
        """The first instant of the grid that is not before `at_s`."""
        tick_s = self.timing.tick_s
        return math.ceil(at_s / tick_s) * tick_s if tick_s else at_s

    def draw_place(self) -> float:
        """Where in its instant a delivery comes."""
        return self._places.uniform(0.0, 1.0)

    # --- servers

    def listen(self, factory: Callable[[], Any], host: object, port: int) -> SimulatedServer:
        """Raises OSError when the port is taken."""
        port = port or next(self._ports)
        if port in self._listeners:
            raise OSError(98, f"error while attempting to bind on port {port}: address already in use")
        server = SimulatedServer(self, factory, (self.address_of(host), port), self.host(CURRENT_HOST.get()))
        self._listeners[port] = server
        return server

    def stop_listening(self, server: SimulatedServer) -> None:
        """Takes a listener away; its port is free again."""
        self._listeners.pop(server.address[1], None)

    # --- connecting

    async def handshake(self, address: Address) -> None:
        """Waits as long as SYN and its answer take. Raises OSError: refused, or nobody answered."""
        client = self.host(CURRENT_HOST.get())
        server = self._listeners.get(address[1])
        target = server.host if server is not None else self.host("server")
        if not target.is_powered:
            await self._connect_in_vain()
        blocked_until_s = self.blocked_until_s(client, target)
        if blocked_until_s:
            if blocked_until_s - self.loop.time() > self.timing.connect_give_up_s:
                await self._connect_in_vain()
            await asyncio.sleep(blocked_until_s - self.loop.time() + client.entropy.uniform(0.0, self.timing.retransmission_s))
        arrival_s = self.on_grid(self.loop.time() + one_way_s(client, target) + one_way_s(target, client))
        await asyncio.sleep(arrival_s - self.loop.time())
        self._listener_at(address)

    async def _connect_in_vain(self) -> None:
        await asyncio.sleep(self.timing.connect_give_up_s)
        raise timeout_error()

    def _listener_at(self, address: Address) -> SimulatedServer:
        server = self._listeners.get(address[1])
        if server is None:
            self.trace.add(f"{self.loop.time():.9f} refused {CURRENT_HOST.get()} {address[1]}")
            raise ConnectionRefusedError(111, f"Connect call failed {address}")
        return server

    async def connect_token(self, token: socket.socket, address: Address) -> None:
        """The handshake of a socket that somebody else made; `redeem_token` then says where it leads."""
        await self.handshake(address)
        self._tokens[token] = address

    def redeem_token(self, token: socket.socket) -> Address:
        """The address that the socket was connected to."""
        return self._tokens.pop(token)

    def establish(self, factory: Callable[[], Any], address: Address) -> tuple[SimulatedTransport, Any]:
        """Makes both ends of a connection. Raises ConnectionRefusedError when nobody listens any more."""
        server = self._listener_at(address)
        number = next(self._connection_numbers)
        name = CURRENT_HOST.get()
        client_address = (self.host(name).address, next(self._ports))
        here = contextvars.copy_context()
        there = server.context.copy()
        client = SimulatedTransport(self, number, "c", self.host(name), here, {"sockname": client_address, "peername": address})
        remote = SimulatedTransport(self, number, "s", server.host, there, {"sockname": address, "peername": client_address})
        client.peer, remote.peer = remote, client
        self.connections[number] = Connection(number, client, remote, address[1])
        self.trace.add(f"{self.loop.time():.9f} {number} open {name} {address[1]}")
        remote.set_protocol(there.run(server.factory))
        there.run(remote.get_protocol().connection_made, remote)
        protocol = factory()
        client.set_protocol(protocol)
        protocol.connection_made(client)
        return client, protocol

    def ended(self, transport: SimulatedTransport) -> None:
        """One end is gone; the connection is forgotten when both are."""
        if transport.peer.is_lost:
            self.connections.pop(transport.connection, None)

    # --- what stands in the way

    def blocked_until_s(self, one: Host, other: Host) -> float:
        """When the last partition between two hosts ends; 0 when there is none."""
        if not self._partitions:
            return 0.0
        now_s = self.loop.time()
        self._partitions = [partition for partition in self._partitions if partition.until_s > now_s]
        self.has_obstacles = bool(self._partitions)
        return max((item.until_s for item in self._partitions if item.separates(one.name, other.name)), default=0.0)

    def hold(self, transport: SimulatedTransport, until_s: float) -> None:
        """What `transport` sent waits for the end of a partition; or its retransmissions give up first."""
        if until_s - self.loop.time() > self.timing.give_up_s:
            self.give_up(transport)
        resume_s = until_s + transport.host.entropy.uniform(0.0, self.timing.retransmission_s)
        self.loop.deliver_at(self.on_grid(resume_s), self.draw_place(), transport.release_held, None, transport.peer.context)

    def give_up(self, transport: SimulatedTransport) -> None:
        """`transport` sends into a hole: its kernel will say so after `give_up_s`."""
        transport.is_severed = True
        self.loop.deliver_at(
            self.loop.time() + self.timing.give_up_s, self.draw_place(), transport.lose, timeout_error(), transport.context
        )

    def deliver_reset(self, sender: SimulatedTransport) -> None:
        """An RST goes to the other end, behind all that was sent; a partition swallows it."""
        receiver = sender.peer
        if self.blocked_until_s(sender.host, receiver.host) or sender.is_severed:
            return
        arrival_s = self.on_grid(max(self.loop.time() + one_way_s(sender.host, receiver.host), sender.last_arrival_s))
        self.loop.deliver_at(arrival_s, max(sender.last_place, self.draw_place()), receiver.lose, reset_error(), receiver.context)

    # --- faults

    def reset(self, number: int) -> None:
        """Cuts a connection with an RST to both ends, as a middlebox does."""
        connection = self.connections.get(number)
        if connection is None:
            return
        self.trace.add(f"{self.loop.time():.9f} fault reset {number}")
        connection.client.lose(reset_error())
        connection.server.lose(reset_error())

    def sever(self, number: int) -> None:
        """A NAT entry dies: both ends believe in the connection, and nothing arrives any more."""
        connection = self.connections.get(number)
        if connection is None:
            return
        self.trace.add(f"{self.loop.time():.9f} fault sever {number}")
        connection.client.is_severed = connection.server.is_severed = True

    def partition(self, a: str, b: str, duration_s: float) -> None:
        """Nothing passes between two hosts for a while; TCP repeats it afterwards."""
        self.trace.add(f"{self.loop.time():.9f} fault partition {a} {b} {duration_s:.6f}")
        self._partitions.append(Partition(a, b, self.loop.time() + duration_s))
        self.has_obstacles = True

    def add_latency(self, name: str, extra_s: float) -> None:
        """Adds to the latency of a host's link (negative: takes away what was added)."""
        self.trace.add(f"{self.loop.time():.9f} fault latency {name} {extra_s:.6f}")
        host = self.host(name)
        host.extra_latency_s = max(0.0, host.extra_latency_s + extra_s)

    def power_off(self, name: str) -> None:
        """The host's connections are gone without a packet. Its tasks are the caller's to cancel."""
        self.trace.add(f"{self.loop.time():.9f} fault power off {name}")
        host = self.host(name)
        host.is_powered = False
        for connection in list(self.connections.values()):
            for end in (connection.client, connection.server):
                if end.host is host and not end.is_lost:
                    end.vanish()

    def power_on(self, name: str) -> None:
        """The host answers again: with an RST to whoever still believes in an old connection."""
        self.trace.add(f"{self.loop.time():.9f} fault power on {name}")
        self.host(name).is_powered = True

    def heal(self) -> None:
        """Ends all partitions and extra latencies, and gives power to all hosts; severed connections stay dead."""
        now_s = self.loop.time()
        self.trace.add(f"{now_s:.9f} heal")
        self._partitions = [Partition(item.a, item.b, min(item.until_s, now_s)) for item in self._partitions]
        for host in self._hosts.values():
            host.extra_latency_s = 0.0
            host.is_powered = True

    def connections_of(self, host: str) -> list[int]:
        """Numbers of the open connections with an end at that host, oldest first."""
        return [number for number, item in self.connections.items() if host in (item.client.host.name, item.server.host.name)]
