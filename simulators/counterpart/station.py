"""One place of the bench: a platform of its own, and the device under test in front of it.

Each instance of the device has its own platform and broker, so a fault plan, a restart of the broker or an odd packet concerns nobody
else.
"""

import logging
import shutil
import string
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from harness.bench.device_file import BenchAddress, Device
from harness.bench.http_driver import HttpDriver
from harness.bench.target import ApiKeys, Platform
from harness.bench.tls import Tls
from harness.entropy import Entropy, draw_uuid
from harness.errors import BenchError
from harness.history.events import FULL_API_KEY, Stimulus
from harness.history.recorder import Recorder
from harness.wire.commands import COMPLETE_DELIVERY, DeviceKind
from harness.wire.files import EXTENSIONS, FileType
from simulators.broker.port import BrokerPort, BrokerSettings, DeviceDirectory, TlsFiles
from simulators.counterpart.allowance import MESSAGES_MAX, Allowance, BoundedDirectory
from simulators.counterpart.offers import OfferAlteringBroker
from simulators.counterpart.power import Credentials, PoweredDevice, ScopeOf
from simulators.counterpart.recording import HttpRecorder, PacketRecorder
from simulators.counterpart.trap import TrapServer
from simulators.network.addresses import free_port, host_in_url
from simulators.platform.access import Device as PlatformDevice
from simulators.platform.access import secret_digest
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind, FaultedDownload
from simulators.platform.platform import PlatformSettings, ReferencePlatform
from simulators.platform.provisioning import inventory
from simulators.platform.readings import with_reading
from simulators.platform.rules import REFERENCE, Rules

MakeDevice = Callable[[Credentials, ScopeOf], PoweredDevice]
_TOKEN_CHARACTERS = 32
# Of either case: whoever changes it shows.
_TOKEN_ALPHABET = string.ascii_letters + string.digits

_log = logging.getLogger(__name__)


@dataclass
class Spoilage:
    """The faults that the next downloads get. `at_byte` is a place in the file: of a file that is fetched in parts, it strikes one."""

    fault: DownloadFault | None = None
    times: int = 0

    def next(self, download: FaultedDownload) -> DownloadFault | None:
        if self.fault is None or self.times <= 0:
            return None
        if self.fault.kind is not DownloadFaultKind.TRICKLE and not self._is_in(download):
            return None
        self.times -= 1
        return replace(self.fault, at_byte=self._place(download) - download.first) if self._is_in(download) else self.fault

    def _is_in(self, download: FaultedDownload) -> bool:
        place = self._place(download)
        return download.first <= place < download.end or place == download.end == download.size_bytes

    def _place(self, download: FaultedDownload) -> int:
        assert self.fault is not None
        return self.fault.at_byte if self.fault.at_byte >= 0 else download.size_bytes + self.fault.at_byte


