"""What a personality is: a device that differs from the reference in one named decision (or, as an imitation, in those of a real stack).

The cores know nothing of personalities. They offer four seams, and a personality fills the ones it needs with pure functions:

- `tunes` replaces constants and small decision functions in the settings;
- `exchanges` sees what the MQTT session wants to do about a packet, and may want something else;
- `executes` sees the effects of a command or of a finished download, and may have others;
- `boots` sees what is found in the flash at power-on.

`Notes` is the scratch memory of such functions; it lives in RAM and is empty after each boot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from harness.mqtt.client_session import ClientSession, Duties
from harness.mqtt.packets import Packet
from simulators.device.firmware import Effect, Message
from simulators.device.flash import DownloadJob, Flash
from simulators.device.settings import DeviceSettings

Notes: TypeAlias = dict[str, Any]
Cause: TypeAlias = Message | DownloadJob


def same_settings(settings: DeviceSettings) -> DeviceSettings:
    """The reference's settings."""
    return settings


def same_duties(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """The reference's exchange: what the session says."""
    return duties


def same_effects(notes: Notes, flash: Flash, cause: Cause, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """The reference's effects: what the firmware decided."""
    return effects


def same_flash(flash: Flash) -> Flash:
    """The reference's memory: what was saved."""
    return flash


@dataclass(frozen=True, slots=True)
class Personality:
    """One kind of device. `breaks` names the rows of the catalogue that it breaks; an imitation may break several, the reference none."""

    name: str
    story: str
    breaks: tuple[str, ...] = ()
    imitates: str = ""
    tunes: Callable[[DeviceSettings], DeviceSettings] = same_settings
    exchanges: Callable[[Notes, ClientSession, Packet, Duties], Duties] = same_duties
    executes: Callable[[Notes, Flash, Cause, tuple[Effect, ...]], tuple[Effect, ...]] = same_effects
    boots: Callable[[Flash], Flash] = same_flash


REFERENCE = Personality("reference", "Keeps every promise of the catalogue.")
