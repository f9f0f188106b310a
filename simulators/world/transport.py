"""One end of a simulated TCP connection, and the pipe that carries its bytes to the other end.

A pipe never reorders and never loses: loss, jitter and partitions only delay. What it may do is end: a reset, a host without power, a dead
NAT entry. The end that sends into such a hole learns of it when its retransmissions give up.
"""

import asyncio
import collections
import contextvars
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from zlib import crc32

from simulators.world.links import Host, book_transmission, bottleneck_bytes_per_s, one_way_s, repetition_delay_s

if TYPE_CHECKING:
    from simulators.world.net import SimulatedNetwork

SEGMENT_BYTES = 1_448  # what fits in one Ethernet frame; what is smaller does not queue behind bulk data
_CHUNK_BYTES_MAX = 65_536
_COPIED_REST_BYTES_MAX = 32_768  # about the low-water mark, below which the writer lets go of the block and makes the next one
_CHECKSUM_BYTES = 2_048  # of each delivery that go into the trace's checksum; whole images are hashed by those who receive them
_HIGH_WATER_BYTES = 65_536  # asyncio's own limits
_LOW_WATER_BYTES = 16_384

_End = None  # the end of the stream, as an entry of a pipe's queue


def reset_error() -> ConnectionResetError:
    """What a peer's RST looks like to a program."""
    return ConnectionResetError(104, "Connection reset by peer")


def timeout_error() -> TimeoutError:
    """What the kernel says after all retransmissions."""
    return TimeoutError(110, "Connection timed out")