class Station:
    """Platform, broker and device, started together. Use as an async context manager.

    `scope` names the scenario that is at work here; the platform's side records into it. `is_dirty`: the device was left in a state in
    which nobody else may be asked of it.
    """

    def __init__(self, device: Device, address: BenchAddress, entropy: Entropy, recorder: Recorder, make_device: MakeDevice) -> None:
        self._device = device
        self._address = address
        self._recorder = recorder
        self._make_device = make_device
        self._stack = AsyncExitStack()
        self._seed = entropy.integer(1, 2**31)
        self._stored = 0
        self.scope = ""
        self.is_dirty = False
        self._tls_port = (address.mqtt_port or free_port(address.bind)) if address.tls else 0
        self.spoilage = Spoilage()
        identity = device.identity
        self.device_id = identity.id if identity is not None else draw_uuid(entropy)
        self.token = identity.token if identity is not None else draw_token(entropy)
        self.project_id = inventory(self._seed).projects[0].id
        self.allowance = Allowance(self._record_flood)
        self.broker: OfferAlteringBroker
        self.trap: TrapServer | None = None
        self.other_port: int | None = None

    async def __aenter__(self) -> Self:
        self._recorder.redactor.register(self.token, label=f"<token:{self.device_id}>", what="token")
        settings = PlatformSettings(
            bind=self._address.bind,
            public_host=self._address.advertise or "",
            api_port=self._address.api_port,
            seed=self._seed,
            name="counterpart",
            shutdown_timeout_s=0.1,
            tls_self_signed=self._address.tls,
            mqtts_port=self._tls_port,
            rules=rules_for(self._device),
        )
        self.platform = ReferencePlatform(
            settings, self._embedded, observer=HttpRecorder(self._recorder, self._scope_of), faults=self.spoilage.next
        )
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def _open(self) -> None:
        await self._stack.enter_async_context(self.platform)
        self._admit_device()
        self.http = await self._stack.enter_async_context(HttpDriver(self.api(), self._recorder))
        if offers_other_host(self._address):
            self.trap = await self._set_trap()
            self.other_port = await self.platform.open_another_port()
        self.credentials = self._credentials()
        self.power = self._make_device(self.credentials, self._scope_of)
        self._stack.push_async_callback(self.power.off)

    async def _set_trap(self) -> TrapServer | None:
        trap = TrapServer(self._recorder, self.device_id, self._scope_of)
        try:
            return await self._stack.enter_async_context(trap)
        except BenchError as error:
            _log.warning("%s", error)
            return None

    async def __aexit__(self, exc_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self._stack.aclose()

    def _embedded(self, directory: DeviceDirectory) -> BrokerPort:
        files = self.platform.directory / "tls"
        settings = BrokerSettings(
            bind=self._address.bind,
            port=0 if self._address.tls else self._address.mqtt_port,
            public_host=self._address.advertise or "",
            tls_port=self._tls_port or None,
            tls=self._certificates(files) if self._address.tls else None,
        )
        observer = PacketRecorder(self._recorder, self._scope_of)
        self.broker = OfferAlteringBroker(settings, BoundedDirectory(directory, self.allowance), observer=observer)
        return self.broker

    def _record_flood(self) -> None:
        self._recorder.record(Stimulus("flood", {"device_id": self.device_id, "messages": MESSAGES_MAX}), in_scope=self.scope)

    def _certificates(self, directory: Path) -> TlsFiles:
        """The user's certificate, if the device file names one; otherwise the platform makes a throw-away CA in that directory."""
        own, files = self._address, TlsFiles(directory / "server.pem", directory / "server.key")
        if own.tls_cert is not None and own.tls_key is not None:
            directory.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own.tls_cert, files.certificate)
            shutil.copyfile(own.tls_key, files.key)
            shutil.copyfile(own.tls_ca or own.tls_cert, directory / "ca.pem")
        return files

    @property
    def _ca_file(self) -> Path | None:
        return self.platform.directory / "tls" / "ca.pem" if self._address.tls else None

    def _scope_of(self, device_id: str) -> str:
        return self.scope

    def _admit_device(self) -> None:
        project = self.platform.store.project(self.project_id)
        assert project is not None
        entry = PlatformDevice(self.device_id, project.id, project.organisation_id, self._device.name, DeviceKind.MQTT, allowed_commands="")
        self.platform.store.add_devices([(entry, secret_digest(self.token))])

    def _credentials(self) -> Credentials:
        keep_alive_s = self._device.declares.keep_alive_s
        return Credentials(self.device_id, self.token, self.platform.mqtt_url, self.platform.api_url, keep_alive_s, self._ca_file)

    def api(self) -> Platform:
        """Our own platform as a target: what the HTTP driver needs of one."""
        self._recorder.redactor.register(self.api_key, label=f"<{FULL_API_KEY}>", what="api key")
        return Platform(
            name="counterpart",
            api_url=at_our_end(self.platform.api_url, self._address),
            mqtt_url=at_our_end(self.platform.mqtt_url, self._address),
            api_keys=ApiKeys(full=self.api_key),
            tls=Tls(ca=self._ca_file),
        )

    def follow_key_policy(self, policy: str | None) -> None:
        """What uses up a download key from here on; None: what suits the way in which the device downloads."""
        rules = rules_for(self._device) if policy is None else with_reading(REFERENCE, "KEY-08", policy)
        self.platform.service.rules = rules

    @property
    def api_key(self) -> str:
        return self.platform.secrets.api_key("full")

    def store(self, file_type: FileType, content: bytes) -> str:
        """Puts a file into the storage under a name of its own; returns the name."""
        self._stored += 1
        name = f"hil-{self._stored}{EXTENSIONS[file_type][0]}"
        self.platform.upload(self.project_id, file_type, name, content)
        return name

    @property
    def is_connected(self) -> bool:
        return self.device_id in self.broker.connected_clients()

    @property
    def is_subscribed(self) -> bool:
        """Whether the device's session has any subscription."""
        session = self.broker.core.session_of(self.device_id)
        return session is not None and bool(session.subscriptions)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way between the device and us: no unfinished message, no download."""
        return self.has_acknowledged_all and not self.platform.api.open_downloads

    @property
    def has_acknowledged_all(self) -> bool:
        """Whether the device has a session in which no message to it is unfinished."""
        session = self.broker.core.session_of(self.device_id)
        return session is not None and not session.waiting and not session.inflight

    async def renew(self, *, power_cycle: bool) -> None:
        """Brings the device back to where it can be asked anything: no session that remembers the past, and a power cycle if wanted."""
        if power_cycle:
            await self.power.cut()
        await self.broker.stop()
        await self.broker.start()
        self.is_dirty = False
        await self.power.on()


def draw_token(entropy: Entropy) -> str:
    """A device token; some 190 bits."""
    return "".join(_TOKEN_ALPHABET[byte % len(_TOKEN_ALPHABET)] for byte in entropy.random_bytes(_TOKEN_CHARACTERS))


def rules_for(device: Device) -> Rules:
    """The platform's rules: a device that fetches parts can only be served where a part does not use the key up (KEY-08)."""
    return with_reading(REFERENCE, "KEY-08", COMPLETE_DELIVERY) if device.declares.download == "range" else REFERENCE


def at_our_end(url: str, address: BenchAddress) -> str:
    """A URL as this machine reaches it: what is advertised may be an address of the device's network that we are not in (10.0.2.2).

    Under a certificate of the user's own the advertised name stays: it may be the only one that the certificate holds.
    """
    if address.advertise is None or address.tls_cert is not None:
        return url
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.bind, address.bind)
    return urlsplit(url)._replace(netloc=f"{host_in_url(host)}:{urlsplit(url).port}").geturl()


def offers_other_host(address: BenchAddress) -> bool:
    """Whether the device reaches us over loopback, where every address of 127.0.0.0/8 is another host (RFC 1122, 3.2.1.3)."""
    return address.bind.startswith("127.") and address.advertise is None


def state_directory_of(root: Path, device_id: str) -> Path:
    """Where an `exec` device keeps its flash; made if it is not there."""
    directory = root / device_id
    directory.mkdir(parents=True, exist_ok=True)
    return directory
