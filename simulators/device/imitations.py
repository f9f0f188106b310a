"""Devices that behave as firmware on real stacks does, as far as this protocol meets it.

The facts were read in the stacks' sources. An imitation is not wrong on purpose: `breaks` says what its stack's defaults break.
"""

from dataclasses import replace

from harness.mqtt.client_session import ClientMemory
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet
from harness.wire.topics import control_filter
from simulators.device.download_rules import Style
from simulators.device.firmware import Crash, Keeps, Message
from simulators.device.flash import Flash
from simulators.device.personality import Cause, Effects, Notes, Personality, downloading, tuned
from simulators.device.settings import DeviceSettings
from simulators.device.wrong_downloads import DOWNLOADS
from simulators.device.wrong_exchanges import DEAF, UNACKNOWLEDGED, deliver_at_release, deliver_every_publish

ARDUINO_BUFFER_BYTES = 256

REDELIVERY = ("DEV-05", "DEV-07", "DEV-09", "DEV-10", "DEV-25")
"""Rows that a device without packet ids, or with a clean session, may break besides."""


def small_packets_of(decoder: Decoder, data: bytes) -> list[Packet]:
    """Packets above the buffer are dropped without a word."""
    return [packet for packet in decoder.feed(data) if len(encode(packet)) <= ARDUINO_BUFFER_BYTES]


def like_esp_mqtt(settings: DeviceSettings) -> DeviceSettings:
    """Clean session by default; the HTTP client repeats after a 401 and redirects with the token."""
    download = replace(settings.download, token_may_go=lambda first_url, url: True, refusal_waits_s=(0.1,) * 4)
    return replace(settings, clean_session=True, download=download)


like_pubsubclient = tuned(
    clean_session=True,
    subscriptions=lambda device_id: ((control_filter(device_id), 1),),
    result_qos=0,
    reads=small_packets_of,
    pings_while_downloading=False,
    serves_while_downloading=False,
)
"""QoS 1 at most, 256 bytes, clean session, and a download inside the loop."""

like_platform_arduino = tuned(
    clean_session=True,
    subscriptions=lambda device_id: ((device_id, 0), (control_filter(device_id), 0)),
    result_qos=0,
    pings_while_downloading=False,
    serves_while_downloading=False,
)
"""Clean session and QoS 0 by default, and the plain device topic besides."""


like_umqtt = tuned(clean_session=True, keep_alive_s=0, result_qos=0, serves_while_downloading=False)
"""Clean session and no keep-alive by default."""

like_umqtt_robust = tuned(clean_session=False, keep_alive_s=0, result_qos=0, serves_while_downloading=False)
"""As umqtt, and reconnects with the session kept."""


