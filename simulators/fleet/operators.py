"""Those who send commands to a fleet and write into the ledger what they were answered: over REST as a user does, or over MQTT as a
platform's backend does.

A command that waits for its answer occupies one of a bounded number of places, so that a fast sender does not bury a slow target.
"""

import asyncio
import json
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import aiohttp

from harness.errors import RemoteWireError, TargetUnavailable
from harness.mqtt.client_session import ClientSession, Phase
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Packet
from harness.wire.responses import command_path
from harness.wire.topics import control_topic
from simulators.broker.port import Login
from simulators.device.broker_line import broker_address
from simulators.fleet.entries import Answer
from simulators.fleet.ledger import Ledger

ANSWER_S_MAX = 30.0
"""After so long a command counts as unanswered."""

REST_AT_A_TIME = 32
MQTT_AT_A_TIME = 20
"""mosquitto acknowledges QoS 2 messages of one publisher beyond its `max_inflight_messages` (20) and drops them: seen with 2.0."""


@dataclass(frozen=True, slots=True)
class Order:
    """One command to send."""

    correlation: str
    project_id: str
    device_id: str
    command: str
    data: dict[str, Any]


class Operator(Protocol):
    """Somebody who sends commands."""

    async def send(self, orders: Iterable[Order]) -> None:
        """Sends all and returns when each has its answer, or none will come."""
        ...

    async def close(self) -> None: ...


class RestOperator:
    """A user of the command endpoint."""

    def __init__(
        self, ledger: Ledger, *, api_url: str, api_key: str, tls: ssl.SSLContext | None, headers: dict[str, str] | None = None
    ) -> None:
        self._ledger = ledger
        self._api_url = api_url
        connector = aiohttp.TCPConnector(limit=REST_AT_A_TIME, ssl=tls if tls is not None else True)
        timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            headers={"Authorization": f"Bearer {api_key}", **(headers or {})},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, orders: Iterable[Order]) -> None:
        waiting = iter(orders)
        await asyncio.gather(*(self._work(waiting) for _ in range(REST_AT_A_TIME)))

    async def _work(self, waiting: Iterable[Order]) -> None:
        for order in waiting:
            await self._send(order)

    async def _send(self, order: Order) -> None:
        url = self._api_url + command_path(order.project_id, order.device_id)
        now_s = asyncio.get_running_loop().time()
        self._ledger.sent(order.correlation, device_id=order.device_id, command=order.command, at_s=now_s)
        try:
            async with self._session.post(url, json={"command": order.command, "data": order.data}) as response:
                await response.read()
                self._ledger.answered(order.correlation, answer_of(response.status))
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._ledger.answered(order.correlation, Answer.UNKNOWN)

    async def close(self) -> None:
        await self._session.close()


def answer_of(status: int) -> Answer:
    """What an HTTP status says of a command."""
    if status == 200:
        return Answer.ACCEPTED
    # A server that failed may have published before it did.
    return Answer.REFUSED if 400 <= status < 500 else Answer.UNKNOWN


class MqttOperator(asyncio.Protocol):
    """A connection that publishes commands with QoS 2; PUBCOMP is the answer."""

    def __init__(self, ledger: Ledger, *, mqtt_url: str, client_id: str, login: Login | None, tls: ssl.SSLContext | None) -> None:
        """`client_id` need not be the login's. Raises ValueError for an unusable `mqtt_url`."""
        self._ledger = ledger
        self._address = broker_address(mqtt_url)
        self._tls = tls
        username, password = (login.username, login.password.encode()) if login is not None else (None, None)
        self._session = ClientSession(client_id, keep_alive_s=0, username=username, password=password)
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self._waiting: dict[int, str] = {}
        self._places = asyncio.Semaphore(MQTT_AT_A_TIME)
        self._logged_in: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Connects and logs in. Raises TargetUnavailable."""
        host, port, tls = self._address
        context = (self._tls or ssl.create_default_context()) if tls else None
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await asyncio.get_running_loop().create_connection(lambda: self, host, port, ssl=context)
                await self._logged_in
        except OSError as error:
            raise TargetUnavailable(f"the operator cannot reach the broker at {host}:{port}: {error}") from error

    async def send(self, orders: Iterable[Order]) -> None:
        for order in orders:
            await self._places.acquire()
            if self._session.phase is not Phase.CONNECTED:
                self._places.release()
                break
            self._publish(order)
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                for _ in range(MQTT_AT_A_TIME):
                    await self._places.acquire()
        except TimeoutError:
            return
        for _ in range(MQTT_AT_A_TIME):
            self._places.release()

    def _publish(self, order: Order) -> None:
        now_s = asyncio.get_running_loop().time()
        self._ledger.sent(order.correlation, device_id=order.device_id, command=order.command, at_s=now_s)
        payload = json.dumps(order.data, separators=(",", ":")).encode()
        packet_id, packets = self._session.publish(control_topic(order.device_id, order.command), payload, 2)
        self._waiting[packet_id or 0] = order.correlation
        self._write(packets)

    async def close(self) -> None:
        if self._session.phase is Phase.CONNECTED:
            self._write((self._session.disconnect(),))
        if self._transport is not None:
            self._transport.close()

    # -------------------------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._write((self._session.connect_packet(),))

    def connection_lost(self, exc: Exception | None) -> None:
        """What was not answered stays unknown."""
        self._transport = None
        self._session.connection_lost()
        if not self._logged_in.done():
            self._logged_in.set_exception(TargetUnavailable("the broker closed the operator's connection before it accepted the login"))
        for _ in range(len(self._waiting)):
            self._places.release()
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        replies: list[Packet] = []
        try:
            for packet in self._decoder.feed(data):
                if self._session.phase is Phase.OFFLINE:
                    break  # The login was refused; nothing that stands behind that concerns us.
                replies += self._receive(packet)
        except RemoteWireError:
            self.abort()
            return
        self._write(replies)

    def abort(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def _receive(self, packet: Packet) -> Iterable[Packet]:
        duties = self._session.receive(packet)
        if isinstance(packet, Connack) and not self._logged_in.done():
            if packet.return_code:
                problem = TargetUnavailable(f"the broker refused the operator's login with code {packet.return_code}")
                self._logged_in.set_exception(problem)
            else:
                self._logged_in.set_result(None)
        for packet_id in duties.completed:
            self._ledger.answered(self._waiting.pop(packet_id), Answer.ACCEPTED)
            self._places.release()
        return duties.send

    def _write(self, packets: Iterable[Packet]) -> None:
        if self._transport is not None and (data := b"".join(map(encode, packets))):
            self._transport.write(data)
