"""Commands: their names, what a device permits, and the body of a download command. Source: CMD-05, CMD-06, CMD-15, CMD-19."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness.wire.files import FileType
from harness.wire.json_values import read_json

CONFIGURATION = "configuration"
SEND_CONFIGURATION = "send_configuration"
DOWNLOAD_FIRMWARE = "download_firmware"
DOWNLOAD_LOGO = "download_logo"
REBOOT = "reboot"
RESET = "reset"

STANDARD_COMMANDS = (CONFIGURATION, SEND_CONFIGURATION, DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO, REBOOT, RESET)

DOWNLOADS = {DOWNLOAD_FIRMWARE: FileType.FIRMWARE, DOWNLOAD_LOGO: FileType.LOGO}

KEY_LIFETIME_S = 30 * 60.0  # KEY-01, CMD-07
# What uses up a download key: the first request that passes every check, or the delivery of the whole file (KEY-08).
FIRST_USE, COMPLETE_DELIVERY = KEY_POLICIES = ("first-use", "complete-delivery")
TRANSFER_TIME_S_MAX = 15 * 60.0  # DLD-05


class DeviceKind(Enum):
    """How a device is connected; the value is the word of the target file."""

    MQTT = "mqtt"
    INTEMO_WIFI = "intemo-wifi"
    INTEMO_CELLULAR = "intemo-cellular"
    HTTP = "http"

    @property
    def takes_commands(self) -> bool:
        """Whether commands can reach it at all. Source: CMD-16, CMD-19."""
        return self is not DeviceKind.HTTP


def command_names(allowed_commands: str) -> frozenset[str]:
    """The names in a device's `allowed_commands`; blanks around names and empty entries are ignored. Source: CMD-15."""
    return frozenset(name.strip() for name in allowed_commands.split(";")) - {""}


def permits(allowed_commands: str, command: str) -> bool:
    """Whether a device whose metadata holds `allowed_commands` accepts `command`; an empty list permits all.

    Whole names, case-sensitive. Source: CMD-15.
    """
    names = command_names(allowed_commands)
    return not names or command in names


def configuration_payload(configuration: Mapping[str, Any]) -> bytes:
    """A configuration as a message's payload: a JSON object without blanks. Source: CMD-05."""
    return json.dumps(configuration, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class DownloadOffer:
    """What a download command tells the device. `expires_at` is RFC 3339 in UTC, as on the wire. Source: CMD-06."""

    url: str
    expires_at: str

    def payload(self) -> bytes:
        """The message's payload: a JSON object without blanks, as small clients have 256 bytes in all (CMD-24)."""
        return json.dumps({"url": self.url, "expires_at": self.expires_at}, separators=(",", ":")).encode()


def parse_download_offer(payload: bytes) -> DownloadOffer | None:
    """The offer in a download command's payload; None where `url` or `expires_at` is missing or no string."""
    body = read_json(payload)
    if not isinstance(body, dict):
        return None
    url, expires_at = body.get("url"), body.get("expires_at")
    if not isinstance(url, str) or not isinstance(expires_at, str):
        return None
    return DownloadOffer(url, expires_at)


def download_key(url: str) -> str | None:
    """The key in a download URL, or None where it is no URL, or has no or several `key` parameters."""
    try:
        keys = parse_qs(urlsplit(url).query, keep_blank_values=True).get("key", [])
    except ValueError:
        return None
    return keys[0] if len(keys) == 1 else None
