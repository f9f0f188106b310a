"""What a fresh platform holds: organisations, projects, devices, API keys and files, the same for the same seed.

Ids and file contents follow from the seed; tokens and API keys from a secret that each state directory has of its own. They are derived
whenever they are needed (for the target file, and for brokers that want a password file), so the database holds digests only.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass

from harness.entropy import Entropy, SeededEntropy, draw_uuid
from harness.wire.commands import DeviceKind
from harness.wire.files import FileType
from simulators.broker.port import Login
from simulators.platform.access import SEND_COMMANDS, Device, Organisation, Project, secret_digest
from simulators.platform.storage import Storage
from simulators.platform.store import Store

SECRET_BYTES = 32

_DEVICES = (  # project, name, kind, allowed commands, disposable
    (0, "sensor-1", DeviceKind.MQTT, "", True),
    (0, "sensor-2", DeviceKind.MQTT, "", True),
    (0, "sensor-3", DeviceKind.MQTT, "", True),
    (0, "sensor-4", DeviceKind.MQTT, "", True),
    (0, "meter-1", DeviceKind.MQTT, "configuration;reboot", True),
    (0, "meter-2", DeviceKind.MQTT, " configuration ; download_firmware;; blink ", True),
    (0, "wifi-1", DeviceKind.INTEMO_WIFI, "", True),
    (0, "wifi-2", DeviceKind.INTEMO_WIFI, "send_configuration;download_logo", True),
    (0, "cellular-1", DeviceKind.INTEMO_CELLULAR, "", True),
    (0, "http-1", DeviceKind.HTTP, "", True),
    (0, "keepsake", DeviceKind.MQTT, "", False),
    (1, "sensor-5", DeviceKind.MQTT, "", True),
    (1, "cellular-2", DeviceKind.INTEMO_CELLULAR, "configuration", True),
    (1, "http-2", DeviceKind.HTTP, "", True),
)

_FILES = (  # project, type, name, description, size in bytes
    (0, FileType.FIRMWARE, "firmware_v2.1.0.bin", "stable", 96 * 1024),
    (0, FileType.FIRMWARE, "firmware_v2.2.0.hex", "", 40 * 1024),
    (0, FileType.FIRMWARE, "bootloader.elf", "", 4_097),
    (0, FileType.FIRMWARE, "modem_v7.bin", "large: for slow links", 2 * 1024 * 1024),
    (0, FileType.FIRMWARE, 'beta "ünï" v3; final.BIN', "a name that needs care", 1_000),
    (0, FileType.LOGO, "logo.png", "", 2_345),
    (0, FileType.LOGO, "badge.bmp", "", 9_000),
    (1, FileType.FIRMWARE, "firmware_v1.0.0.bin", "of the other project", 20_000),
    (1, FileType.LOGO, "logo.jpg", "", 3_000),
)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The names of what was provisioned; everything else is in the store."""

    projects: tuple[Project, Project]
    disabled: Organisation
    other: Organisation


class Secrets:
    """Derives tokens and API keys: 192 bits each, of the base64url alphabet."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def device_token(self, device_id: str) -> str:
        return self._derive(f"device/{device_id}")

    def api_key(self, name: str) -> str:
        return "QB_" + self._derive(f"api-key/{name}")

    def broker_password(self) -> str:
        """With what the platform itself logs in to a broker of its own."""
        return self._derive("broker")

    def _derive(self, purpose: str) -> str:
        digest = hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest[:24]).decode()


def inventory(seed: int) -> Inventory:
    """The ids of a seed's organisations and projects."""
    ids = SeededEntropy(seed).stream("organisations")
    own, disabled, other = (draw_uuid(ids) for _ in range(3))
    return Inventory(
        projects=(Project(draw_uuid(ids), own, "Greenhouse"), Project(draw_uuid(ids), own, "Cold chain")),
        disabled=Organisation(disabled, "Without the feature", False),
        other=Organisation(other, "Another organisation", True),
    )


def provision(storage: Storage, store: Store, secrets: Secrets, seed: int, more_devices: int) -> None:
    """Puts everything into the store; what is there already stays as it is. Files are stored once, at the first start."""
    inv = inventory(seed)
    own = Organisation(inv.projects[0].organisation_id, "Own organisation", True)
    for organisation in (own, inv.disabled, inv.other):
        store.add_organisation(organisation)
    ids = SeededEntropy(seed).stream("projects of others")
    for project in (*inv.projects, Project(draw_uuid(ids), inv.disabled.id, "Disabled"), Project(draw_uuid(ids), inv.other.id, "Foreign")):
        store.add_project(project)
    for name, organisation, scopes in (
        ("full", own, {SEND_COMMANDS}),
        ("read_only", own, set()),
        ("disabled", inv.disabled, {SEND_COMMANDS}),
        ("other_org", inv.other, {SEND_COMMANDS}),
    ):
        store.add_api_key(secret_digest(secrets.api_key(name)), name, organisation.id, scopes)
    devices = [*_standard_devices(inv, seed), *_more_devices(inv, seed, more_devices)]
    store.add_devices((device, secret_digest(secrets.device_token(device.id))) for device in devices)
    if store.setting("files provisioned") is None:
        _store_files(storage, inv, SeededEntropy(seed).stream("files"))
        store.put_setting("files provisioned", "yes")


def _standard_devices(inv: Inventory, seed: int) -> Iterator[Device]:
    ids = SeededEntropy(seed).stream("devices")
    for project, name, kind, allowed, disposable in _DEVICES:
        owner = inv.projects[project]
        yield Device(draw_uuid(ids), owner.id, owner.organisation_id, name, kind, allowed, disposable)


def _more_devices(inv: Inventory, seed: int, count: int) -> Iterator[Device]:
    ids = SeededEntropy(seed).stream("more devices")
    owner = inv.projects[0]
    for number in range(1, count + 1):
        yield Device(draw_uuid(ids), owner.id, owner.organisation_id, f"fleet-{number:05}", DeviceKind.MQTT, "")


def _store_files(storage: Storage, inv: Inventory, entropy: Entropy) -> None:
    for project, file_type, name, description, size_bytes in _FILES:
        storage.put(inv.projects[project].id, file_type, name, entropy.random_bytes(size_bytes), description)


def logins(store: Store, secrets: Secrets) -> Iterator[Login]:
    """The MQTT logins of all devices."""
    for device in store.devices():
        yield Login(device.id, device.id, secrets.device_token(device.id))
