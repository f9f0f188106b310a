"""The device file: what a device under test is, what its vendor claims, and how it is run. Source: interfaces.md, "Device file"."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from harness.bench.tls import with_pem_files
from harness.bench.toml_file import CommandTable, Table, first_mistake, from_file, read_toml, require_file, resolve_secret
from harness.errors import ConfigurationError
from harness.wire.commands import STANDARD_COMMANDS
from harness.wire.files import FileType
from harness.wire.urls import checked_host

TOPIC_LEVEL = r"^[^/+#\x00]+$"  # M 4.7
RUN_KINDS = ("exec", "serial", "attach")


class Identity(Table):
    """Fixed credentials of a device that cannot be provisioned."""

    id: str = Field(pattern=TOPIC_LEVEL)
    token: str = Field(min_length=1)


class BenchAddress(Table):
    """How the device reaches us. Ports of 0 are any free port."""

    bind: str = "127.0.0.1"
    advertise: str | None = None
    api_port: int = Field(default=0, ge=0, le=65_535)
    mqtt_port: int = Field(default=0, ge=0, le=65_535)
    tls: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_ca: Path | None = None

    @field_validator("bind", "advertise")
    @classmethod
    def _is_a_host(cls, host: str | None) -> str | None:
        return None if host is None else checked_host(host)

    @model_validator(mode="after")
    def _has_a_whole_pair(self) -> "BenchAddress":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; without them a certificate is made")
        return self


class Declares(Table):
    """What the vendor claims. It decides which checks apply; a claim that is seen broken is a FAIL. Times in seconds."""

    commands: tuple[Annotated[str, Field(pattern=TOPIC_LEVEL)], ...] = STANDARD_COMMANDS
    results: Literal["required", "optional", "none"] = "required"
    qos: Literal[1, 2] = 2
    persistent_session: bool = True
    download: Literal["single", "head-get", "range"] = "single"
    keep_alive_s: float = Field(default=30, ge=0, le=65_535)
    reboot_s: float = Field(default=10, gt=0)
    result_s: float = Field(default=5, gt=0)
    connect_s: float = Field(default=30, gt=0)
    max_payload_bytes: int = Field(default=4096, ge=16)
    allow_reset: bool = True
    configuration_pointer: str = "/configuration"
    image_sha256_pointer: str = "/sha256"

    @field_validator("configuration_pointer", "image_sha256_pointer")
    @classmethod
    def _is_pointer(cls, pointer: str) -> str:
        if pointer and not pointer.startswith("/"):
            raise ValueError(f"{pointer!r} is no JSON pointer (RFC 6901): it starts with '/', or is empty")
        return pointer


class Image(Table):
    """A real image for a device that boots only real ones."""

    path: Path
    type: FileType
    valid: bool = True


class Configuration(Table):
    """A legal configuration of the device."""

    data: dict[str, Any]


class Factory(Table):
    """What `reset` restores."""

    configuration: dict[str, Any]


class Observe(CommandTable):
    """Other ways to see effects: shell commands that print a value, and the console's boot banner."""

    image_sha256: str | None = None
    configuration: str | None = None
    boot_pattern: str | None = None

    @field_validator("boot_pattern")
    @classmethod
    def _is_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return pattern


class Prepare(CommandTable):
    """Shell commands that the harness runs around the device."""

    flash: str | None = None
    after_reset: str | None = None


class Run(CommandTable):
    """How the device is run: exactly one of `exec`, `serial` and `attach`."""

    exec: str | None = Field(default=None, min_length=1)
    attach: bool = False
    serial: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_exactly_one(self) -> "Run":
        chosen = [name for name, value in (("exec", self.exec), ("serial", self.serial), ("attach", self.attach)) if value]
        if len(chosen) != 1:
            raise ValueError(f"exactly one of {', '.join(RUN_KINDS)} is wanted, found {', '.join(chosen) or 'none'}")
        return self

    @property
    def can_cut_power(self) -> bool:
        """Whether the harness can take the device's power away: a program's process, a board whose table names a way."""
        if self.serial is not None:
            power = self.serial.get("power")
            return isinstance(power, dict) and power.get("method", "none") != "none"
        return not self.attach


class Device(Table):
    """The table `[device]` with everything below it."""

    vendor: str = Field(min_length=1)
    model: str = Field(min_length=1)
    firmware_version: str = Field(min_length=1)
    hardening: Literal["should", "must"] = "should"
    identity: Identity | None = None
    declares: Declares = Declares()
    images: tuple[Image, ...] = ()
    configurations: tuple[Configuration, ...] = ()
    factory: Factory | None = None
    observe: Observe = Observe()
    prepare: Prepare = Prepare()
    run: Run

    @property
    def name(self) -> str:
        return f"{self.vendor} {self.model} {self.firmware_version}"

    @model_validator(mode="after")
    def _has_enough(self) -> "Device":
        valid = [image for image in self.images if image.valid]
        if self.images and len(valid) < 2:
            raise ValueError(f"[[device.images]] names {len(valid)} valid images, at least 2 are wanted (or no images at all)")
        if len(self.configurations) == 1:
            raise ValueError("[[device.configurations]] names 1 configuration, at least 2 are wanted (or none at all)")
        return self


class DeviceFile(Table):
    """A device file, read and checked."""

    device: Device
    bench: BenchAddress = BenchAddress()


def read_device_file(path: Path) -> DeviceFile:
    """Reads a device file. Paths in it become absolute. Raises ConfigurationError for the first mistake."""
    document = read_toml(path)
    device = document.get("device")
    if not isinstance(device, dict):
        raise ConfigurationError(str(path), "device", "", "the table is missing")
    document = document | {"device": _with_secret(path, _with_hardening(document, device))}
    document.pop("hardening", None)
    try:
        read = DeviceFile.model_validate(document, context=from_file(path))
    except ValidationError as error:
        raise first_mistake(path, error) from error
    return _with_absolute_paths(path, read)


def _with_hardening(document: dict[str, Any], device: dict[str, Any]) -> dict[str, Any]:
    """`hardening` may stand before the first table as well as in `[device]`."""
    return {"hardening": document["hardening"], **device} if "hardening" in document else device


def _with_secret(path: Path, device: dict[str, Any]) -> dict[str, Any]:
    identity = device.get("identity")
    if not isinstance(identity, dict) or "token" not in identity:
        return device
    token = resolve_secret(path, "device.identity", "token", identity["token"])
    return device | {"identity": identity | {"token": token}}


def _with_absolute_paths(path: Path, read: DeviceFile) -> DeviceFile:
    here = path.absolute().parent
    images = tuple(image.model_copy(update={"path": here / image.path}) for image in read.device.images)
    for index, image in enumerate(images):
        require_file(path, f"device.images.{index}", "path", image.path)
    bench = with_pem_files(path, "bench", read.bench, authority="tls_ca", pair=("tls_cert", "tls_key"))
    return DeviceFile(device=read.device.model_copy(update={"images": images}), bench=bench)
