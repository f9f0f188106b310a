"""Publishes to a broker as a client: how the platform reaches brokers that are not in its process.

One connection, opened at the first publish and again after a loss. The session is clean: a message whose acknowledgement did not come is
not sent again behind the platform's back, its publish fails and says that the outcome is unknown.
"""

import asyncio
import ssl

from harness.bench.streams import ByteStream, open_stream
from harness.errors import RemoteWireError, TargetUnavailable
from harness.mqtt.client_session import ClientSession, Duties
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Packet
from simulators.broker.port import BrokerUnavailable

ANSWER_WITHIN_S = 10.0
KEEP_ALIVE_S = 30


class Publisher:
    """A client that publishes. `stop` ends the connection; the next publish would open another."""

    def __init__(
        self, url: str, client_id: str, *, username: str | None = None, password: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._url = url
        self._client_id = client_id
        self._username = username
        self._password = None if password is None else password.encode()
        self._tls = tls
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        """Returns when the broker has acknowledged. Raises BrokerUnavailable."""
        try:
            connection = await self.connected()
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await connection.publish(topic, payload, qos, retain)
        except TimeoutError:
            raise BrokerUnavailable(f"{self._url} did not acknowledge within {ANSWER_WITHIN_S:g} s: outcome unknown") from None

    async def connected(self) -> "_Connection":
        """The connection, opened if there is none. Raises BrokerUnavailable."""
        async with self._opening:
            if self._connection is not None and self._connection.has_ended:
                await self.stop()
            if self._connection is None:
                session = ClientSession(self._client_id, keep_alive_s=KEEP_ALIVE_S, username=self._username, password=self._password)
                try:
                    stream = await open_stream(self._url, tls=self._tls)
                except TargetUnavailable as error:
                    raise BrokerUnavailable(str(error)) from error
                self._connection = _Connection(stream, session, self._url)
                await self._connection.log_in()
            return self._connection

    async def stop(self) -> None:
        """Ends the connection in order."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


class _Connection:
    def __init__(self, stream: ByteStream, session: ClientSession, url: str) -> None:
        self.has_ended = False
        self._stream = stream
        self._session = session
        self._url = url
        loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[Connack] = loop.create_future()
        self._awaited: dict[int, asyncio.Future[None]] = {}
        self._tasks = (asyncio.create_task(self._read()), asyncio.create_task(self._ping()))

    async def log_in(self) -> None:
        self._write(self._session.connect_packet())
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                connack = await self._connack
        except TimeoutError:
            await self.close()
            raise BrokerUnavailable(f"{self._url} did not answer CONNECT within {ANSWER_WITHIN_S:g} s") from None
        if connack.return_code:
            await self.close()
            raise BrokerUnavailable(f"{self._url} refuses the login: CONNACK {connack.return_code}")

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        packet_id, packets = self._session.publish(topic, payload, qos=qos, retain=retain)
        self._write(*packets)
        if packet_id is None:
            return
        self._awaited[packet_id] = asyncio.get_running_loop().create_future()
        try:
            await self._awaited[packet_id]
        finally:
            self._awaited.pop(packet_id, None)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._end("closed")
        await self._stream.close()

    def _write(self, *packets: Packet) -> None:
        self._stream.write(b"".join(encode(packet) for packet in packets))

    async def _read(self) -> None:
        decoder = Decoder()
        reason = "the broker closed the connection"
        try:
            while data := await self._stream.read():
                for packet in decoder.feed(data):
                    self._take(self._session.receive(packet))
        except (OSError, RemoteWireError) as error:
            reason = str(error)
        self._end(reason)

    def _take(self, duties: Duties) -> None:
        self._write(*duties.send)
        if isinstance(duties.reply, Connack) and not self._connack.done():
            self._connack.set_result(duties.reply)
        for packet_id in duties.completed:
            if (awaited := self._awaited.get(packet_id)) is not None and not awaited.done():
                awaited.set_result(None)

    def _end(self, reason: str) -> None:
        self.has_ended = True
        error = BrokerUnavailable(f"{self._url}: {reason}: outcome unknown")
        futures: list[asyncio.Future[Connack] | asyncio.Future[None]] = [self._connack, *self._awaited.values()]
        for future in futures:
            if not future.done():
                future.set_exception(error)
                future.exception()  # looked at: the one who waited may be gone

    async def _ping(self) -> None:
        while not self.has_ended:
            await asyncio.sleep(KEEP_ALIVE_S * 0.75)
            if self._connack.done() and not self.has_ended:
                self._write(self._session.ping())