class SimulatedTransport(asyncio.Transport):
    """What a protocol holds. Follows asyncio's contract for transports, including the watermarks."""

    __slots__ = (
        "_drain_waiter",
        "_high",
        "_is_resuming",
        "_low",
        "_paused_writing",
        "_protocol",
        "_queue",
        "_reading_paused",
        "_unread",
        "chunk_in_flight_bytes",
        "closing",
        "connection",
        "context",
        "held",
        "host",
        "is_lost",
        "is_severed",
        "last_arrival_s",
        "last_place",
        "network",
        "peer",
        "queued_bytes",
        "side",
        "stream_ended",
    )

    def __init__(
        self, network: "SimulatedNetwork", connection: int, side: str, host: Host, context: contextvars.Context, extra: dict[str, Any]
    ) -> None:
        # Not super().__init__(): it makes an attribute dictionary of its own for each of thousands of transports.
        self.network = network
        self.connection = connection
        self.side = side  # "c" or "s"
        self.host = host
        self.context = context
        self.peer: SimulatedTransport = self  # until the network has made the other end
        self._extra = extra
        self._protocol: Any = None
        self._queue: collections.deque[bytes | memoryview | None] = collections.deque()
        self.queued_bytes = 0
        self.chunk_in_flight_bytes = 0
        self.held: collections.deque[bytes | None] | None = None  # what a partition holds back, in order
        self.last_arrival_s = 0.0
        self.last_place = 0.0
        self._unread: collections.deque[bytes | None] = collections.deque()
        self._reading_paused = False
        self._paused_writing = False
        self._is_resuming = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self._high = _HIGH_WATER_BYTES
        self._low = _LOW_WATER_BYTES
        self.stream_ended = False
        self.closing = False
        self.is_lost = False
        self.is_severed = False  # what it sends reaches nobody, and it does not know

    # --- asyncio's transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._extra.get(name, default)

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def is_reading(self) -> bool:
        return not self._reading_paused and not self.closing

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return self.queued_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else (_HIGH_WATER_BYTES if low is None else 4 * low)
        self._low = low if low is not None else self._high // 4

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self.network.loop.call_soon(self._read_on, context=self.context)

    def write(self, data: Any) -> None:
        if not data or self.closing or self.stream_ended:
            return
        self._queue.append(data if type(data) is bytes else bytes(data))
        self.queued_bytes += len(data)
        self._after_write()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        # Not joined first: that would copy a whole image for each download.
        if self.closing or self.stream_ended:
            return
        for data in list_of_data:
            if data:
                self._queue.append(data if type(data) is bytes else bytes(data))
                self.queued_bytes += len(data)
        self._after_write()

    def write_eof(self) -> None:
        if not self.stream_ended and not self.closing:
            self.stream_ended = True
            self._queue.append(_End)
            self._pump()

    def close(self) -> None:
        if self.closing:
            return
        self.closing = True
        if not self.stream_ended:
            self.stream_ended = True
            self._queue.append(_End)
        self._pump()

    def abort(self) -> None:
        if not self.is_lost:
            self.network.deliver_reset(self)
            self.lose(None)

    async def drained(self) -> None:
        """Returns when the buffer has room again. Raises ConnectionResetError when the connection is gone."""
        while self._paused_writing and not self.is_lost:
            if self._drain_waiter is None:
                self._drain_waiter = self.network.loop.create_future()
            await asyncio.shield(self._drain_waiter)
        if self.is_lost:
            raise ConnectionResetError("Connection lost")

    # --- the pipe to the peer

    def _after_write(self) -> None:
        if self.queued_bytes > self._high and not self._paused_writing:
            self._paused_writing = True
            self._protocol.pause_writing()
        self._pump()

    def _pump(self) -> None:
        """Hands chunks to the link while the window has room."""
        chunk_bytes = self._chunk_bytes()
        while self._queue and self.chunk_in_flight_bytes < 2 * chunk_bytes and not self.is_lost and not self.peer._is_full():
            self._launch(self._next_chunk(chunk_bytes))
        if self._paused_writing and self.queued_bytes <= self._low and not self._is_resuming and not self.is_lost:
            self._is_resuming = True
            self.network.loop.call_soon(self._resume_writing, context=self.context)
        if self.closing and not self._queue and not self.is_lost:
            self.lose(None)

    def _chunk_bytes(self) -> int:
        rate = bottleneck_bytes_per_s(self.host, self.peer.host)
        if not rate:
            return _CHUNK_BYTES_MAX
        return min(_CHUNK_BYTES_MAX, max(SEGMENT_BYTES, int(rate * self.network.timing.chunk_s)))

    def _next_chunk(self, limit_bytes: int) -> bytes | None:
        queue = self._queue
        first = queue.popleft()
        if first is None:
            return None
        if len(first) > limit_bytes:
            whole = memoryview(first)
            rest = whole[limit_bytes:]
            # A view keeps the whole block alive: the last kilobytes of a slow download would hold 64 of them.
            queue.appendleft(rest if len(rest) > _COPIED_REST_BYTES_MAX else bytes(rest))
            self.queued_bytes -= limit_bytes
            return bytes(whole[:limit_bytes])
        parts, size_bytes = [first], len(first)
        while queue and queue[0] is not None and size_bytes + len(queue[0]) <= limit_bytes:
            part = queue.popleft()
            assert part is not None
            parts.append(part)
            size_bytes += len(part)
        self.queued_bytes -= size_bytes
        return b"".join(parts) if len(parts) > 1 else bytes(first)

    def _launch(self, chunk: bytes | None) -> None:
        network, sender, receiver = self.network, self.host, self.peer.host
        now_s = network.loop.time()
        size_bytes = len(chunk) if chunk is not None else 0
        departure_s = now_s
        if size_bytes:
            departure_s = book_transmission(sender, receiver, size_bytes, now_s, waits_its_turn=size_bytes >= SEGMENT_BYTES)
        arrival_s = departure_s + one_way_s(sender, receiver)
        if sender.shape.loss or receiver.shape.loss:
            arrival_s += repetition_delay_s(sender, receiver, timeout_s=network.timing.retransmission_s)
        arrival_s = network.on_grid(arrival_s)
        if arrival_s > self.last_arrival_s:
            self.last_arrival_s = arrival_s
            self.last_place = network.draw_place()
        # Else it comes in the same instant and place as what went before it: a stream keeps its order.
        self.chunk_in_flight_bytes += size_bytes
        network.loop.deliver_at(self.last_arrival_s, self.last_place, self._arrive, chunk, self.peer.context)

    def _arrive(self, chunk: bytes | None) -> None:
        """A chunk has come to the other end. Runs in the peer's context."""
        if self.held is not None:
            self.held.append(chunk)
            return
        blocked_until_s = self.network.blocked_until_s(self.host, self.peer.host) if self.network.has_obstacles else 0.0
        if blocked_until_s:
            self.held = collections.deque([chunk])
            self.network.hold(self, blocked_until_s)
            return
        self._hand_over(chunk)

    def release_held(self, _nothing: object = None) -> None:
        """The partition may be over: what it held back arrives, in order, unless the next partition has begun."""
        held, self.held = self.held, None
        for chunk in held or ():
            self._arrive(chunk)

    def _hand_over(self, chunk: bytes | None) -> None:
        peer = self.peer
        if chunk is not None:
            self.chunk_in_flight_bytes -= len(chunk)
        if self.is_severed or peer.is_lost:
            if chunk is not None and not self.is_lost:
                self._send_into_the_void()
            return
        peer._receive(chunk)
        if self._queue and not self.is_lost:
            self._pump()

    def _send_into_the_void(self) -> None:
        if not self.is_severed and self.peer.host.is_powered:
            self.network.deliver_reset(self.peer)
        else:
            self.network.give_up(self)

    # --- the receiving end

    def _is_full(self) -> bool:
        return self._reading_paused

    def _receive(self, chunk: bytes | None) -> None:
        if self._reading_paused or self._unread:
            self._unread.append(chunk)
        else:
            self._hand_to_protocol(chunk)

    def _hand_to_protocol(self, chunk: bytes | None) -> None:
        network = self.network
        now_s = network.loop.time()
        if chunk is None:
            network.trace.add(f"{now_s:.9f} {self.connection}{self.side} end")
            if not self._protocol.eof_received():
                self.close()
            return
        network.trace.add(f"{now_s:.9f} {self.connection}{self.side} {len(chunk)} {crc32(chunk[:_CHECKSUM_BYTES]):08x}")
        if self.closing:
            return
        try:
            self._protocol.data_received(chunk)
        except Exception as problem:  # as asyncio's own transports do: the protocol is broken, the connection ends
            details = {"message": "data_received failed", "exception": problem, "transport": self, "protocol": self._protocol}
            network.loop.call_exception_handler(details)
            self.lose(problem)

    def _read_on(self) -> None:
        while self._unread and not self._reading_paused and not self.is_lost:
            self._hand_to_protocol(self._unread.popleft())
        if not self._reading_paused and not self.peer.is_lost:
            self.peer._pump()

    def _resume_writing(self) -> None:
        # A step later, so in the protocol's own context; until then it counts as paused.
        self._is_resuming = False
        if self.is_lost or self.queued_bytes > self._high:
            return
        self._paused_writing = False
        self._protocol.resume_writing()
        self._wake_drain_waiter()

    def _wake_drain_waiter(self) -> None:
        waiter, self._drain_waiter = self._drain_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- the end

    def lose(self, error: Exception | None) -> None:
        """The connection is over for this end; its protocol hears of it in the next step."""
        if self.is_lost:
            return
        self.is_lost = self.closing = True
        self._forget_data()
        self._wake_drain_waiter()
        self.network.trace.add(f"{self.network.loop.time():.9f} {self.connection}{self.side} lost {type(error).__name__}")
        self.network.loop.call_soon(self._protocol.connection_lost, error, context=self.context)
        self.network.ended(self)

    def vanish(self) -> None:
        """The host has lost its power: no protocol hears of anything."""
        self.is_lost = self.closing = True
        self._forget_data()
        self.network.ended(self)

    def _forget_data(self) -> None:
        self._queue.clear()
        self._unread.clear()
        self.queued_bytes = 0
