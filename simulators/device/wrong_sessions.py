"""Wrong devices whose mistake is in the connection: what they subscribe to, how they read the stream, how they come back.

Each replaces one decision of the settings.
"""

from harness.entropy import Entropy
from harness.mqtt.decoding import Decoder
from harness.mqtt.packets import Packet, Publish
from harness.wire.commands import RESET, STANDARD_COMMANDS
from harness.wire.topics import control_filter, control_topic
from simulators.device.personality import Personality, tuned
from simulators.device.wrong_exchanges import DEAF, UNACKNOWLEDGED


def first_packet_of_a_read(decoder: Decoder, data: bytes) -> list[Packet]:
    """One read, one packet: whatever follows it is lost."""
    return decoder.feed(data)[:1]


def whole_packets_of_a_read(decoder: Decoder, data: bytes) -> list[Packet]:
    """A read starts with a packet: the half of one that stands at its end is lost, and so is the other half."""
    return Decoder().feed(data)


def last_publish_first(decoder: Decoder, data: bytes) -> list[Packet]:
    """The messages of one read are handled from the last to the first."""
    packets = decoder.feed(data)
    publishes = [packet for packet in packets if isinstance(packet, Publish)]
    return [publishes.pop() if isinstance(packet, Publish) else packet for packet in packets]


def never(attempt: int, entropy: Entropy) -> float | None:
    """Gives up."""
    return None


def every_second(attempt: int, entropy: Entropy) -> float | None:
    """The same wait for all devices and all attempts."""
    return 1.0


def at_once(attempt: int, entropy: Entropy) -> float | None:
    """No wait worth the name."""
    return 0.02


WRONG_SESSIONS = (
    Personality(
        "subscribes-to-everything",
        "Subscribes to '#' besides its own topics.",
        breaks=("DEV-01",),
        tunes=tuned(subscriptions=lambda device_id: (("#", 2), (control_filter(device_id), 2))),
    ),
    Personality(
        "subscribes-to-neighbours",
        "Subscribes to the control topics of all devices besides its own.",
        breaks=("DEV-01",),
        tunes=tuned(subscriptions=lambda device_id: (("+/control/+", 2), (control_filter(device_id), 2))),
    ),
    Personality(
        "deaf-to-reset",
        "Subscribes to each of its control topics, and leaves out that of `reset`.",
        breaks=("DEV-01",),
        also=("DEV-10", "DEV-25"),
        tunes=tuned(
            subscriptions=lambda device_id: tuple((control_topic(device_id, name), 2) for name in STANDARD_COMMANDS if name != RESET)
        ),
    ),
    Personality(
        "qos1-only",
        "Asks for QoS 1 on its control topics, and repeats what is repeated to it.",
        breaks=("DEV-02",),
        also=UNACKNOWLEDGED,
        tunes=tuned(subscriptions=lambda device_id: ((control_filter(device_id), 1),)),
    ),
    Personality(
        "qos0-only",
        "Asks for QoS 0 on its control topics.",
        breaks=("DEV-02",),
        also=(*UNACKNOWLEDGED, *DEAF),
        tunes=tuned(subscriptions=lambda device_id: ((control_filter(device_id), 0),)),
    ),
    Personality(
        "pubrecs-in-reverse",
        "Handles the messages of one read from the last to the first.",
        breaks=("DEV-30",),
        also=("DEV-09",),
        tunes=tuned(reads=last_publish_first),
    ),
    Personality(
        "one-packet-per-read",
        "Takes each read for one packet and loses what follows it.",
        breaks=("DEV-26",),
        also=(*UNACKNOWLEDGED, *DEAF, "DEV-15", "DEV-23"),
        tunes=tuned(reads=first_packet_of_a_read),
    ),
    Personality(
        "whole-packets-only",
        "Takes the begin of each read for the begin of a packet and loses packets that are split.",
        breaks=("DEV-26",),
        also=(*UNACKNOWLEDGED, *DEAF, "DEV-15", "DEV-23"),
        tunes=tuned(reads=whole_packets_of_a_read),
    ),
    Personality(
        "never-reconnects",
        "Stays offline once its connection is lost.",
        breaks=("DEV-20a",),
        also=(*DEAF, "DEV-15", "DEV-26"),
        tunes=tuned(backoff_s=never),
    ),
    Personality(
        "forgets-to-resubscribe",
        "Connects with a clean session and subscribes at its first connection only.",
        breaks=("DEV-20a",),
        also=(*DEAF, "DEV-01", "DEV-03", "DEV-15", "DEV-26"),
        tunes=tuned(clean_session=True, subscribes_again=False),
    ),
    Personality(
        "reconnects-in-lockstep",
        "Tries to reconnect every second, without growth and without chance.",
        breaks=("DEV-20b",),
        tunes=tuned(backoff_s=every_second),
    ),
    Personality(
        "reconnects-at-once",
        "Tries to reconnect fifty times a second.",
        breaks=("DEV-20b",),
        tunes=tuned(backoff_s=at_once),
    ),
    Personality(
        "lost-while-downloading",
        "Downloads inside its MQTT loop: no pings meanwhile, and once the broker has closed the connection it does not come back.",
        breaks=("DEV-15",),
        also=(*DEAF, "DEV-16", "DEV-23"),
        tunes=tuned(pings_while_downloading=False, serves_while_downloading=False, backoff_s=never),
    ),
    Personality(
        "busy-while-downloading",
        "Keeps its connection alive while it downloads, but reads no command meanwhile.",
        breaks=("DEV-16",),
        also=("DEV-03", "DEV-15", "DEV-23", "DEV-25"),
        tunes=tuned(serves_while_downloading=False),
    ),
)
