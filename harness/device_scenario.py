"""What a device scenario needs of the declaration, and what it is given."""

import json
from dataclasses import dataclass, field

from harness.bench.device_file import Declares, Device


@dataclass(frozen=True, slots=True)
class DeviceNeeds:
    """Which claims a scenario builds on. A scenario whose needs the declaration does not meet is not applicable."""

    commands: tuple[str, ...] = ()
    results: bool = False  # what only results could show
    persistent_session: bool = False
    qos: int | None = None
    download: str | None = None
    power: bool = False  # the harness can cut the device's power

    def rule_out(self, device: Device) -> str | None:
        """The line of the device file that rules the scenario out, or None."""
        declares = device.declares
        for command in self.commands:
            if command not in declares.commands:
                return f"[device.declares] commands does not list {command!r}"
            if command == "reset" and not declares.allow_reset:
                return "[device.declares] allow_reset = false"
        if self.results and declares.results == "none":
            return '[device.declares] results = "none": only a result could show it'
        if self.persistent_session and not declares.persistent_session:
            return "[device.declares] persistent_session = false"
        if self.qos is not None and declares.qos != self.qos:
            return f"[device.declares] qos = {declares.qos}"
        if self.download is not None and declares.download != self.download:
            return f'[device.declares] download = "{declares.download}"'
        if self.power and device.run.attach:
            return "[device.run] attach = true: the harness cannot cut the device's power"
        return None


@dataclass(frozen=True, slots=True)
class DeviceCast:
    """The device that a scenario questions: one running instance with its own identity. `configurations` are legal ones, all different."""

    device: Device
    device_id: str
    configurations: tuple[dict[str, object], ...] = field(default_factory=tuple)

    def payload(self, configuration: dict[str, object]) -> bytes:
        """A configuration as it goes over the wire."""
        return json.dumps(configuration, separators=(",", ":")).encode()

    @property
    def has_own_configurations(self) -> bool:
        """Whether only the vendor's configurations are legal."""
        return bool(self.device.configurations)

    @property
    def declares(self) -> Declares:
        return self.device.declares
