"""One device of a fleet: the sans-IO machine and its connection in one small object, without a task or a timer of its own while idle.

A skin for scale: what one device needs now and then (keep-alive, reconnect, downloads) belongs to the fleet, which shares it among all.
Flash lives in memory, since nothing cuts the power of a fleet's devices; a reboot keeps the session as real flash would.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

from harness.errors import RemoteWireError
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet
from harness.wire.files import FileType
from simulators.device import downloader, machine
from simulators.device.flash import Flash, area_name
from simulators.device.machine import DeviceMachine, Step
from simulators.device.personality import Personality
from simulators.device.settings import DeviceSettings
from simulators.fleet.behaviour import Behaviour

UNANSWERED_PINGS_MAX = 2
"""Half a keep-alive apart each: the answers of a busy server may be late."""


class Surroundings(Protocol):
    """What a device asks of its fleet."""

    def now_s(self) -> float: ...

    def listening(self, line: "DeviceLine") -> None:
        """The device is connected and subscribed."""
        ...

    def lost(self, line: "DeviceLine", *, was_listening: bool) -> None:
        """The device has no connection any more."""
        ...

    def download(self, line: "DeviceLine", number: int) -> None:
        """The device wants to carry out download `number`."""
        ...

    def cancel(self, line: "DeviceLine", number: int) -> None:
        """Download `number` is to stop, if it runs."""
        ...

    def later(self, line: "DeviceLine", delay_s: float) -> None:
        """Call `line.grace_over` after so many seconds."""
        ...

    def refused(self, line: "DeviceLine", reason: str) -> None:
        """The server has refused the device, or broken the protocol; the device hangs up."""
        ...

    def crashed(self, line: "DeviceLine", error: Exception) -> None:
        """Our program of the device has a defect: the device takes no further part, and what it was sent proves nothing."""
        ...


class DeviceLine(asyncio.Protocol):
    """A device and, while it has one, its connection."""

    __slots__ = (
        "_decoder", "_fleet", "_is_fading", "_transport", "_unanswered_pings", "attempt", "behaviour", "has_listened", "is_listening",
        "last_sent_s", "machine", "personality", "ping_due_s", "source",
    )  # fmt: skip

    def __init__(self, fleet: Surroundings, settings: DeviceSettings, behaviour: Behaviour, personality: Personality) -> None:
        """`settings` as tuned by `personality`, which is the behaviour's own with the fleet's bookkeeping around it."""
        self._fleet = fleet
        self._transport: asyncio.Transport | None = None
        self._decoder: Decoder | None = None
        self._is_fading = False
        self._unanswered_pings = 0
        self.behaviour = behaviour
        self.personality = personality
        self.source: tuple[str, int] | None = None  # where its connections come from; None: the system chooses
        self.attempt = 0
        self.is_listening = self.has_listened = False
        self.last_sent_s = 0.0
        self.ping_due_s = 0.0  # the fleet's: when it looks next whether the device was silent for too long
        flash = machine.boot(None, settings, personality, lambda area: "")
        self.machine = DeviceMachine(settings, flash, personality)

    @property
    def device_id(self) -> str:
        return self.machine.settings.device_id

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    # -------------------------------------------------------------------------------- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._is_fading = False
        self._unanswered_pings = 0
        self._decoder = Decoder(max_packet_bytes=self.machine.settings.packet_bytes_max)
        try:
            self.write((self.machine.connect(),))
        except Exception as error:
            self._crash(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._decoder = None
        was_listening, self.is_listening = self.is_listening, False
        self.machine.connection_lost()
        self._fleet.lost(self, was_listening=was_listening)

    def data_received(self, data: bytes) -> None:
        if self._decoder is None:
            return
        self._unanswered_pings = 0
        try:
            packets = self.machine.settings.reads(self._decoder, data)
            is_malformed = self._decoder.error is not None
            if len(packets) == 1:
                self.do(self.machine.received(packets[0]))
            else:
                self._receive(packets)
            if is_malformed:
                self.abort()
        except RemoteWireError:
            self.abort()
        except Exception as error:
            self._crash(error)

    def _receive(self, packets: Sequence[Packet]) -> None:
        """Several packets at once: their answers leave in one write."""
        for packet in packets:
            if self._decoder is None:
                return  # The connection, or the life of the device, is over: what stands behind the reason comes again, if at all.
            self.do(self.machine.received(packet))

    def _crash(self, error: Exception) -> None:
        self._fleet.crashed(self, error)
        self.abort()

    # -------------------------------------------------------------------------------- doing a step

    def downloading(self, number: int, event: downloader.Event) -> list[downloader.Action]:
        """What download `number` is to do now that `event` came; nothing where the device has crashed over it.

        The machine is asked for at each event: a reboot replaces it, and the new one does not know this download.
        """
        try:
            return self.do(self.machine.downloading(number, event))
        except Exception as error:
            self._crash(error)
            return []

    def do(self, step: Step) -> list[downloader.Action]:
        """Sends and acts; returns what is left for the download that asked."""
        if step.send:
            self.write(step.send)
        if not step.actions:
            return []
        return [left for action in step.actions if (left := self._act(action)) is not None]

    def _act(self, action: machine.Action) -> downloader.Action | None:
        match action:
            case machine.DownloadDo(_, wanted):
                return wanted
            case machine.Listening():
                self.attempt = 0
                self.is_listening = self.has_listened = True
                self._fleet.listening(self)
            case machine.BeginDownload(number, _):
                self._fleet.download(self, number)
            case machine.CancelDownload(number):
                self._fleet.cancel(self, number)
            case machine.ExpectReboot(grace_s):
                self._fleet.later(self, grace_s)
            case machine.Restart() | machine.Die():
                self._restart()
            case machine.HangUp(reason):
                self._fleet.refused(self, reason)
                self.abort()
        return None

    def _restart(self) -> None:
        """The next life starts with what flash would have kept; the connection drops."""
        kept = self.machine.flash
        for job in kept.jobs:
            if job.is_started:
                self._fleet.cancel(self, job.number)
        found = replace(kept, session=self.machine.session.memory)
        self.machine = DeviceMachine(self.machine.settings, self._booted(found), self.personality)
        self.close()
        self.do(self.machine.power_on())

    def _booted(self, found: Flash) -> Flash:
        """The flash after a boot; the contents of the areas are not kept, so the records of the images stand for them."""
        kept = {
            area_name(file_type, area): image.sha256
            for file_type in FileType
            for area, image in enumerate(found.shelf(file_type).images)
            if image is not None
        }
        return machine.boot(found, self.machine.settings, self.personality, lambda area: kept.get(area, ""))

    def grace_over(self) -> None:
        """A due reboot has waited long enough."""
        try:
            if self.machine.flash.is_reboot_due:
                self.do(self.machine.grace_over())
        except Exception as error:
            self._crash(error)

    # -------------------------------------------------------------------------------- the connection

    def write(self, packets: Sequence[Packet]) -> None:
        """Sends packets in one piece; they are lost where there is no connection, or one that fades."""
        if self._is_fading:
            self.abort()
        elif self._transport is not None:
            self._transport.write(encode(packets[0]) if len(packets) == 1 else b"".join(map(encode, packets)))
            self.last_sent_s = self._fleet.now_s()

    def keep_alive(self) -> None:
        """Sends PINGREQ; ends a connection on which several were not answered: it is dead, and nobody has told us (3.1.2.10)."""
        if self._unanswered_pings == UNANSWERED_PINGS_MAX:
            self.abort()
        elif ping := self.machine.ping():
            self._unanswered_pings += 1
            self.write(ping)

    def leave_if_mute(self, patience_s: float) -> None:
        """Ends a connection on which CONNECT or SUBSCRIBE has not been answered for so long."""
        if self.is_open and not self.is_listening and self._fleet.now_s() - self.last_sent_s >= patience_s:
            self.abort()

    def fade(self) -> None:
        """The network fails as real ones do: what the device says next is lost, and with it the connection.

        So a command may be released whose PUBREC the server never sees. It is sent again, and only a device that keeps packet ids is not
        fooled.
        """
        self._is_fading = True

    def faded(self) -> None:
        """A connection that fades has had its time, even if nothing was said."""
        if self._is_fading:
            self.abort()

    def disconnect(self) -> None:
        """Leaves with a clean DISCONNECT."""
        self._is_fading = False
        if goodbye := self.machine.disconnect():
            self.write(goodbye)
        self.close()

    def close(self) -> None:
        """Closes once what was written has left. Nothing is read from now on."""
        self._decoder = None
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Closes at once. Nothing is read from now on."""
        self._decoder = None
        if self._transport is not None:
            self._transport.abort()
