"""The embedded broker: `core` on sockets, in the process and on the event loop of whoever starts it.

One protocol object per connection, no task and no timer per device; all waiting goes through the event loop, so that it runs unmodified on
a simulated one. With a state directory every packet is held back until the journal has committed what it promises, one commit for all that
arrived together. Observer and fault plan cost one comparison when absent.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from harness.errors import BenchError, RemoteWireError
from harness.fault_interpreter import Fired
from harness.faults import FaultPlan
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet
from simulators.broker.connection import Connection
from simulators.broker.core import BrokerCore
from simulators.broker.link_faults import LinkFaults
from simulators.broker.links import Close, Output
from simulators.broker.listeners import Listeners
from simulators.broker.port import (
    BrokerSettings,
    BrokerUnavailable,
    ClosedBy,
    DeviceDirectory,
    Direction,
    PacketObserver,
)
from simulators.broker.sqlite_store import SqliteJournal


class EmbeddedBroker:
    """A broker of this process, behind `BrokerPort`. May be started again after a stop: on the same port, its memory empty."""

    def __init__(self, settings: BrokerSettings, directory: DeviceDirectory, *, observer: PacketObserver | None = None) -> None:
        self.settings = settings
        self.core = BrokerCore(directory, settings.limits)
        self._directory = directory
        self._observer = observer
        self._listeners = Listeners(settings, lambda: Connection(self, packet_bytes_max=settings.limits.packet_bytes_max))
        self._connections: dict[Connection, None] = {}  # in the order of their arrival, so that a simulation replays
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now: Callable[[], float] = lambda: 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._faults: LinkFaults[Connection] | None = None
        self._journal: SqliteJournal | None = None
        self._committed: asyncio.Future[None] | None = None

    # --- the port --------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Serves when it returns. Raises BenchError when a port is taken or a TLS file is wrong; then nothing of it is left."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = self._loop.time
        if self.settings.state_directory is not None:
            self._journal = SqliteJournal(self.settings.state_directory)
        self.core = BrokerCore(self._directory, self.settings.limits, journal=self._journal)
        if self._journal is not None:
            self._restore(self._journal)
        await self._listeners.open()

    async def stop(self) -> None:
        """Closes all listeners and connections; harmless when it is not running."""
        self._loop = None
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._listeners.close()
        for connection in list(self._connections):
            connection.abort()
        self._connections.clear()
        await self._listeners.closed()
        if self._journal is not None:
            if self._journal.is_dirty:
                self._journal.commit()
            self._journal.close()
            self._journal = None
        self._give_up_commit(BrokerUnavailable("the embedded broker was stopped"))

    @property
    def mqtt_url(self) -> str:
        """`mqtt://host:port`; the port is known after the first start."""
        return self._listeners.mqtt_url

    @property
    def mqtts_url(self) -> str | None:
        """`mqtts://host:port` of the TLS listener, if there is one."""
        return self._listeners.mqtts_url

    @property
    def ws_url(self) -> str | None:
        """`ws://host:port/mqtt` of the WebSocket listener, if there is one."""
        return self._listeners.ws_url

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
        return self.core.connected_clients() if self._loop is not None else frozenset()

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
        if self._loop is None:
            return  # They were held back for longer than the broker ran.
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
            session.restore(kept.subscriptions, kept.messages, kept.incoming_ids)
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
