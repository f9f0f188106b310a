"""The devices that the harness plays for a platform under test: MQTT connections on our own core, every packet on the record.

A played device keeps its session over several connections, so that a cut and a resumption can be told from a new start. What a `Connect`
withholds is decided here by not sending a duty of the session; nothing else of the protocol is decided in this file.
"""

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from harness.bench.pace import Pace
from harness.bench.packet_record import packet_fact
from harness.bench.streams import ByteStream, Gateway, open_stream
from harness.bench.target import Platform, TargetDevice
from harness.bench.tls import ssl_context
from harness.errors import RemoteWireError, ScenarioError, TargetUnavailable
from harness.history.events import MqttClosed, MqttDelivered, MqttMalformed, MqttOpened, text_of
from harness.history.recorder import Recorder
from harness.mqtt.client_session import ClientSession, Phase
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, ConnectReturnCode, Disconnect, Packet, Publish, Suback
from harness.operations import Connect, Connected
from harness.operations import Publish as PublishOperation

_CONNECT_WITHIN_S = 10.0
_ANSWER_WITHIN_S = 10.0
_VAIN_WAITS_MAX = 6  # in a row; a platform that delivers nothing must not keep a run waiting for each of its hundred messages
_IMPATIENT_WITHIN_S = 1.0

A = TypeVar("A", Connack, Suback)


class MqttDriver:
    """Plays any number of devices of one platform. Use as an async context manager."""

    def __init__(self, platform: Platform, recorder: Recorder) -> None:
        self._platform = platform
        self._recorder = recorder
        self._players: dict[str, _Player] = {}
        per_min = platform.limits.connects_per_min
        self._pace = Pace(per_min / 60 if per_min else None)
        self._vain_waits = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await asyncio.gather(*(player.hang_up(abruptly=False) for player in self._players.values()))

    async def connect(self, device: TargetDevice, operation: Connect) -> Connected:
        """Connects and subscribes.

        Raises TargetUnavailable where no network connection stands, or a proper login is neither accepted nor refused for what it says.
        """
        await self._pace.turn()
        player = self._players.setdefault(device.id, _Player(device, self._platform, self._recorder))
        connected = await player.connect(operation)
        is_proper = operation.token is None and operation.client_id is None and not operation.anonymously and not operation.without_password
        if is_proper and connected.return_code in (None, ConnectReturnCode.SERVER_UNAVAILABLE):
            shown = connected.problem if connected.return_code is None else f"return code {connected.return_code}"
            raise TargetUnavailable(f"{self._platform.mqtt_url} takes no login of device {device.id}: {shown}")
        return connected

    async def disconnect(self, device_id: str, *, abruptly: bool) -> None:
        """Ends the device's connection, if it has one: with DISCONNECT, or (`abruptly`) by closing the socket."""
        if device_id in self._players:
            await self._players[device_id].hang_up(abruptly=abruptly)

    async def publish(self, operation: PublishOperation) -> bool:
        """Publishes as a device that was connected; whether the server acknowledged it in time. QoS 0 counts as sent."""
        return await self._player(operation.device_id).publish(operation)

    async def receive(self, device_id: str, count: int, within_s: float) -> list[MqttDelivered]:
        """What comes within that time, `count` messages at most; who waited in vain again and again waits for a second at most."""
        is_long = within_s > _IMPATIENT_WITHIN_S
        patience_s = _IMPATIENT_WITHIN_S if is_long and self._vain_waits >= _VAIN_WAITS_MAX else within_s
        messages = await self._player(device_id).receive(count, patience_s)
        if messages:
            self._vain_waits = 0
        elif is_long:
            self._vain_waits += 1
        return messages

    async def retire(self, device_id: str) -> None:
        """Ends the device's session on the target, so that nothing is left of it: a clean session, and good-bye."""
        player = self._players.pop(device_id, None)
        if player is not None and player.has_left_a_session:
            await self._pace.turn()
            await player.connect(Connect(device_id, clean_session=True))
        if player is not None:
            await player.hang_up(abruptly=False)

    def _player(self, device_id: str) -> "_Player":
        if device_id not in self._players:
            raise ScenarioError(f"device {device_id} was never connected in this scenario")
        return self._players[device_id]


