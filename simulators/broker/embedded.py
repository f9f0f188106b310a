"""The embedded broker: sockets around `core`, in the process and on the event loop of whoever starts it.

One protocol object per connection, no task and no timer per device; all waiting goes through the event loop, so that it runs unmodified on
a simulated one. With a state directory every packet is held back until the journal has committed what it promises, one commit for all that
arrived together. Observer and fault plan cost one comparison when absent.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from harness.errors import BenchError, RemoteWireError
from harness.fault_interpreter import Fired
from harness.faults import FaultPlan
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet
from simulators.broker.core import BrokerCore
from simulators.broker.link_faults import LinkFaults
from simulators.broker.links import Close, Link, Output
from simulators.broker.port import (
    BrokerSettings,
    BrokerUnavailable,
    ClosedBy,
    DeviceDirectory,
    Direction,
    PacketObserver,
    TlsFiles,
)
from simulators.broker.sqlite_store import SqliteJournal
from simulators.broker.websocket import WebSocketListener

LINGER_S = 2.0
"""How long a connection that we end may take to read what was sent before."""

BACKLOG = 4_096
"""Connections that may wait to be accepted: a fleet arrives all at once."""


class Connection(Link, asyncio.Protocol):
    """A link with a transport."""

    __slots__ = ("_broker", "_decoder", "_transport", "unsent")

    def __init__(self, broker: "EmbeddedBroker") -> None:
        super().__init__()
        self._broker = broker
        self._decoder = Decoder(max_packet_bytes=broker.settings.limits.packet_bytes_max)
        self._transport: asyncio.Transport | None = None
        self.unsent = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._broker.link_opened(self, str(transport.get_extra_info("peername")))

    def data_received(self, data: bytes) -> None:
        try:
            packets = self._decoder.feed(data)
        except RemoteWireError:
            packets = []
        self._broker.link_received(self, packets, self._decoder.error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._broker.link_lost(self, "" if exc is None else str(exc))

    def pause_writing(self) -> None:
        self.is_congested = True

    def resume_writing(self) -> None:
        self.is_congested = False

    def write(self, data: bytes) -> None:
        """Hands bytes to the transport; those for a connection that is gone are lost."""
        if self._transport is not None:
            self._transport.write(data)

    def write_unsent(self) -> None:
        """Hands the collected bytes to the transport, in one piece."""
        self.write(self.unsent)
        self.unsent = b""

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Ends the connection when everything that was written has left; after `LINGER_S` at the latest."""
        if self._transport is None:
            return
        self._transport.close()
        if self._transport.get_write_buffer_size():
            loop.call_later(LINGER_S, self._transport.abort)

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()


