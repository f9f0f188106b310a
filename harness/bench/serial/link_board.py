"""The board's end of the link: the model of `simulators/board/firmware/link.c`, and the link of boards without hardware."""

from collections.abc import Callable, Mapping
from typing import Any

from harness.bench.serial.framing import Deframer, Frame
from harness.bench.serial.link import VERSION, LinkEvent, LinkSettings, Message, Outgoing, Traffic, counter


class BoardEnd:
    """The end that is opened.

    `accept` is asked with each new message before it is acknowledged: a board writes a command's number down there, and returns False
    while it has no room. `done` tells the last number written down.
    """

    def __init__(
        self,
        *,
        about: Mapping[str, str],
        accept: Callable[[dict[str, Any]], bool],
        done: Callable[[], int],
        settings: LinkSettings | None = None,
    ) -> None:
        self.settings = settings or LinkSettings()
        self._about = dict(about)
        self._accept = accept
        self._done = done
        self._connection: int | None = None
        self._deframer = Deframer(body_bytes_max=self.settings.body_bytes_max)
        self._traffic = Traffic(self.settings)

    def boot(self) -> None:
        """Says that the board starts; to be called once, first."""
        self._traffic.put(k="boot", v=VERSION, max=self.settings.body_bytes_max, done=self._done(), about=self._about)

    def send(self, message: Message, *, now_s: float) -> None:
        """Queues a message for the host; it is repeated until the host took it."""
        self._traffic.queue.append(Outgoing(0, message, deadline_s=float("inf")))
        self.tick(now_s)

    @property
    def is_idle(self) -> bool:
        """Whether the host took everything."""
        return not self._traffic.queue

    def receive(self, data: bytes, now_s: float) -> list[LinkEvent]:
        """Bytes from the line."""
        events: list[LinkEvent] = []
        for item in self._deframer.feed(data):
            if isinstance(item, Frame):
                events += self._judge(item.body)
            else:
                events.append(item)
        self.tick(now_s)
        return events

    def tick(self, now_s: float) -> None:
        """Sends, or sends again, what is due."""
        if self._connection is not None:
            self._traffic.transmit(self._connection, now_s)

    def take_output(self) -> bytes:
        """The bytes to write now, in order; they are forgotten here."""
        output = bytes(self._traffic.output)
        self._traffic.output.clear()
        return output

    @property
    def next_wake_s(self) -> float | None:
        """When `tick` has something to do (monotonic seconds)."""
        if self._connection is None or not self._traffic.queue:
            return None
        return self._traffic.queue[0].next_try_s or 0.0

    def _judge(self, body: dict[str, Any]) -> list[LinkEvent]:
        kind, connection = body.get("k"), counter(body.get("c"))
        if connection is None:
            return []
        if kind == "open":
            self._open(body, connection)
        elif kind == "d" and connection != self._connection:
            self._traffic.put(k="lost", c=connection)
        elif kind == "d":
            return self._take(body, connection)
        elif kind == "a" and connection == self._connection:
            return self._traffic.acknowledged(body.get("s"))
        return []

    def _take(self, body: dict[str, Any], connection: int) -> list[LinkEvent]:
        events = self._traffic.take(body, connection, self._accept)
        if events is None:
            self._traffic.put(k="lost", c=connection)
            return []
        return events

    def _open(self, body: dict[str, Any], connection: int) -> None:
        if counter(body.get("v")) != VERSION:
            self._traffic.put(k="refused", v=VERSION, c=connection)
            return
        if connection != self._connection:  # A repeated `open` must not make the numbers start again.
            self._connection = connection
            self._traffic.restart()
        about, room = self._about, self.settings.body_bytes_max
        self._traffic.put(k="opened", v=VERSION, c=connection, max=room, done=self._done(), about=about)
