"""Wrong devices whose mistake is in the exchange of packets: acknowledgements, and what counts as the same message.

Each replaces one decision. Functions of the seam `exchanges` take what the session wants to do about a packet and give back what this
device does.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from harness.mqtt.client_session import ClientSession, Duties
from harness.mqtt.packets import Connack, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel
from simulators.device.personality import Notes, Personality

Exchange: TypeAlias = Callable[[Notes, ClientSession, Packet, Duties], Duties]


def is_repeated(packet: Packet, duties: Duties) -> bool:
    """Whether `packet` is a QoS 2 message that the session has seen before."""
    return isinstance(packet, Publish) and packet.qos == 2 and not duties.deliver


def deliver_every_publish(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """No table of packet ids: each PUBLISH is a message."""
    if isinstance(packet, Publish) and is_repeated(packet, duties):
        return replace(duties, deliver=(packet,))
    return duties


def deliver_unless_last(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """One packet id is remembered: that of the last PUBLISH."""
    if not isinstance(packet, Publish):
        return duties
    last, notes["last id"] = notes.get("last id"), packet.packet_id
    return duties if packet.packet_id == last else deliver_every_publish(notes, session, packet, duties)


def deliver_every_reset(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """As above for `reset` alone."""
    is_reset = isinstance(packet, Publish) and packet.topic.endswith("/reset")
    return deliver_every_publish(notes, session, packet, duties) if is_reset else duties


def answer_first_publish_only(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """A repeated PUBLISH is dropped without a word."""
    return replace(duties, send=()) if is_repeated(packet, duties) else duties


def without(kind: type[Packet]) -> Exchange:
    """An exchange that never sends packets of `kind`."""

    def exchange(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
        return replace(duties, send=tuple(sent for sent in duties.send if not isinstance(sent, kind)))

    return exchange


def rewriting(kind: type[Packet], rewritten: Callable[[int], Packet]) -> Exchange:
    """An exchange that sends another packet, made of the packet id, in place of each one of `kind`."""

    def exchange(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
        send = tuple(rewritten(getattr(sent, "packet_id", 0)) if isinstance(sent, kind) else sent for sent in duties.send)
        return replace(duties, send=send)

    return exchange


def _seen(notes: Notes, packet: Packet) -> dict[int, Publish]:
    """The messages that came over this connection, by packet id; before `packet` is added to them."""
    if isinstance(packet, Connack):
        notes["earlier"] = notes.get("earlier", {}) | notes.get("seen", {})
        notes["seen"] = {}
    seen: dict[int, Publish] = notes.setdefault("seen", {})
    before = dict(seen)
    if isinstance(packet, Publish) and packet.packet_id is not None:
        seen[packet.packet_id] = packet
    return before


def answer_own_releases_only(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """A PUBREL is answered where its PUBLISH came over the same connection."""
    seen = _seen(notes, packet)
    return replace(duties, send=()) if isinstance(packet, Pubrel) and packet.packet_id not in seen else duties


def deliver_again_at_release(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """A PUBREL that starts a resumed session runs the message of the connection before once more."""
    seen = _seen(notes, packet)
    if isinstance(packet, Pubrel) and packet.packet_id not in seen and packet.packet_id in notes.get("earlier", {}):
        return replace(duties, deliver=(notes["earlier"].pop(packet.packet_id),))
    return duties


def forget_ids_with_the_connection(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """The table of packet ids is cleared with each connection."""
    seen = _seen(notes, packet)
    if isinstance(packet, Publish) and is_repeated(packet, duties) and packet.packet_id not in seen:
        return replace(duties, deliver=(packet,))
    return duties


def deliver_at_release(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """Method A of the standard's figure 4.3: a message waits for its PUBREL. Legal, while nothing is lost in between."""
    waiting: dict[int, Publish] = notes.setdefault("waiting", {})
    if isinstance(packet, Publish) and packet.qos == 2:
        for message in duties.deliver:
            waiting[message.packet_id or 0] = message
        return replace(duties, deliver=())
    if isinstance(packet, Pubrel) and packet.packet_id in waiting:
        return replace(duties, deliver=(waiting.pop(packet.packet_id),))
    return duties


