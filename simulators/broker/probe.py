"""A client that says exactly what it is told, packet by packet, and reports exactly what it hears: for looking at any broker.

No session, no automatic answers, no keep-alive: whoever drives it decides about each packet, the illegal ones included.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import TypeVar

from harness.bench.streams import ByteStream, open_stream
from harness.errors import RemoteWireError
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Connect, Packet, Publish, Suback, Subscribe

P = TypeVar("P", bound=Packet)

STREAM_S_MAX = 20.0
"""The longest time for which a stream of messages is listened to."""


class ConnectionEnded(Exception):
    """The broker ended the connection while a packet was awaited."""


class Probe:
    """One connection to a broker."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._decoder = Decoder()
        self._heard: list[Packet] = []
        self.session_present = False

    @classmethod
    async def open(cls, url: str, *, deadline_s: float = 5.0, tls: ssl.SSLContext | None = None) -> "Probe":
        """Connects, without a CONNECT yet. Raises TargetUnavailable."""
        return cls(await open_stream(url, deadline_s=deadline_s, tls=tls))

    def send(self, *packets: Packet) -> None:
        """Writes packets in one segment."""
        self.send_raw(b"".join(encode(packet) for packet in packets))

    def send_raw(self, data: bytes) -> None:
        """Writes bytes as they are."""
        self._stream.write(data)

    async def receive(self, *, within_s: float = 3.0) -> Packet:
        """The next packet. Raises TimeoutError, ConnectionEnded, RemoteWireError."""
        async with asyncio.timeout(within_s):
            while not self._heard:
                try:
                    data = await self._stream.read()
                except OSError as error:
                    raise ConnectionEnded(str(error)) from error
                if not data:
                    raise ConnectionEnded("the broker closed the connection")
                self._heard += self._decoder.feed(data)
        return self._heard.pop(0)

    async def await_type(self, wanted: type[P], *, within_s: float = 3.0) -> P:
        """The next packet of this type; others that come before it are kept for `receive`. Raises as `receive` does."""
        early: list[Packet] = []
        try:
            async with asyncio.timeout(within_s):
                while not isinstance(packet := await self.receive(within_s=within_s), wanted):
                    early.append(packet)
        finally:
            self._heard[:0] = early
        return packet

    async def heard(self, *, for_s: float = 0.3) -> list[Packet]:
        """All packets that come within `for_s`; the end of the connection ends the wait."""
        packets = []
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + for_s
        while (left_s := ends_at_s - loop.time()) > 0:
            try:
                packets.append(await self.receive(within_s=left_s))
            except (TimeoutError, ConnectionEnded, RemoteWireError):
                break
        return packets

    async def is_closed(self, *, within_s: float = 3.0) -> bool:
        """Whether the broker ends the connection within that time, whatever it says before."""
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + within_s
        while (left_s := ends_at_s - loop.time()) > 0:
            try:
                await self.receive(within_s=left_s)
            except ConnectionEnded:
                return True
            except TimeoutError:
                return False
        return False

    async def connect(self, connect: Connect) -> Connack:
        """Sends CONNECT and takes the answer. Raises ConnectionEnded, TimeoutError, RemoteWireError."""
        self.send(connect)
        answer = await self.receive()
        if not isinstance(answer, Connack):
            raise RemoteWireError(f"{answer.packet_type.name} instead of CONNACK", statement="MQTT-3.2.0-1")
        return answer

    async def subscribe(self, *filters: tuple[str, int], packet_id: int = 1) -> tuple[int, ...]:
        """Subscribes and gives the return codes. Messages that come before SUBACK are kept for `receive`."""
        self.send(Subscribe(packet_id, filters))
        return (await self.await_type(Suback)).return_codes

    async def messages(self, *, for_s: float = 0.3, answer: Callable[["Probe", Packet], None] | None = None) -> list[Publish]:
        """The PUBLISH packets that come until it has been quiet for `for_s`; each packet is shown to `answer` at once."""
        messages = []
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + STREAM_S_MAX
        while loop.time() < ends_at_s:
            try:
                packet = await self.receive(within_s=for_s)
            except (TimeoutError, ConnectionEnded, RemoteWireError):
                break
            if isinstance(packet, Publish):
                messages.append(packet)
            if answer:
                answer(self, packet)
        return messages

    async def close(self) -> None:
        """Ends the connection in order (FIN)."""
        await self._stream.close()

    def abort(self) -> None:
        """Ends the connection as a failing network does (RST)."""
        self._stream.abort()
