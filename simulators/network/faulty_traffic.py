"""Carries out what a fault plan makes of packets, on an event loop: for the embedded broker and for the proxy alike.

A `FaultyLine` is one direction of one connection: a queue of operations that writes, waits and cuts in order. All waiting is the loop's,
so that it runs in simulated time too. What the operations are is decided in `harness.fault_interpreter`.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from harness.fault_interpreter import CutNow, FaultInterpreter, FaultStream, Fired, Operation, Wait, WaitFor, Write
from harness.faults import FaultPlan
from harness.mqtt.packets import Connect, Packet, Side


class FaultyLine:
    """One direction of one connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, side: Side, write: Callable[[bytes], None], cut: Callable[[], None]) -> None:
        self.stream = FaultStream(side)
        self._loop = loop
        self._write = write
        self._cut = cut
        self._queue: deque[Operation | Callable[[], None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._awaited: int | None = None
        self._released: set[int] = set()
        self._is_running = False
        self._waiting: list[asyncio.Event] = []

    def push(self, operations: list[Operation]) -> None:
        """Puts operations behind those that wait, and does what can be done now."""
        self._queue.extend(operations)
        self._run()

    def pass_on(self, data: bytes) -> None:
        """Writes bytes that no fault concerns, in their order."""
        self.push([Write(data)])

    async def done(self) -> None:
        """Returns when everything that was pushed so far has been done (or the line was closed)."""
        reached = asyncio.Event()
        self.then(reached.set)
        self._waiting.append(reached)
        await reached.wait()
        self._waiting.remove(reached)

    def then(self, act: Callable[[], None]) -> None:
        """Calls `act` when everything before it has been done."""
        self._queue.append(act)
        self._run()

    def release(self, ticket: int) -> None:
        """Ends the wait for `ticket`, now or when it would begin."""
        if ticket == self._awaited:
            self._go_on()
        else:
            self._released.add(ticket)

    def close(self) -> None:
        """Forgets what was not done: the connection is gone."""
        self._queue.clear()
        for reached in self._waiting:
            reached.set()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def finish(self) -> None:
        """Does at once what is left, without waiting and without cutting: the plan is over, the connection is not."""
        left = [operation for operation in self._queue if not isinstance(operation, Wait | WaitFor | CutNow)]
        self.close()
        self._awaited = None
        self._queue.extend(left)
        self._run()

    def _go_on(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = None
        self._awaited = None
        self._run()

    def _run(self) -> None:
        # Writing may lead to more being pushed here, which must stay behind.
        if self._is_running:
            return
        self._is_running = True
        try:
            while self._queue and self._timer is None:
                self._do(self._queue.popleft())
        finally:
            self._is_running = False

    def _do(self, operation: Operation | Callable[[], None]) -> None:
        match operation:
            case Write(data=data):
                # What stands together leaves together: that is what coalescing means.
                parts = [data]
                while self._queue and isinstance(self._queue[0], Write):
                    following = self._queue.popleft()
                    assert isinstance(following, Write)
                    parts.append(following.data)
                self._write(b"".join(parts))
            case Wait(seconds=seconds):
                self._timer = self._loop.call_later(seconds, self._go_on)
            case WaitFor(ticket=ticket, seconds_max=seconds_max):
                if ticket not in self._released:
                    self._awaited = ticket
                    self._timer = self._loop.call_later(seconds_max, self._go_on)
            case CutNow():
                self._queue.clear()
                self._cut()
            case act:
                act()


class FaultyTraffic:
    """A plan at work on all connections of one server. `on_fired(line, fired)` is called for the record."""

    def __init__(self, plan: FaultPlan, loop: asyncio.AbstractEventLoop, on_fired: Callable[[FaultyLine, Fired], None]) -> None:
        self._interpreter = FaultInterpreter(plan)
        self._loop = loop
        self._on_fired = on_fired
        self._lines: dict[FaultyLine, None] = {}

    def change_plan(self, plan: FaultPlan) -> None:
        """Another plan from here on: what the former one held back goes on its way, and events are counted anew."""
        self._interpreter = FaultInterpreter(plan)
        by_client: dict[str, list[FaultStream]] = {}
        for line in list(self._lines):
            former = line.stream
            line.stream = FaultStream(former.sent_by)
            if former.client_id:
                by_client.setdefault(former.client_id, []).append(line.stream)
            line.finish()
        for client_id, streams in by_client.items():
            self._interpreter.connected(client_id, streams)

    def line(self, side: Side, write: Callable[[bytes], None], cut: Callable[[], None]) -> FaultyLine:
        """A new direction. `write` gets bytes that shall go on, `cut` ends the connection."""
        line = FaultyLine(self._loop, side, write, cut)
        self._lines[line] = None
        return line

    def connected(self, client_id: str, lines: tuple[FaultyLine, ...]) -> None:
        """These lines belong to a client that is connected already."""
        self._interpreter.connected(client_id, [line.stream for line in lines])

    def packet(self, line: FaultyLine, pair: tuple[FaultyLine, ...], packet: Packet, raw: bytes) -> None:
        """A packet goes over `line`, one of the connection's `pair`."""
        if isinstance(packet, Connect):
            self.connected(packet.client_id, pair)
        operations = self._interpreter.packet(line.stream, packet, raw)
        fired, self._interpreter.fired = self._interpreter.fired, []
        for one in fired:
            self._on_fired(line, one)
        line.push(operations)
        released, self._interpreter.released = self._interpreter.released, []
        for ticket in released:
            for other in list(self._lines):
                other.release(ticket)

    def closed(self, pair: tuple[FaultyLine, ...]) -> None:
        """The connection of these lines is gone."""
        for line in pair:
            line.close()
            self._lines.pop(line, None)
