"""One network connection of a device to the broker: bytes to packets and back, and its keep-alive.

What a packet means, and what becomes of a connection that is lost, is its owner's business.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast
from urllib.parse import urlsplit

from harness.errors import RemoteWireError
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet
from simulators.device.settings import DeviceSettings


class LineOwner(Protocol):
    """What a line asks of its device."""

    @property
    def holds_packets(self) -> bool:
        """Whether the device lets packets lie now."""
        ...

    @property
    def holds_pings(self) -> bool:
        """Whether the device forgets its keep-alive now."""
        ...

    def received(self, line: "BrokerLine", packet: Packet) -> None:
        """A packet came over `line`."""
        ...

    def ping(self, line: "BrokerLine") -> None:
        """It is time to show the server that the device is there."""
        ...

    def hang_up(self, line: "BrokerLine", reason: str) -> None:
        """`line` is of no more use, for this reason, and is to be closed."""
        ...

    def line_lost(self, line: "BrokerLine") -> None:
        """`line` is closed, by whomever."""
        ...


class BrokerLine(asyncio.Protocol):
    """One network connection to the broker: bytes to packets and back, and its keep-alive."""

    def __init__(self, device: LineOwner, settings: DeviceSettings) -> None:
        loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = loop.create_future()
        self.was_listening = False
        self._loop = loop
        self._device = device
        self._settings = settings
        self._decoder = Decoder(max_packet_bytes=settings.packet_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._held: list[Packet] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._last_sent_s = loop.time()
        self._awaits_answer = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        if self._settings.keep_alive_s:
            self._tick_later()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in self._timers:
            timer.cancel()
        self._transport = None
        if not self.closed.done():
            self.closed.set_result(None)
        self._device.line_lost(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            return  # We have hung up: what the server still says concerns nobody.
        self._awaits_answer = False
        try:
            self._held += self._settings.reads(self._decoder, data)
        except RemoteWireError as error:
            self._device.hang_up(self, f"the server sent no MQTT: {error}")
            return
        self.let_go()
        if self._decoder.error is not None:
            self._device.hang_up(self, f"the server sent no MQTT: {self._decoder.error}")

    def let_go(self) -> None:
        """Hands over the packets that came, one by one, as long as the device takes them."""
        while self._held and self._transport is not None and not self._device.holds_packets:
            self._device.received(self, self._held.pop(0))

    def send(self, packets: Sequence[Packet]) -> None:
        if self._transport is not None and packets:
            self._transport.write(b"".join(map(encode, packets)))
            self._last_sent_s = self._loop.time()

    def close(self) -> None:
        """Closes once what was sent has left. Nothing that comes from now on is read."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def abort(self) -> None:
        """Closes at once. Nothing that has come and was not handed over yet will be."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def expect_login(self, limit_s: float) -> None:
        """Hangs up unless the subscriptions stand within `limit_s`."""

        def look() -> None:
            if not self.was_listening:
                self._device.hang_up(self, f"no session within {limit_s:g} s")

        self._timers.append(self._loop.call_later(limit_s, look))

    def _tick_later(self) -> None:
        # Twice within each keep-alive interval, so that a packet leaves in every one of them (MQTT-3.1.2-23).
        self._timers[:] = [timer for timer in self._timers if not timer.cancelled() and timer.when() > self._loop.time()]
        self._timers.append(self._loop.call_later(self._settings.keep_alive_s / 2, self._tick))

    def _tick(self) -> None:
        if self._awaits_answer and not self._device.holds_packets:
            self._device.hang_up(self, "the server does not answer PINGREQ")
            return
        idle_s = self._loop.time() - self._last_sent_s
        if idle_s > self._settings.keep_alive_s * 0.4 and not self._device.holds_pings:
            self._awaits_answer = True
            self._device.ping(self)
        self._tick_later()


def broker_address(mqtt_url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is used. Raises ValueError for anything but `mqtt://` and `mqtts://`."""
    parts = urlsplit(mqtt_url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError(f"{mqtt_url!r} is no mqtt:// or mqtts:// address")
    tls = parts.scheme == "mqtts"
    return parts.hostname, parts.port or (8883 if tls else 1883), tls