class _Player:
    """One played device: its session, its inbox, and at most one connection."""

    def __init__(self, device: TargetDevice, platform: Platform, recorder: Recorder) -> None:
        self._device = device
        self._platform = platform
        self._recorder = recorder
        self._session: ClientSession | None = None
        self._inbox: asyncio.Queue[MqttDelivered] = asyncio.Queue()
        self._line: _Line | None = None
        self._session_stays = False
        self.has_left_a_session = False

    async def connect(self, operation: Connect) -> Connected:
        await self.hang_up(abruptly=True)
        session = self._session_for(operation)
        stream = await self._open_stream()
        self._line = line = _Line(self._device.id, self._recorder, session, self._inbox, operation, stream)
        line.send([session.connect_packet()])
        connack = await line.answer(Connack)
        if connack is None or connack.return_code != 0:
            problem = "" if connack else line.end or f"no CONNACK came within {_ANSWER_WITHIN_S:g} s"
            await self.hang_up(abruptly=True)
            return Connected(connack.return_code if connack else None, problem=problem)
        self.has_left_a_session = not operation.clean_session
        # A server may end the connection in the same breath as it accepts it.
        granted = await self._subscribe(line, session, operation.filters) if operation.filters and line.end is None else ()
        return Connected(0, connack.session_present, granted, problem=line.end or "")

    async def _open_stream(self) -> ByteStream:
        tls = ssl_context(self._platform.tls) if self._platform.mqtt_url.startswith(("mqtts:", "wss:")) else None
        gateway = Gateway(self._platform.http.proxy, self._platform.http.headers)
        return await open_stream(self._platform.mqtt_url, deadline_s=_CONNECT_WITHIN_S, tls=tls, gateway=gateway)

    def _session_for(self, operation: Connect) -> ClientSession:
        """The session of before, where it is one that goes on; a new one otherwise."""
        if self._session is not None and not operation.clean_session and self._session_stays:
            return self._session
        self._session_stays = not operation.clean_session
        token = self._device.token if operation.token is None else operation.token
        self._session = ClientSession(
            client_id=operation.client_id if operation.client_id is not None else self._device.id,
            clean_session=operation.clean_session,
            keep_alive_s=operation.keep_alive_s,
            username=None if operation.anonymously else self._device.id,
            password=None if operation.anonymously or operation.without_password else token.encode(),
        )
        return self._session

    async def _subscribe(self, line: "_Line", session: ClientSession, filters: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
        line.send([session.subscribe(filters)])
        suback = await line.answer(Suback)
        return suback.return_codes if suback else ()

    async def publish(self, operation: PublishOperation) -> bool:
        line, session = self._line, self._session
        if line is None or session is None or line.end is not None:
            return False
        packet_id, packets = session.publish(operation.topic, operation.payload, qos=operation.qos)
        line.send(packets)
        if packet_id is None:
            return True
        return await line.completed(packet_id, operation.within_s)

    async def receive(self, count: int, within_s: float) -> list[MqttDelivered]:
        messages: list[MqttDelivered] = []
        try:
            async with asyncio.timeout(within_s):
                while len(messages) < count:
                    messages.append(await self._inbox.get())
        except TimeoutError:
            pass  # What came in time is the outcome.
        return messages

    async def hang_up(self, *, abruptly: bool) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close(abruptly=abruptly)


class _Line:
    """One network connection of a played device, with the task that reads it."""

    def __init__(
        self,
        device_id: str,
        recorder: Recorder,
        session: ClientSession,
        inbox: asyncio.Queue[MqttDelivered],
        operation: Connect,
        stream: ByteStream,
    ) -> None:
        self._device_id = device_id
        self._recorder = recorder
        self._session = session
        self._inbox = inbox
        self._withhold = operation.withhold
        self._cut_after = operation.cut_after
        self._stream = stream
        self._decoder = Decoder()
        self._answers: asyncio.Queue[Packet | None] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Event] = {}
        self._number = recorder.next_number()
        self.end: str | None = None
        self._is_leaving = False
        recorder.record(MqttOpened(self._number, device_id))
        self._reading = asyncio.create_task(self._read())
        self._pinging = asyncio.create_task(self._ping(operation.keep_alive_s))

    def send(self, packets: Iterable[Packet]) -> None:
        """Sends what is due, except what this connection withholds; ends early where the connection is to be cut."""
        for packet in packets:
            name = packet.packet_type.name
            if self.end is not None or name in self._withhold:
                continue
            raw = encode(packet)
            self._recorder.record(packet_fact(packet, len(raw), connection=self._number, device_id=self._device_id, sent_by="client"))
            self._stream.write(raw)
            self._cut_if_due(f"sent {name}")

    async def answer(self, wanted: type[A]) -> A | None:
        """The next packet of a kind; None where the connection ends, or nothing comes in time."""
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                while (packet := await self._answers.get()) is not None:
                    if isinstance(packet, wanted):
                        return packet
        except TimeoutError:
            pass
        return None

    async def completed(self, packet_id: int, within_s: float) -> bool:
        """Whether the server takes responsibility for a message of ours within that time, and while the connection stands."""
        event = self._waiting.setdefault(packet_id, asyncio.Event())
        try:
            async with asyncio.timeout(within_s):
                await event.wait()
        except TimeoutError:
            return False
        return self.end is None

    async def _read(self) -> None:
        try:
            while self.end is None:
                data = await self._stream.read()
                if not data:
                    self._over("us" if self._is_leaving else "peer", "the connection was closed")
                    return
                for packet in self._decoder.feed(data):
                    self._take(packet)
                if self._decoder.error is not None:
                    raise self._decoder.error
        except RemoteWireError as error:
            self._recorder.record(MqttMalformed(self._number, self._device_id, error.problem, error.statement, text_of(error.raw[:256])))
            self._over("us", f"malformed: {error}")
        except OSError as error:
            self._over("us" if self._is_leaving else "peer", str(error) or type(error).__name__)

    def _take(self, packet: Packet) -> None:
        """Records a packet, lets the session decide, and does what is due."""
        if self.end is not None:
            return
        self._recorder.record(
            packet_fact(packet, len(encode(packet)), connection=self._number, device_id=self._device_id, sent_by="server")
        )
        if self._cut_if_due(f"received {packet.packet_type.name}"):
            return
        duties = self._session.receive(packet)
        for message in duties.deliver:
            self._deliver(message)
        if isinstance(packet, Connack | Suback):
            self._answers.put_nowait(packet)
        self.send(duties.send)
        for packet_id in duties.completed:
            self._waiting.setdefault(packet_id, asyncio.Event()).set()

    def _deliver(self, message: Publish) -> None:
        payload = text_of(message.payload)
        flags = (message.qos, message.retain, message.dup)
        fact = MqttDelivered(self._number, self._device_id, message.topic, payload, *flags, message.packet_id)
        self._recorder.record(fact)
        self._inbox.put_nowait(fact)

    def _cut_if_due(self, moment: str) -> bool:
        if self._cut_after != moment:
            return False
        self._over("fault", f"cut after {moment}")
        return True

    async def _ping(self, keep_alive_s: int) -> None:
        while keep_alive_s and self.end is None:
            await asyncio.sleep(keep_alive_s / 2)
            if self.end is None and self._session.phase is Phase.CONNECTED:
                self.send([self._session.ping()])

    def _over(self, closed_by: str, reason: str) -> None:
        """The connection is gone: on the record once, and everyone who waits hears of it."""
        if self.end is not None:
            return
        self.end = reason
        self._recorder.record(MqttClosed(self._number, self._device_id, closed_by, reason))  # type: ignore[arg-type]
        self._session.connection_lost()
        self._answers.put_nowait(None)
        for event in self._waiting.values():
            event.set()
        if closed_by != "peer":
            self._stream.abort()

    async def close(self, *, abruptly: bool) -> None:
        """Ends the connection from our side."""
        if self.end is None and not abruptly:
            self._is_leaving = True
            self.send([Disconnect()])
            await self._flushed()
        self._over("us", "cut" if abruptly else "disconnected")
        for task in (self._reading, self._pinging):
            task.cancel()
        await asyncio.gather(self._reading, self._pinging, return_exceptions=True)
        await self._stream.close()

    async def _flushed(self) -> None:
        """Waits until the peer has closed, as it must after DISCONNECT, so that nothing of ours is cut off on its way."""
        try:
            async with asyncio.timeout(1.0):
                await self._reading
        except TimeoutError:
            pass
