"""The network of a board that has none: MQTT and HTTP in its name, with its credentials.

The session towards the broker is persistent and is kept here, as if the board kept it in flash: a command that arrived is handed to the
board once it is up, and a result that cannot leave waits. When the board boots, its connection to the broker drops and comes again: so a
reboot looks on the network as it does with a board of its own. What the board answers is not judged here.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass

from harness.bench.serial.ports import BoardLink
from harness.entropy import Entropy
from harness.errors import BenchError, LocalWireError, RemoteWireError
from harness.mqtt.client_session import ClientMemory, ClientSession, Phase
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import SUBSCRIPTION_REFUSED, Connack, Packet, Publish, Suback
from harness.wire.topics import control_filter, parse_control_topic, result_topic
from simulators.device.broker_line import broker_address
from simulators.device.downloader import Body, Event, Failed, Request, Response
from simulators.device.fetch import fetch
from simulators.device.settings import CONNECT_S_MAX, growing_backoff

READ_BYTES = 65_536
COMMAND_S_MAX = 60.0  # a board may be rebooting, or writing flash
SILENCE_S_MAX = 180.0  # of a download's sender
REFUSED_STALE = b'{"success":false,"message":"a retained command is stale (DEV-21)"}'
REFUSED_LONG = b'{"success":false,"message":"longer than the board\'s link takes"}'


@dataclass(frozen=True, slots=True)
class GatewayLogin:
    """Who the board is on the network. `keep_alive_s` 0 switches keep-alive off."""

    device_id: str
    token: str
    mqtt_url: str
    keep_alive_s: int = 30
    tls: ssl.SSLContext | None = None


class BoardGateway:
    """A BoardWorld (see harness.bench.serial.ports). `on_boot` hears of each start of the board, `say` what a console would print."""

    def __init__(
        self,
        login: GatewayLogin,
        *,
        entropy: Entropy,
        on_boot: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = lambda line: None,
        memory: ClientMemory | None = None,
    ) -> None:
        self.login = login
        self._entropy, self._on_boot, self._say = entropy, on_boot, say
        self._session = ClientSession(
            login.device_id,
            clean_session=False,
            keep_alive_s=login.keep_alive_s,
            username=login.device_id,
            password=login.token.encode(),
            memory=memory,
        )
        self._is_subscribed = False
        self._board_is_up = asyncio.Event()
        self._commands: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._writer: asyncio.StreamWriter | None = None

    @property
    def memory(self) -> ClientMemory:
        """The session as the board's flash would hold it."""
        return self._session.memory

    # -------------------------------------------------------------------------------- what the board's link tells

    def connected(self, about: Mapping[str, object]) -> None:
        self._board_is_up.set()

    def booted(self, about: Mapping[str, object]) -> None:
        self._board_is_up.clear()
        self.drop()
        self._on_boot()

    def result(self, number: int, command: str, payload: bytes) -> None:
        try:
            self._publish(command, payload)
        except LocalWireError as error:  # The board named a command that no topic can carry.
            self._say(f"gateway: no result for {command!r}: {error}")

    async def fetch(self, url: str) -> "FetchedDownload":
        request = Request("GET", url, {"Authorization": f"Basic {self.login.token}"})
        return await FetchedDownload.begin(fetch(request, tls=self.login.tls, inactivity_s=SILENCE_S_MAX))

    # -------------------------------------------------------------------------------- what its owner may do

    def drop(self) -> None:
        """Cuts the connection to the broker, without DISCONNECT, as a board that loses power does."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def serve(self, link: BoardLink) -> None:
        """Connects whenever the board is up, and moves commands and results, until it is cancelled or the link breaks."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(link.watch())
            tasks.create_task(self._stay_connected())
            tasks.create_task(self._hand_over(link))

    # -------------------------------------------------------------------------------- to the board

    async def _hand_over(self, link: BoardLink) -> None:
        while True:
            command, payload = await self._commands.get()
            try:
                await link.command(command, payload, deadline_s=asyncio.get_running_loop().time() + COMMAND_S_MAX)
            except LocalWireError:
                self._publish(command, REFUSED_LONG)
            except BenchError as error:
                self._say(f"gateway: {command}: {error}")

    def _deliver(self, publish: Publish) -> None:
        topic = parse_control_topic(publish.topic)
        if topic is None or topic.device_id != self.login.device_id or topic.role != "control":
            return
        if publish.retain:
            self._publish(topic.command, REFUSED_STALE)
        else:
            self._commands.put_nowait((topic.command, publish.payload))

    # -------------------------------------------------------------------------------- to the broker

    def _publish(self, command: str, payload: bytes) -> None:
        _, packets = self._session.publish(result_topic(self.login.device_id, command), payload, 2)
        self._write(packets)

    def _write(self, packets: tuple[Packet, ...]) -> None:
        if self._writer is not None:
            self._writer.write(b"".join(map(encode, packets)))

    async def _stay_connected(self) -> None:
        attempt = 0
        while True:
            await self._board_is_up.wait()
            try:
                if await self._one_connection():
                    attempt = 0
            except (OSError, RemoteWireError) as error:
                self._say(f"gateway: no connection: {error}")
            self._session.connection_lost()
            attempt += 1
            await asyncio.sleep(growing_backoff(attempt, self._entropy) or 0.0)

    async def _one_connection(self) -> bool:
        """One connection to the broker, to its end. True if the login was accepted."""
        host, port, is_tls = broker_address(self.login.mqtt_url)
        context = (self.login.tls or ssl.create_default_context()) if is_tls else None
        async with asyncio.timeout(CONNECT_S_MAX):
            reader, writer = await asyncio.open_connection(host, port, ssl=context)
        self._writer = writer
        self._write((self._session.connect_packet(),))
        pinging = asyncio.create_task(self._ping())
        try:
            return await self._read(reader)
        finally:
            pinging.cancel()
            self._writer = None
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> bool:
        decoder = Decoder(max_packet_bytes=1 << 23)
        is_accepted = False
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(READ_BYTES):
                for packet in decoder.feed(data):
                    if isinstance(packet, Connack) and packet.return_code:
                        self._say(f"gateway: the broker refused the login with code {packet.return_code}")
                        return False
                    is_accepted = self._received(packet) or is_accepted
                if decoder.error is not None:
                    raise decoder.error
        return is_accepted

    def _received(self, packet: Packet) -> bool:
        duties = self._session.receive(packet)
        self._write(duties.send)
        for publish in duties.deliver:
            self._deliver(publish)
        match packet:
            case Connack():
                self._subscribe(is_resumed=packet.session_present)
                return True
            case Suback():
                self._is_subscribed = SUBSCRIPTION_REFUSED not in packet.return_codes
        return False

    def _subscribe(self, *, is_resumed: bool) -> None:
        """Asks for the commands, unless a resumed session is known to: one whose SUBSCRIBE was lost hears nothing."""
        self._is_subscribed = self._is_subscribed and is_resumed
        if not self._is_subscribed:
            self._write((self._session.subscribe(((control_filter(self.login.device_id), 2),)),))

    async def _ping(self) -> None:
        while self.login.keep_alive_s:
            await asyncio.sleep(self.login.keep_alive_s / 2)
            if self._session.phase is Phase.CONNECTED:
                self._write((self._session.ping(),))


class FetchedDownload:
    """A Download (see harness.bench.serial.ports) over the events of `simulators.device.fetch`."""

    def __init__(self, status: int, size_bytes: int | None, events: AsyncGenerator[Event, None]) -> None:
        self.status, self.size_bytes = status, size_bytes
        self._events = events
        self._kept = b""

    @classmethod
    async def begin(cls, events: AsyncGenerator[Event, None]) -> "FetchedDownload":
        """Waits for the response's head; status 0 where none came."""
        head = await anext(events, None)
        if not isinstance(head, Response):
            return cls(0, None, events)
        length = head.headers.get("content-length", "")
        return cls(head.status, int(length) if length.isdecimal() else None, events)

    async def read(self, size_bytes: int) -> bytes:
        while not self._kept:
            event = await anext(self._events, None)
            if isinstance(event, Failed):
                raise ConnectionError(event.reason)
            if not isinstance(event, Body):
                return b""
            self._kept = event.data
        piece, self._kept = self._kept[:size_bytes], self._kept[size_bytes:]
        return piece

    async def close(self) -> None:
        await self._events.aclose()
