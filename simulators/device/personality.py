"""What a personality is: a device that differs from the reference in one named decision (or, as an imitation, in those of a real stack).

The cores know nothing of personalities. They offer four seams, and a personality fills the ones it needs with pure functions:

- `tunes` replaces constants and small decision functions in the settings;
- `exchanges` sees what the MQTT session wants to do about a packet, and may want something else;
- `executes` sees the effects of a command or of a finished download, and may have others;
- `boots` sees what is found in the flash at power-on.

`Notes` is the scratch memory of such functions; it lives in RAM and is empty after each boot.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from harness.mqtt.client_session import ClientSession, Duties
from harness.mqtt.packets import Packet
from simulators.device.firmware import Effect, Message
from simulators.device.flash import DownloadJob, Flash
from simulators.device.settings import DeviceSettings

Notes: TypeAlias = dict[str, Any]
Cause: TypeAlias = Message | DownloadJob
Effects: TypeAlias = tuple[Effect, ...]


def same_settings(settings: DeviceSettings) -> DeviceSettings:
    """The reference's settings."""
    return settings


def same_duties(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """The reference's exchange: what the session says."""
    return duties


def same_effects(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """The reference's effects: what the firmware decided."""
    return effects


def same_flash(flash: Flash) -> Flash:
    """The reference's memory: what was saved."""
    return flash


def tuned(**changes: Any) -> Callable[[DeviceSettings], DeviceSettings]:
    """Settings with these fields replaced."""
    return lambda settings: replace(settings, **changes)


def downloading(**changes: Any) -> Callable[[DeviceSettings], DeviceSettings]:
    """Settings with these fields of the download rules replaced."""
    return lambda settings: replace(settings, download=replace(settings.download, **changes))


@dataclass(frozen=True, slots=True)
class Personality:
    """One kind of device.

    `breaks` names the rows of the catalogue that it breaks on purpose: certification must report each. `also` names rows that break as a
    consequence, in some situations: they may be reported. Any other row would be a false accusation. `story` says what the device does.
    """

    name: str
    story: str
    breaks: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    imitates: str = ""
    """The real stack that it follows; "" for a device that is wrong in one decision."""
    tunes: Callable[[DeviceSettings], DeviceSettings] = same_settings
    exchanges: Callable[[Notes, ClientSession, Packet, Duties], Duties] = same_duties
    executes: Callable[[Notes, DeviceSettings, Flash, Cause, Effects], Effects] = same_effects
    boots: Callable[[Flash], Flash] = same_flash


REFERENCE = Personality("reference", "Keeps every promise of the catalogue.")
