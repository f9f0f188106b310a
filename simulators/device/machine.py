"""The whole device without input and output: packets and download events in, one `Step` out.

The order that makes every command happen exactly once, whatever is cut when:

1. A step is computed: the MQTT session takes the packet, the firmware decides, results become outgoing messages of the session.
2. Its new `Flash` is saved, atomically: the packet id, the effect and the result owed, all or nothing.
3. Only then its packets are sent, and its actions are done.

The device acts at PUBLISH. Cut before 2, nothing happened, and the server sends the PUBLISH again; cut after 2, the id is known, so the
repeated PUBLISH gets its PUBREC and no second effect (DEV-04), and a PUBREL that starts a resumed session gets its PUBCOMP (DEV-05). A
reboot is only noted as due in 2 and happens when the exchanges are complete, or after a short grace; each boot clears it, so a power cut
in between counts as the reboot (DEV-07). A download is noted as started before its request leaves: after a power cut its one-time key may
be used, so it ends with a failure result rather than a second request (DEV-11).

Left to others: saving, sending, HTTP and waiting (the skins).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from harness.mqtt.client_session import ClientSession, Phase
from harness.mqtt.packets import Connack, Connect, Disconnect, Packet, Pingreq, Publish, Suback
from harness.wire import commands
from harness.wire.files import FileType
from harness.wire.topics import result_topic
from simulators.device import downloader, firmware
from simulators.device.downloader import Download, Finish
from simulators.device.firmware import Crash, DropDownloads, Keeps, Message, PublishResult
from simulators.device.flash import DownloadJob, Flash, Shelf, area_name
from simulators.device.personality import REFERENCE, Cause, Effects, Notes, Personality
from simulators.device.settings import DeviceSettings


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """The server accepted the CONNECT."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The subscriptions stand: commands reach the device from here on. `granted` is what the server allowed each filter."""

    granted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BeginDownload:
    """Feed `downloader.Begin` to job `number` and do what it says; file bytes go to `area`."""

    number: int
    area: str


@dataclass(frozen=True, slots=True)
class CancelDownload:
    """Stop the transfer of this job."""

    number: int


@dataclass(frozen=True, slots=True)
class DownloadDo:
    """One of the downloader's own actions for job `number`."""

    number: int
    action: downloader.Action


@dataclass(frozen=True, slots=True)
class ExpectReboot:
    """Call `grace_over` after so many seconds, unless the device restarts before."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class Restart:
    """The device restarts now: the connection drops without DISCONNECT, and the next boot finds what was saved."""


@dataclass(frozen=True, slots=True)
class Die:
    """The firmware crashed; a watchdog may start it again. `keeps` has been honoured by the step already."""

    reason: str
    keeps: Keeps = Keeps.NOTHING
    is_reboot: bool = False


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close this connection: the server refused us or broke the protocol."""

    reason: str


Action: TypeAlias = LoggedIn | Listening | BeginDownload | CancelDownload | DownloadDo | ExpectReboot | Restart | Die | HangUp


@dataclass(slots=True)
class Step:
    """What to do now, in this order: save, send, act."""

    save: Flash | None = None
    send: list[Packet] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)


def boot(found: Flash | None, settings: DeviceSettings, personality: Personality, sha256_of: Callable[[str], str]) -> Flash:
    """The flash of a device that has just got power: counted, its due reboot done, its images verified (DEV-12).

    `found` is what was saved last (None: fresh from the factory), `sha256_of` the digest of what an area really holds.
    """
    flash = Flash(configuration=settings.firmware.factory_configuration) if found is None else found
    flash = replace(flash, boots=flash.boots + 1, is_reboot_due=False)
    for file_type in commands.DOWNLOADS.values():
        flash = flash.with_shelf(file_type, _bootable(flash.shelf(file_type), file_type, sha256_of))
    return personality.boots(flash)


def _bootable(shelf: Shelf, file_type: FileType, sha256_of: Callable[[str], str]) -> Shelf:
    """The shelf with an image in use that is what its record says; with none (the factory's) where both are broken."""
    for _ in shelf.images:
        if shelf.current is not None and sha256_of(area_name(file_type, shelf.in_use)) != shelf.current.sha256:
            shelf = shelf.fallen_back()
    return shelf