def deliver_at_release_or_never(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """As above, but the waiting messages are lost with the connection."""
    if isinstance(packet, Connack):
        notes.pop("waiting", None)
    return deliver_at_release(notes, session, packet, duties)


def remember_ids_for_ever(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """A packet id that was used once never brings a message again."""
    known: set[int] = notes.setdefault("known", set())
    new = tuple(message for message in duties.deliver if message.packet_id not in known)
    known.update(message.packet_id for message in duties.deliver if message.packet_id is not None)
    return replace(duties, deliver=new)


def acknowledge_json_objects_only(notes: Notes, session: ClientSession, packet: Packet, duties: Duties) -> Duties:
    """A malformed payload gets no PUBREC."""
    if not isinstance(packet, Publish):
        return duties
    try:
        is_object = isinstance(json.loads(packet.payload), dict)
    except (ValueError, RecursionError):
        is_object = False
    return duties if is_object else replace(duties, send=())


UNACKNOWLEDGED = ("DEV-03", "DEV-04", "DEV-05", "DEV-06", "DEV-07", "DEV-09", "DEV-19", "DEV-27", "DEV-30")
"""What a missing or wrong acknowledgement may break besides its own row: the exchange never ends, so the next ones are not seen."""

DEAF = ("DEV-04", "DEV-05", "DEV-06", "DEV-07", "DEV-08a", "DEV-08b", "DEV-09", "DEV-10", "DEV-20a", "DEV-20b", "DEV-25")
"""What may break where commands no longer reach the device."""

WRONG_EXCHANGES = (
    Personality(
        "pubrec-missing",
        "Executes a QoS 2 command and never sends PUBREC.",
        breaks=("DEV-03",),
        also=UNACKNOWLEDGED,
        exchanges=without(Pubrec),
    ),
    Personality(
        "pubcomp-missing",
        "Answers PUBLISH with PUBREC and PUBREL with nothing.",
        breaks=("DEV-03",),
        also=UNACKNOWLEDGED,
        exchanges=without(Pubcomp),
    ),
    Personality(
        "puback-for-qos2",
        "Answers a QoS 2 PUBLISH with PUBACK.",
        breaks=("DEV-03",),
        # A server ends the connection on it (MQTT-4.8.0-1), after each command: everything comes late, twice or never.
        also=(*UNACKNOWLEDGED, *DEAF, "DEV-11", "DEV-12a", "DEV-13", "DEV-15", "DEV-26"),
        exchanges=rewriting(Pubrec, Puback),
    ),
    Personality(
        "pubrec-wrong-id",
        "Answers PUBLISH with the PUBREC of another packet id.",
        breaks=("DEV-03",),
        also=UNACKNOWLEDGED,
        exchanges=rewriting(Pubrec, lambda packet_id: Pubrec(packet_id % 0xFFFF + 1)),
    ),
    Personality(
        "delivers-twice",
        "Keeps no packet ids: a repeated PUBLISH is executed again.",
        breaks=("DEV-04",),
        also=("DEV-05", "DEV-07", "DEV-09", "DEV-10", "DEV-25"),
        exchanges=deliver_every_publish,
    ),
    Personality(
        "remembers-the-last-id-only",
        "Keeps one packet id: a copy that comes behind another command is executed again.",
        breaks=("DEV-04",),
        also=("DEV-05", "DEV-07", "DEV-10", "DEV-25"),
        exchanges=deliver_unless_last,
    ),
    Personality(
        "no-second-pubrec",
        "Executes once, but a repeated PUBLISH gets no PUBREC.",
        breaks=("DEV-04",),
        also=("DEV-03", "DEV-05", "DEV-07", "DEV-27", "DEV-30"),
        exchanges=answer_first_publish_only,
    ),
    Personality(
        "forgets-ids-on-reconnect",
        "Clears its table of packet ids with each connection: what is redelivered after a resume is executed again.",
        breaks=("DEV-04",),
        also=("DEV-05", "DEV-07", "DEV-09", "DEV-10", "DEV-25"),
        exchanges=forget_ids_with_the_connection,
    ),
    Personality(
        "resets-twice",
        "Executes a repeated `reset` again; other commands once.",
        breaks=("DEV-10",),
        also=("DEV-04", "DEV-25"),
        exchanges=deliver_every_reset,
    ),
    Personality(
        "pubrel-unanswered-after-resume",
        "Answers PUBREL only where it saw the PUBLISH on the same connection.",
        breaks=("DEV-05",),
        also=("DEV-03", "DEV-07"),
        exchanges=answer_own_releases_only,
    ),
    Personality(
        "acts-again-at-pubrel",
        "Acts at PUBLISH, and once more at a PUBREL that starts a resumed session.",
        breaks=("DEV-05",),
        also=("DEV-04", "DEV-07", "DEV-25"),
        exchanges=deliver_again_at_release,
    ),
    Personality(
        "acts-at-pubrel-or-never",
        "Acts at PUBREL, but forgets the message with the connection: a PUBREL after a resume has no effect.",
        breaks=("DEV-05",),
        also=("DEV-03", "DEV-04", "DEV-07", "DEV-25"),
        exchanges=deliver_at_release_or_never,
    ),
    Personality(
        "remembers-ids-for-ever",
        "Never forgets a packet id: a new message under a used id is taken for a repetition.",
        breaks=("DEV-06",),
        also=("DEV-04", "DEV-05", "DEV-08a", "DEV-09", "DEV-25"),  # a message that has no effect, repeated or not, under a used id
        exchanges=remember_ids_for_ever,
    ),
    Personality(
        "malformed-unacknowledged",
        "Sends no PUBREC for a payload that is no JSON object.",
        breaks=("DEV-27",),
        also=("DEV-03", "DEV-04", "DEV-19", "DEV-30"),
        exchanges=acknowledge_json_objects_only,
    ),
)