def die_of_qos2(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """The callback runs, then `assert 0`: the effect stays, PUBREC never leaves."""
    if isinstance(cause, Message) and cause.qos == 2:
        return *effects, Crash("AssertionError in check_msg", Keeps.SAVED)
    return effects


def forget_session(flash: Flash) -> Flash:
    """The packet ids were in RAM."""
    return replace(flash, session=ClientMemory())


with_loop_blocked_by_downloads = tuned(pings_while_downloading=False, serves_while_downloading=False)
"""Pings leave only where the application yields, which a download does not."""


IMITATIONS = (
    Personality(
        "esp-mqtt-like",
        "Delivers each PUBLISH before its PUBREC and keeps no packet ids; clean session; the token follows redirects.",
        imitates="esp-mqtt and esp_http_client with their defaults",
        breaks=("DEV-04", "DEV-18"),
        also=(*REDELIVERY, "DEV-14", "DEV-17", "DEV-20a"),
        tunes=like_esp_mqtt,
        exchanges=deliver_every_publish,
        boots=forget_session,
    ),
    Personality(
        "arduino-mqtt-like",
        "Delivers each PUBLISH before its PUBREC and keeps no packet ids; downloads block its loop.",
        imitates="lwmqtt / 256dpi arduino-mqtt",
        breaks=("DEV-04",),
        also=(*REDELIVERY, "DEV-15", "DEV-16", "DEV-23", "DEV-20a"),
        tunes=with_loop_blocked_by_downloads,
        exchanges=deliver_every_publish,
        boots=forget_session,
    ),
    Personality(
        "platform-arduino-like",
        "Subscribes at QoS 0 with a clean session, as the platform's own Arduino library does by default.",
        imitates="qubitro/mqtt-client-arduino with its defaults",
        breaks=("DEV-02",),
        also=(*UNACKNOWLEDGED, *DEAF, "DEV-15", "DEV-16", "DEV-23"),
        tunes=like_platform_arduino,
        exchanges=deliver_every_publish,
    ),
    Personality(
        "pubsubclient-like",
        "Subscribes at QoS 1, drops packets above 256 bytes, and downloads inside its loop.",
        imitates="knolleary PubSubClient with its defaults",
        breaks=("DEV-02",),
        also=(*UNACKNOWLEDGED, *DEAF, *DOWNLOADS, "DEV-24", "DEV-26"),
        tunes=like_pubsubclient,
    ),
    Personality(
        "umqtt-like",
        "Executes a QoS 2 command, sends no PUBREC and dies.",
        imitates="MicroPython umqtt.simple",
        breaks=("DEV-03",),
        also=(*UNACKNOWLEDGED, *DEAF, *DOWNLOADS, "DEV-08a", "DEV-21", "DEV-24", "DEV-26", "DEV-28", "DEV-29"),
        tunes=like_umqtt,
        exchanges=deliver_every_publish,
        executes=die_of_qos2,
        boots=forget_session,
    ),
    Personality(
        "umqtt-robust-like",
        "As umqtt.simple, but keeps its session: the command comes again and again.",
        imitates="MicroPython umqtt.robust",
        breaks=("DEV-03", "DEV-07"),
        also=(*UNACKNOWLEDGED, *DEAF, *DOWNLOADS, "DEV-08a", "DEV-21", "DEV-24", "DEV-26", "DEV-28", "DEV-29"),
        tunes=like_umqtt_robust,
        exchanges=deliver_every_publish,
        executes=die_of_qos2,
        boots=forget_session,
    ),
    Personality(
        "paho-embedded-like",
        "Delivers each PUBLISH before its PUBREC and keeps no packet ids; no pings while it downloads.",
        imitates="Paho embedded C, MQTTClient-C",
        breaks=("DEV-04",),
        also=(*REDELIVERY, "DEV-15", "DEV-16", "DEV-23", "DEV-20a"),
        tunes=with_loop_blocked_by_downloads,
        exchanges=deliver_every_publish,
        boots=forget_session,
    ),
    Personality(
        "zephyr-like",
        "Leaves packet ids to an application that does not keep them; downloads in parts.",
        imitates="Zephyr's MQTT and the nRF download client",
        breaks=("DEV-04", "DEV-11"),
        also=(*REDELIVERY, *DOWNLOADS),
        tunes=downloading(style=Style.RANGE, range_bytes=2048),
        exchanges=deliver_every_publish,
        boots=forget_session,
    ),
    Personality(
        "esp-idf-ota-like",
        "Asks HEAD before it downloads; otherwise as the reference.",
        imitates="ESP-IDF partial_http_download",
        breaks=("DEV-11",),
        also=DOWNLOADS,
        tunes=downloading(style=Style.HEAD_GET),
    ),
    Personality(
        "libmosquitto-like",
        "Acts at PUBREL and keeps packet ids in RAM; otherwise as the reference.",
        imitates="libmosquitto",
        also=REDELIVERY,
        exchanges=deliver_at_release,
    ),
    Personality(
        "coremqtt-like",
        "Keeps packet ids and suppresses repeated messages, in RAM; otherwise as the reference.",
        imitates="coreMQTT",
        also=("DEV-07",),
        boots=forget_session,
    ),
)