class DeviceMachine:
    """One powered device, from boot to the next loss of power. `flash` is what `boot` gave."""

    __slots__ = ("_download", "_is_grace_running", "_job", "_notes", "_personality", "_saved", "flash", "session", "settings")

    def __init__(self, settings: DeviceSettings, flash: Flash, personality: Personality = REFERENCE) -> None:
        """`settings` are those that the personality tuned."""
        self.settings = settings
        self.flash = flash
        self._personality = personality
        self._notes: Notes = {}
        self._download: Download | None = None
        self._job: DownloadJob | None = None
        self._is_grace_running = False
        self._saved: Flash | None = None
        self.session = _session(settings, flash)

    @property
    def is_downloading(self) -> bool:
        return self._download is not None

    @property
    def is_connected(self) -> bool:
        """Whether the server has accepted the current connection."""
        return self.session.phase is Phase.CONNECTED

    def ping(self) -> list[Pingreq]:
        """What keeps the connection alive when nothing else was sent."""
        return [self.session.ping()] if self.is_connected else []

    def disconnect(self) -> list[Disconnect]:
        """What ends the connection on purpose."""
        return [self.session.disconnect()] if self.is_connected else []

    def power_on(self) -> Step:
        """The first step after a boot: downloads that were cut off fail, those that only waited start."""
        step = Step()
        for job in self.flash.jobs:
            if job.is_started:
                self._settle(job, (firmware.failure(job.command, "interrupted by a restart"),), step)
        self._start_next_job(step)
        return self._finished(step)

    def connect(self) -> Connect:
        """The packet that opens a connection."""
        return self.session.connect_packet()

    def connection_lost(self) -> None:
        """The network connection is gone; the session stays."""
        self.session.connection_lost()

    def received(self, packet: Packet) -> Step:
        """One packet from the server. Raises RemoteWireError for what a server may not send."""
        owed = self.session.memory.outgoing if isinstance(packet, Connack) else ()
        duties = self._personality.exchanges(self._notes, self.session, packet, self.session.receive(packet))
        step = Step(send=list(duties.send))
        match packet:
            case Connack():
                self._logged_in(packet, step)
                self._owe_again([message for message in owed if message.packet_id in duties.dropped], step)
            case Suback():
                self._subscribed(packet, step)
        for publish in duties.deliver:
            self._deliver(publish, step)
        return self._finished(step)

    def downloading(self, number: int, event: downloader.Event) -> Step:
        """What the skin saw of download `number`; of one that is no longer running, nothing follows."""
        step = Step()
        if self._download is None or self._job is None or self._job.number != number:
            return step
        job = self._job
        for action in self._download.feed(event):
            if isinstance(action, Finish):
                self._download = self._job = None
                self._install(job, action, step)
                self._start_next_job(step)
            else:
                step.actions.append(DownloadDo(number, action))
        return self._finished(step)

    def grace_over(self) -> Step:
        """A due reboot has waited long enough for its exchanges to end."""
        return Step(actions=[Restart()])

    # -------------------------------------------------------------------------------- the parts of a step

    def _logged_in(self, connack: Connack, step: Step) -> None:
        if connack.return_code:
            step.actions.append(HangUp(f"the server refused the login with code {connack.return_code}"))
            return
        step.actions.append(LoggedIn())
        if self.flash.is_subscribed and (connack.session_present or not self.settings.subscribes_again):
            step.actions.append(Listening(()))
            return
        # Noted before the SUBSCRIBE leaves: a cut before its SUBACK would otherwise leave a session that is present and hears nothing.
        self.flash = replace(self.flash, is_subscribed=False)
        step.send.append(self.session.subscribe(self.settings.subscriptions(self.settings.device_id)))

    def _owe_again(self, results: list[Publish], step: Step) -> None:
        """A server that lost the session may not have had these results; a doubled one does less harm than a missing one (DEV-25)."""
        for result in results:
            step.send += self.session.publish(result.topic, result.payload, result.qos)[1]

    def _subscribed(self, suback: Suback, step: Step) -> None:
        is_granted = all(code < 0x80 for code in suback.return_codes)
        self.flash = replace(self.flash, is_subscribed=is_granted)
        step.actions.append(Listening(suback.return_codes))

    def _deliver(self, publish: Publish, step: Step) -> None:
        message = Message(publish.topic, publish.payload, publish.qos, publish.retain)
        self._perform(message, firmware.decide(self.settings.firmware, self.flash, message), step)

    def _perform(self, cause: Cause, effects: Effects, step: Step) -> None:
        for effect in self._executed(cause, effects):
            match effect:
                case PublishResult():
                    self._publish(effect, step)
                case DropDownloads(reason):
                    self._drop_downloads(reason, step)
                case Crash(reason, keeps, is_reboot):
                    step.actions.append(Die(reason, keeps, is_reboot))
            self.flash = firmware.apply(effect, self.flash)
        self._start_next_job(step)

    def _executed(self, cause: Cause, effects: Effects) -> Effects:
        return self._personality.executes(self._notes, self.settings, self.flash, cause, effects)

    def _publish(self, result: PublishResult, step: Step) -> None:
        topic = result.topic or result_topic(self.settings.device_id, result.command)
        payload = json.dumps(result.body, separators=(",", ":")).encode()
        if self.is_connected or self.settings.result_qos:  # A result of QoS 0 cannot wait for a connection.
            step.send += self.session.publish(topic, payload, self.settings.result_qos, result.is_retained)[1]

    def _start_next_job(self, step: Step) -> None:
        if self._job is not None or not self.flash.jobs:
            return
        self._job = job = replace(self.flash.jobs[0], is_started=True)
        shelf = self.flash.shelf(job.file_type).erased()
        self.flash = replace(self.flash.with_shelf(job.file_type, shelf), jobs=(job, *self.flash.jobs[1:]))
        self._download = Download(self.settings.download, url=job.url, token=self.settings.token, file_name=job.file_name)
        step.actions.append(BeginDownload(job.number, area_name(job.file_type, shelf.spare)))

    def _install(self, job: DownloadJob, finish: Finish, step: Step) -> None:
        """A complete image is in use from the next boot on; either way the command gets its result."""
        if finish.image is None:
            self._settle(job, (firmware.failure(job.command, finish.message, file_name=job.file_name),), step)
            return
        image = finish.image
        self.flash = self.flash.with_shelf(job.file_type, self.flash.shelf(job.file_type).installed(image))
        facts = {"file_name": image.file_name, "size": image.size_bytes, "sha256": image.sha256}
        self._settle(job, (firmware.success(job.command, "installed", **facts),), step)

    def _drop_downloads(self, reason: str, step: Step) -> None:
        if self._job is not None:
            step.actions.append(CancelDownload(self._job.number))
            self._download = self._job = None
        for job in self.flash.jobs:
            self._settle(job, (firmware.failure(job.command, reason),), step)

    def _settle(self, job: DownloadJob, effects: Effects, step: Step) -> None:
        """The job is over: its result is owed to the session from now on, and no longer by the job."""
        self.flash = self.flash.without_job(job.number)
        for effect in self._executed(job, effects):
            if isinstance(effect, PublishResult):
                self._publish(effect, step)
            self.flash = firmware.apply(effect, self.flash)

    def _finished(self, step: Step) -> Step:
        """The step with its flash, and with the reboot that is due."""
        died = next((action for action in step.actions if isinstance(action, Die)), None)
        if died is not None and died.keeps is Keeps.NOTHING:
            return Step(actions=[died])
        if self.settings.keeps_session and (memory := self.session.memory) != self.flash.session:
            self.flash = replace(self.flash, session=memory)
        if self.flash is not self._saved:
            step.save = self._saved = self.flash
        if died is not None:
            return Step(step.save, step.send if died.keeps is Keeps.SENT else [], [died])
        if self.flash.is_reboot_due:
            self._reboot_when_idle(step)
        return step

    def _reboot_when_idle(self, step: Step) -> None:
        if self.is_connected and not self.session.in_flight and not self.session.memory.received:
            step.actions.append(Restart())
        elif not self._is_grace_running:
            self._is_grace_running = True
            step.actions.append(ExpectReboot(self.settings.reboot_grace_s))


def _session(settings: DeviceSettings, flash: Flash) -> ClientSession:
    return ClientSession(
        settings.device_id,
        clean_session=settings.clean_session,
        keep_alive_s=settings.keep_alive_s,
        username=settings.device_id,
        password=settings.token.encode(),
        memory=flash.session,
    )
