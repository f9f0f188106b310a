"""What one virtual device is: credentials, declaration, and the decisions of its stack that are constants or small functions.

The functions here are the reference's decisions about the line; those about commands stand in `firmware`, those about downloads in
`download_rules`. A personality replaces one of them with `dataclasses.replace`.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.entropy import Entropy
from harness.mqtt.decoding import Decoder
from harness.mqtt.packets import Packet
from harness.wire.topics import control_filter
from simulators.device.download_rules import DownloadRules
from simulators.device.firmware import FirmwareRules
from simulators.device.flash import JsonObject

FACTORY_CONFIGURATION: JsonObject = {"sampling_rate": 300}

CONNECT_S_MAX = 15.0
"""The longest wait for a network connection, to the broker or to a download's server; and then for the broker's CONNACK."""

BACKOFF_S_FIRST = 0.5
BACKOFF_S_MAX = 15.0


def own_control_topics(device_id: str) -> tuple[tuple[str, int], ...]:
    """One filter for all commands, with QoS 2 (DEV-01, DEV-02); it matches none of the device's own results."""
    return ((control_filter(device_id), 2),)


def growing_backoff(attempt: int, entropy: Entropy) -> float | None:
    """Seconds to wait before reconnect number `attempt` (from 1): doubling up to a limit, half of it by chance (DEV-20)."""
    longest_s = min(BACKOFF_S_MAX, BACKOFF_S_FIRST * 2 ** min(attempt - 1, 16))
    return entropy.uniform(longest_s / 2, longest_s)


def read_stream(decoder: Decoder, data: bytes) -> list[Packet]:
    """TCP is a stream: a read may hold half a packet or several (DEV-26). Raises RemoteWireError."""
    return decoder.feed(data)


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One device. The token is the MQTT password and the download's credential; times in seconds.

    `reboot_s`: how long a reboot takes, from the lost connection to the next CONNECT. `reboot_grace_s`: how long an acknowledged reboot
    waits for its exchanges to end. `backoff_s` gives None where the device would give up for ever.
    """

    device_id: str
    token: str
    mqtt_url: str
    firmware: FirmwareRules
    keep_alive_s: int = 30
    clean_session: bool = False
    tls: ssl.SSLContext | None = None
    subscriptions: Callable[[str], tuple[tuple[str, int], ...]] = own_control_topics
    subscribes_again: bool = True
    result_qos: int = 2
    reboot_s: float = 0.5
    reboot_grace_s: float = 2.0
    backoff_s: Callable[[int, Entropy], float | None] = growing_backoff
    reads: Callable[[Decoder, bytes], list[Packet]] = read_stream
    packet_bytes_max: int = 8 * 1024 * 1024
    pings_while_downloading: bool = True
    serves_while_downloading: bool = True
    keeps_session: bool = True
    """Whether the MQTT session is part of the flash; a fleet's devices, which never lose power, go without."""
    prints: Callable[[str], str] = field(default=lambda token: "")
    """What the console shows of the token: nothing (DEV-18)."""
    download: DownloadRules = field(default_factory=DownloadRules)

    @classmethod
    def reference(
        cls, *, device_id: str, token: str, mqtt_url: str, keep_alive_s: int = 30, tls: ssl.SSLContext | None = None
    ) -> "DeviceSettings":
        """The settings of the reference device. `tls` serves `mqtts://` and `https://`; None trusts the system's authorities."""
        rules = FirmwareRules(device_id, factory_configuration=FACTORY_CONFIGURATION)
        return cls(device_id, token, mqtt_url, rules, keep_alive_s=keep_alive_s, tls=tls)