class EmbeddedBroker:
    """A broker of this process, behind `BrokerPort`. May be started again after a stop: on the same port, its memory empty."""

    def __init__(self, settings: BrokerSettings, directory: DeviceDirectory, *, observer: PacketObserver | None = None) -> None:
        self.settings = settings
        self.core = BrokerCore(directory, settings.limits)
        self._directory = directory
        self._observer = observer
        self._port = settings.port
        self._tls_port = settings.tls_port
        self._websockets: WebSocketListener | None = None
        self._connections: dict[Connection, None] = {}  # in the order of their arrival, so that a simulation replays
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now: Callable[[], float] = lambda: 0.0
        self._servers: list[asyncio.AbstractServer] = []
        self._timer: asyncio.TimerHandle | None = None
        self._faults: LinkFaults[Connection] | None = None
        self._journal: SqliteJournal | None = None
        self._committed: asyncio.Future[None] | None = None

    # --- the port --------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serves when it returns. Raises BenchError when a port is taken or a TLS file is wrong."""
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        if self.settings.state_directory is not None:
            self._journal = SqliteJournal(self.settings.state_directory)
        self.core = BrokerCore(self._directory, self.settings.limits, journal=self._journal)
        if self._journal is not None:
            self._restore(self._journal)
        server = await self._listen(self._port, None)
        self._port = server.sockets[0].getsockname()[1]
        if self._tls_port is not None and self.settings.tls is not None:
            server = await self._listen(self._tls_port, _tls_context(self.settings.tls))
            self._tls_port = server.sockets[0].getsockname()[1]
        if self.settings.websocket_port is not None:
            await self._listen_for_websockets(self.settings.websocket_port)

    async def stop(self) -> None:
        """Closes all listeners and connections; harmless when it is not running."""
        self._loop = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.abort()
        self._connections.clear()
        if self._websockets is not None:
            await self._websockets.stop()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        if self._journal is not None:
            if self._journal.is_dirty:
                self._journal.commit()
            self._journal.close()
            self._journal = None
        self._give_up_commit(BrokerUnavailable("the embedded broker was stopped"))

    @property
    def mqtt_url(self) -> str:
        """`mqtt://host:port`; the port is known after the first start."""
        return f"mqtt://{self._host}:{self._port}"

    @property
    def mqtts_url(self) -> str | None:
        """`mqtts://host:port` of the TLS listener, if there is one."""
        return None if self._tls_port is None else f"mqtts://{self._host}:{self._tls_port}"

    @property
    def ws_url(self) -> str | None:
        """`ws://host:port/mqtt` of the WebSocket listener, if there is one."""
        return f"ws://{self._host}:{self._websockets.port}/mqtt" if self._websockets else None

    @property
    def _host(self) -> str:
        host = self.settings.public_host or self.settings.bind
        return f"[{host}]" if ":" in host else host

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        """Routes a message to all sessions that it reaches; returns when it is safe there. Raises BrokerUnavailable.

        Safe is: in memory, or, with a state directory, committed for the sessions that are persistent.
        """
        if self._loop is None:
            raise BrokerUnavailable("the embedded broker is not running")
        self.core.publish(topic, payload, qos, retain)
        self._flush()
        if self._committed is not None:
            await asyncio.shield(self._committed)

    async def disconnect(self, client_id: str) -> bool:
        """Ends the client's connection; False if it is not connected."""
        is_connected = self._loop is not None and self.core.disconnect(client_id, self._now())
        self._flush()
        return is_connected

    def send_packet(self, client_id: str, packet: Packet) -> bool:
        """Writes a packet to a client past its session, for test benches; False where it is not connected."""
        for link in self._connections:
            if link.client_id == client_id and not link.is_closed:
                data = encode(packet)
                self._observe_outgoing(link, packet, len(data))
                link.write(data)
                return True
        return False

    def connected_clients(self) -> frozenset[str]:
        """The client ids that are connected now."""
        return self.core.connected_clients()

    def set_faults(self, plan: FaultPlan | None) -> None:
        """Puts a fault plan to work, in the place of another; None ends all faults. Events are counted from here on.

        A client that is connected now is on its first connection. Raises BrokerUnavailable when the broker is not running.
        """
        if self._loop is None:
            raise BrokerUnavailable("the embedded broker is not running")
        former, self._faults = self._faults, None
        if former is not None:
            former.end()
        self._faults = LinkFaults(plan, self._loop, self) if plan else None

    # --- what connections report -----------------------------------------------------------------------------------------------------

    def link_opened(self, link: Connection, peer: str) -> None:
        """A connection stands."""
        if self._loop is None:
            link.abort()
            return
        self._connections[link] = None
        self.core.opened(link, self._now())
        self._arm()
        if self._observer is not None:
            self._observer.opened(link.number, peer)

    def link_received(self, link: Connection, packets: list[Packet], error: RemoteWireError | None) -> None:
        """Packets have come in, and perhaps, behind them, bytes that are none."""
        if self._loop is None or link.is_closed:
            return  # A closing transport may still hand over what had come before.
        now_s = self._now()
        was_anonymous = link.session is None
        for packet in packets:
            self._take(link, packet, now_s)
        if error is not None:
            self._malformed(link, error, now_s)
        if was_anonymous:
            self._arm()
        self._flush()

    def _take(self, link: Connection, packet: Packet, now_s: float) -> None:
        if link.is_closed:
            return  # A fault has cut the connection at an earlier packet.
        if self._observer is not None:
            self._observe_incoming(link, packet)
        if self._faults is None:
            self.core.received(link, packet, now_s)
        else:
            self._faults.incoming(link, packet)

    def link_lost(self, link: Connection, reason: str, closed_by: ClosedBy = ClosedBy.CLIENT) -> None:
        """A connection is gone, by whomever."""
        self._connections.pop(link, None)
        if self._faults is not None:
            self._faults.closed(link)
        if self._loop is None or link.is_closed:
            return
        self.core.lost(link, self._now())
        if self._observer is not None:
            self._observer.closed(link.number, link.client_id, closed_by, reason or "connection lost")
        self._arm()
        self._flush()

    # --- what the fault plan makes of it ---------------------------------------------------------------------------------------------

    def passed(self, link: Connection, packets: list[Packet], error: RemoteWireError | None) -> None:
        """Incoming packets have come through the faults; `error` tells of bytes that the faults have spoilt."""
        now_s = self._now()
        for packet in packets:
            self.core.received(link, packet, now_s)
        if error is not None:
            self._malformed(link, error, now_s)
        self._arm()
        self._flush()

    def fault_fired(self, link: Connection, fired: Fired) -> None:
        """A fault acted."""
        if self._observer is not None:
            self._observer.fault(link.number, fired.client_id, fired.name, fired.detail)

    def fault_cut(self, link: Connection) -> None:
        """A fault ends the connection: for the broker, the network has failed."""
        if self._loop is not None:
            link.close(self._loop)
        self.link_lost(link, "cut by the fault plan", ClosedBy.FAULT)

    def fault_write(self, link: Connection, data: bytes) -> None:
        """Outgoing bytes have come through the faults."""
        link.write(data)

    def fault_sent(self, link: Connection, packet: Packet) -> None:
        """A whole packet has left: the observer sees what is really sent, copies and changes by the plan included."""
        self._observe_outgoing(link, packet, len(encode(packet)))

    def fault_end(self, link: Connection) -> None:
        """All that was sent before the broker ended the connection has come through the faults."""
        if self._loop is not None:
            link.close(self._loop)

    def _malformed(self, link: Connection, error: RemoteWireError, now_s: float) -> None:
        if link.is_closed:
            return
        if self._observer is not None:
            self._observer.malformed(link.number, link.client_id, error)
        self.core.malformed(link, error, now_s)

    # --- outputs and time ------------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._committed is not None:
            return
        if self._journal is not None and self._journal.is_dirty:
            # Nothing leaves before its promise is safe. All that arrives in this turn of the loop shares one commit.
            assert self._loop is not None
            self._committed = self._loop.create_future()
            self._loop.call_soon(self._commit)
            return
        outputs = self.core.take_outputs()
        if outputs:
            self._carry_out(outputs)

    def _commit(self) -> None:
        if self._journal is None or self._committed is None:
            return
        try:
            self._journal.commit()
        except BenchError as error:
            # What clients were about to be told is not true. They must ask again, another broker or this one.
            self.core.take_outputs()
            self._give_up_commit(BrokerUnavailable(str(error)))
            for connection in list(self._connections):
                connection.abort()
            return
        committed, self._committed = self._committed, None
        committed.set_result(None)
        self._flush()

    def _give_up_commit(self, error: BrokerUnavailable) -> None:
        if self._committed is not None:
            self._committed.set_exception(error)
            self._committed.exception()  # looked at: nobody may be waiting
            self._committed = None

    def _restore(self, journal: SqliteJournal) -> None:
        sessions = []
        for client_id, kept in journal.sessions().items():
            session = self.core.new_session(client_id, is_clean=False)
            session.restore(kept.subscriptions, kept.messages, kept.received_ids)
            sessions.append(session)
        self.core.restore(sessions, journal.retained(), self._now())

    def _carry_out(self, outputs: list[Output]) -> None:
        # Links of this broker are its connections: it has made them all.
        written: list[Connection] = []
        for link, order in cast("list[tuple[Connection, Packet | Close]]", outputs):
            if type(order) is Close:
                link.write_unsent()
                self._close(link, order)
                continue
            packet = cast(Packet, order)
            data = encode(packet)
            if self._faults is not None:
                # An earlier packet of the same turn may have met a cut: what stands behind it has no connection any more.
                if link in self._connections:
                    self._faults.outgoing(link, packet, data)
                continue
            self._observe_outgoing(link, packet, len(data))
            if not link.unsent:
                written.append(link)
            link.unsent += data
        for link in written:
            if link.unsent:
                link.write_unsent()

    def _close(self, link: Connection, order: Close) -> None:
        if self._observer is not None:
            self._observer.closed(link.number, link.client_id, order.closed_by, order.reason)
        if self._faults is not None:
            self._faults.ending(link)
        elif self._loop is not None:
            link.close(self._loop)

    def _observe_outgoing(self, link: Connection, packet: Packet, size_bytes: int) -> None:
        if self._observer is not None:
            self._observer.packet(link.number, link.client_id, Direction.TO_CLIENT, packet, size_bytes)

    def _observe_incoming(self, link: Connection, packet: Packet) -> None:
        assert self._observer is not None
        client_id = link.client_id or getattr(packet, "client_id", "")
        self._observer.packet(link.number, client_id, Direction.FROM_CLIENT, packet, len(encode(packet)))

    def _arm(self) -> None:
        """Sets the one timer to the earliest deadline."""
        assert self._loop is not None
        at_s = self.core.next_deadline_s()
        if self._timer is not None:
            if at_s is not None and self._timer.when() <= at_s:
                return
            self._timer.cancel()
        self._timer = None if at_s is None else self._loop.call_at(at_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._loop is None:
            return
        self.core.expire(self._now())
        self._arm()
        self._flush()

    async def _listen(self, port: int, tls: ssl.SSLContext | None) -> asyncio.Server:
        assert self._loop is not None
        try:
            server = await self._loop.create_server(lambda: Connection(self), self.settings.bind, port, backlog=BACKLOG, ssl=tls)
        except OSError as error:
            raise BenchError(f"the broker cannot listen on {self.settings.bind}:{port}: {error}") from error
        self._servers.append(server)
        return server

    async def _listen_for_websockets(self, port: int) -> None:
        if self._websockets is None:
            limit = self.settings.limits.packet_bytes_max
            self._websockets = WebSocketListener(lambda: Connection(self), self.settings.bind, port, limit)
        try:
            await self._websockets.start()
        except OSError as error:
            raise BenchError(f"the broker cannot listen on {self.settings.bind}:{port}: {error}") from error


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(files.certificate, files.key)
        if files.client_ca:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise BenchError(f"the broker's TLS files cannot be used ({files.certificate}, {files.key}): {error}") from error
    return context
