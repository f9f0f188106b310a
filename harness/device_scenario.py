"""What a device scenario needs of the declaration, and what it is given."""

from dataclasses import dataclass

from harness.bench.device_file import Declares, Device
from harness.wire.commands import DOWNLOADS, RESET, configuration_payload

OFFER_BYTES_MIN = 110  # what the payload of our platform's download commands has at least


@dataclass(frozen=True, slots=True)
class DeviceNeeds:
    """Which claims a scenario builds on. A scenario whose needs the declaration does not meet is not applicable."""

    commands: tuple[str, ...] = ()
    any_download: bool = False  # of a firmware or, where it has none, of a logo
    results: bool = False  # what only results could show
    results_required: bool = False
    persistent_session: bool = False
    qos: int | None = None
    download: str | None = None
    power: bool = False  # the harness can cut the device's power
    image_seen: bool = False  # the hash of an installed image shows somewhere
    invalid_images: bool = False
    keep_alive: bool = False
    console: bool = False
    other_host: bool = False  # the device can reach a second host of ours (the bench knows)
    configuration_seen: bool = False  # by a result or an observer
    any_configuration: bool = False  # what we make up is legal, too

    def rule_out(self, device: Device) -> str | None:
        """The line of the device file that rules the scenario out, or None."""
        declares = device.declares
        if self.any_download and not download_commands(declares):
            return f"[device.declares] commands lists none of {', '.join(map(repr, DOWNLOADS))}"
        for command in (*self.commands, *(download_commands(declares)[:1] if self.any_download else ())):
            if command not in declares.commands:
                return f"[device.declares] commands does not list {command!r}"
            if command == RESET and not declares.allow_reset:
                return "[device.declares] allow_reset = false"
            if command in DOWNLOADS and declares.max_payload_bytes < OFFER_BYTES_MIN:
                return f"[device.declares] max_payload_bytes = {declares.max_payload_bytes}: a download command has more"
        if self.results and declares.results == "none":
            return '[device.declares] results = "none": only a result could show it'
        if self.results_required and declares.results != "required":
            return f'[device.declares] results = "{declares.results}"'
        if self.persistent_session and not declares.persistent_session:
            return "[device.declares] persistent_session = false"
        if self.qos is not None and declares.qos != self.qos:
            return f"[device.declares] qos = {declares.qos}"
        if self.download is not None and declares.download != self.download:
            return f'[device.declares] download = "{declares.download}"'
        if self.power and not device.run.can_cut_power:
            return f"{_line_of(device)}: the harness cannot cut the device's power"
        if self.console and device.run.attach:
            return "[device.run] attach = true: its console is not seen"
        if self.keep_alive and not declares.keep_alive_s:
            return "[device.declares] keep_alive_s = 0"
        return self._rule_out_by_observation(device)

    def _rule_out_by_observation(self, device: Device) -> str | None:
        """What nothing declared could show."""
        declares, observe = device.declares, device.observe
        if self.image_seen and not observe.image_sha256 and (declares.results == "none" or not declares.image_sha256_pointer):
            return "nothing shows an installed image: [device.declares] results and image_sha256_pointer, or [device.observe] image_sha256"
        if self.configuration_seen and not observe.configuration and declares.results == "none":
            return '[device.declares] results = "none", and no [device.observe] configuration'
        if self.any_configuration and device.configurations:
            return "[[device.configurations]] names the legal ones: none is of a chosen size"
        offered = [DOWNLOADS[command] for command in download_commands(declares)[:1]]
        if self.invalid_images and all(image.valid for image in device.images if image.type in offered):
            return "[[device.images]] names no image with valid = false" + "".join(
                f' and type = "{file_type.value}"' for file_type in offered
            )
        return None


def download_commands(declares: Declares) -> list[str]:
    """The download commands that the device has, the firmware's first."""
    return [command for command in DOWNLOADS if command in declares.commands]


def _line_of(device: Device) -> str:
    return "[device.run] attach = true" if device.run.attach else '[device.run.serial] power.method = "none"'


@dataclass(frozen=True, slots=True)
class DeviceCast:
    """The device that a scenario questions: one running instance with its own identity.

    `configurations` are legal ones, all different; `rich_configurations` hold values of every kind, where such are legal.
    """

    device: Device
    device_id: str
    configurations: tuple[dict[str, object], ...] = ()
    rich_configurations: tuple[dict[str, object], ...] = ()

    def payload(self, configuration: dict[str, object]) -> bytes:
        """A configuration as it goes over the wire."""
        return configuration_payload(configuration)

    def padded(self, configuration: dict[str, object], size_bytes: int) -> bytes:
        """A configuration as it goes over the wire, with blanks, which are legal in JSON, up to this size."""
        payload = self.payload(configuration)
        return payload[:-1].ljust(size_bytes - 1) + payload[-1:]

    @property
    def declares(self) -> Declares:
        return self.device.declares

    @property
    def download_command(self) -> str:
        """The command for questions about downloads of any kind: a firmware's or, where the device has none, a logo's."""
        return download_commands(self.declares)[0]
