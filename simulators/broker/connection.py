"""One network connection of the embedded broker: a link with a transport and a decoder. Decides nothing."""

import asyncio
from typing import Protocol, cast

from harness.errors import RemoteWireError
from harness.mqtt.decoding import Decoder
from harness.mqtt.packets import Packet
from simulators.broker.links import Link

LINGER_S = 2.0
"""How long a connection that we end may take to read what was sent before."""


class ConnectionOwner(Protocol):
    """Who is told what happens on a connection."""

    def link_opened(self, link: "Connection", peer: str) -> None:
        """A connection stands."""
        ...

    def link_received(self, link: "Connection", packets: list[Packet], error: RemoteWireError | None) -> None:
        """Packets have come in, and perhaps, behind them, bytes that are none."""
        ...

    def link_lost(self, link: "Connection", reason: str) -> None:
        """A connection is gone, by whomever."""
        ...


class Connection(Link, asyncio.Protocol):
    """A link with a transport."""

    __slots__ = ("_broker", "_decoder", "_transport", "unsent")

    def __init__(self, broker: ConnectionOwner, *, packet_bytes_max: int) -> None:
        super().__init__()
        self._broker = broker
        self._decoder = Decoder(max_packet_bytes=packet_bytes_max)
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
