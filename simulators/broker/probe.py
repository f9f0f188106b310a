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

PATIENCE_S = 10.0
"""How long is waited for what must come: costs a good broker nothing, and a busy machine may be late."""
QUIET_S = 0.3
"""How long nothing may come until all is taken to have come."""
STREAM_S_MAX = 30.0
"""The longest time for which a stream of packets is listened to."""


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
    async def open(cls, url: str, *, deadline_s: float = PATIENCE_S, tls: ssl.SSLContext | None = None) -> "Probe":
        """Connects, without a CONNECT yet. Raises TargetUnavailable."""
        return cls(await open_stream(url, deadline_s=deadline_s, tls=tls))

    def send(self, *packets: Packet) -> None:
        """Writes packets in one segment."""
        self.send_raw(b"".join(encode(packet) for packet in packets))

    def send_raw(self, data: bytes) -> None:
        """Writes bytes as they are."""
        self._stream.write(data)

    async def receive(self, *, within_s: float = PATIENCE_S) -> Packet:
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

    async def await_type(self, wanted: type[P], *, within_s: float = PATIENCE_S) -> P:
        """The next packet of this type; others that come before it are kept for `receive`. Raises as `receive` does."""
        early: list[Packet] = []
        try:
            async with asyncio.timeout(within_s):
                while not isinstance(packet := await self.receive(within_s=within_s), wanted):
                    early.append(packet)
        finally:
            self._heard[:0] = early
        return packet

    async def heard(self, count: int = 0, *, for_s: float = QUIET_S) -> list[Packet]:
        """The packets that come until `count` of them are there and it has been quiet for `for_s`."""
        return await self._listen(lambda packet: True, count, for_s)

    async def messages(
        self, count: int = 0, *, for_s: float = QUIET_S, answer: Callable[["Probe", Packet], None] | None = None
    ) -> list[Publish]:
        """The PUBLISH packets that come until `count` of them are there and it has been quiet for `for_s`.

        Each packet is shown to `answer` at once.
        """
        packets = await self._listen(lambda packet: isinstance(packet, Publish), count, for_s, answer)
        return [packet for packet in packets if isinstance(packet, Publish)]

    async def _listen(
        self,
        is_counted: Callable[[Packet], bool],
        count: int,
        quiet_s: float,
        answer: Callable[["Probe", Packet], None] | None = None,
    ) -> list[Packet]:
        """Waits patiently for what must come, and `quiet_s` for what is too much. The end of the connection ends it."""
        packets: list[Packet] = []
        missing = count
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + STREAM_S_MAX
        while loop.time() < ends_at_s:
            try:
                packet = await self.receive(within_s=PATIENCE_S if missing > 0 else quiet_s)
            except (TimeoutError, ConnectionEnded, RemoteWireError):
                break
            packets.append(packet)
            missing -= is_counted(packet)
            if answer:
                answer(self, packet)
        return packets

    async def is_closed(self, *, within_s: float = PATIENCE_S) -> bool:
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

    async def close(self) -> None:
        """Ends the connection in order (FIN)."""
        await self._stream.close()

    def abort(self) -> None:
        """Ends the connection as a failing network does (RST)."""
        self._stream.abort()
