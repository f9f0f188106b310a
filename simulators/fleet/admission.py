"""How a fleet takes devices in: what all of them share, and what sets each apart."""

import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from simulators.device.settings import DeviceSettings
from simulators.fleet.behaviour import Behaviour
from simulators.fleet.bookkeeping import Books
from simulators.fleet.device_line import DeviceLine, Surroundings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """One device of the target file."""

    device_id: str
    token: str


def shared_settings(
    mqtt_url: str, *, keep_alive_s: int = 60, tls: ssl.SSLContext | None = None, clean_session: bool = False
) -> DeviceSettings:
    """The reference device without flash of its own for the session: nothing cuts the power of a fleet's devices."""
    settings = DeviceSettings.reference(device_id="", token="", mqtt_url=mqtt_url, keep_alive_s=keep_alive_s, tls=tls)
    return replace(settings, keeps_session=False, result_qos=1, clean_session=clean_session)


def admitted(
    device: Credentials, behaviour: Behaviour, *, settings: DeviceSettings, surroundings: Surroundings, books: Books
) -> DeviceLine:
    """One more device, seen by the books and not yet connected; `settings` are the shared ones."""
    personality = books.watched(behaviour.personality)
    rules = replace(settings.firmware, device_id=device.device_id)
    own = replace(settings, device_id=device.device_id, token=device.token, firmware=rules)
    line = DeviceLine(surroundings, personality.tunes(own), behaviour, personality)
    books.added(line)
    return line


def shard_of(items: Sequence[T], index: int, count: int) -> Iterator[T]:
    """The part of `items` that shard `index` (from 1) of `count` plays; the parts are disjoint and cover all."""
    return (item for number, item in enumerate(items) if number % count == index - 1)
