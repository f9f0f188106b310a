"""The QoS 1 and QoS 2 exchanges as two tables, one for each role; both ends of a connection play both roles.

The idea: an exchange belongs to one packet id, and its state is all that an end must remember to keep the promise "exactly
once". The *sender* of a message moves on with each answer; the *receiver* of a QoS 2 message remembers its id from the first
PUBLISH until PUBREL, and so knows a repetition when it sees one, whatever the DUP flag says.

Each table maps (state, packet received) to the step to take. A pair that is missing is a protocol violation of the peer, and
`sender_step` and `receiver_step` refuse it. The message is handed to the application with the first PUBLISH (method B of
figure 4.3), so nothing but the id needs to be stored by the receiver.

An answer to a packet id that is not in use is no violation by any numbered statement: a repeated PUBLISH earns a repeated
answer, which may arrive when the exchange is over. Such an answer is a *stray*: listed here, changes nothing, and is told to
the caller, who may record it.

Left to the sessions: storing messages, packet ids, the order of redelivery.   Source: 4.3, 4.4.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from harness.errors import RemoteWireError
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet, PacketType, Puback, Pubcomp, Publish, Pubrec, Pubrel

# The enums below are IntEnums because they are keys on the broker's hot path: an Enum hashes in Python, an int in C.


class SenderState(IntEnum):
    """Where the sender of a message is, for one packet id."""

    FREE = 0
    AWAITS_PUBACK = 1  # PUBLISH of QoS 1 sent
    AWAITS_PUBREC = 2  # PUBLISH of QoS 2 sent
    AWAITS_PUBCOMP = 3  # PUBREL sent


class Outcome(IntEnum):
    """What an answer means to the sender."""

    CONTINUES = 0
    COMPLETED = 1  # the receiver has taken responsibility and the packet id is free
    STRAY = 2  # the packet id was not in use


@dataclass(frozen=True, slots=True)
class SenderStep:
    """What the sender does with an answer: the state to go to, and the packet type to send, if any."""

    next_state: SenderState
    send: type[Pubrel] | None
    outcome: Outcome


SENDER_STEPS: Final[dict[tuple[SenderState, PacketType], SenderStep]] = {
    (SenderState.AWAITS_PUBACK, PacketType.PUBACK): SenderStep(SenderState.FREE, None, Outcome.COMPLETED),
    (SenderState.AWAITS_PUBREC, PacketType.PUBREC): SenderStep(SenderState.AWAITS_PUBCOMP, Pubrel, Outcome.CONTINUES),
    # The receiver saw PUBLISH twice: each PUBREC earns a PUBREL (MQTT-4.3.3-1).
    (SenderState.AWAITS_PUBCOMP, PacketType.PUBREC): SenderStep(SenderState.AWAITS_PUBCOMP, Pubrel, Outcome.CONTINUES),
    (SenderState.AWAITS_PUBCOMP, PacketType.PUBCOMP): SenderStep(SenderState.FREE, None, Outcome.COMPLETED),
    (SenderState.FREE, PacketType.PUBACK): SenderStep(SenderState.FREE, None, Outcome.STRAY),
    # PUBREL lets the receiver forget an id that the sender forgot already; silence would leave it waiting for good.
    (SenderState.FREE, PacketType.PUBREC): SenderStep(SenderState.FREE, Pubrel, Outcome.STRAY),
    (SenderState.FREE, PacketType.PUBCOMP): SenderStep(SenderState.FREE, None, Outcome.STRAY),
}
"""The sender's table. Missing, so refused: PUBREC or PUBCOMP for a QoS 1 message, PUBACK for a QoS 2 message, PUBCOMP before PUBREL."""


class ReceiverState(IntEnum):
    """Where the receiver of messages is, for one packet id."""

    FREE = 0
    AWAITS_PUBREL = 1  # PUBLISH of QoS 2 received, and its message handed on


class ReceiverPacket(IntEnum):
    """The packets that a receiver tells apart."""

    PUBLISH_QOS_1 = 1
    PUBLISH_QOS_2 = 2
    PUBREL = 3


@dataclass(frozen=True, slots=True)
class ReceiverStep:
    """What the receiver does: the state to go to, the packet type to answer with, and whether the application gets the message."""

    next_state: ReceiverState
    send: type[Puback] | type[Pubrec] | type[Pubcomp]
    is_delivered: bool


RECEIVER_STEPS: Final[dict[tuple[ReceiverState, ReceiverPacket], ReceiverStep]] = {
    (ReceiverState.FREE, ReceiverPacket.PUBLISH_QOS_1): ReceiverStep(ReceiverState.FREE, Puback, True),
    (ReceiverState.FREE, ReceiverPacket.PUBLISH_QOS_2): ReceiverStep(ReceiverState.AWAITS_PUBREL, Pubrec, True),
    # A repetition, with DUP or without: acknowledged each time, delivered never again (MQTT-4.3.3-2).
    (ReceiverState.AWAITS_PUBREL, ReceiverPacket.PUBLISH_QOS_2): ReceiverStep(ReceiverState.AWAITS_PUBREL, Pubrec, False),
    (ReceiverState.AWAITS_PUBREL, ReceiverPacket.PUBREL): ReceiverStep(ReceiverState.FREE, Pubcomp, False),
    # The sender did not see our PUBCOMP, and its PUBREL comes first on the new connection (MQTT-4.4.0-1).
    (ReceiverState.FREE, ReceiverPacket.PUBREL): ReceiverStep(ReceiverState.FREE, Pubcomp, False),
}
"""The receiver's table. Missing, so refused: a QoS 1 message under the packet id of a QoS 2 message that awaits PUBREL."""

_RECEIVER_PACKETS = {1: ReceiverPacket.PUBLISH_QOS_1, 2: ReceiverPacket.PUBLISH_QOS_2}

Answer: TypeAlias = Puback | Pubrec | Pubcomp
"""The packets that a sender receives."""


def sender_step(state: SenderState, packet: Answer) -> SenderStep:
    """The step of a sender in `state` that receives `packet`. Raises RemoteWireError for a pair that the table lacks."""
    step = SENDER_STEPS.get((state, packet.packet_type))
    if step is None:
        raise _refusal(state, packet, "MQTT-4.3.3-2" if state > SenderState.AWAITS_PUBACK else "MQTT-4.3.2-2")
    return step


def receiver_step(state: ReceiverState, packet: Publish | Pubrel) -> ReceiverStep:
    """The step of a receiver in `state` that receives `packet`, a PUBLISH of QoS 1 or 2, or a PUBREL. Raises RemoteWireError as above."""
    kind = ReceiverPacket.PUBREL if type(packet) is Pubrel else _RECEIVER_PACKETS[packet.qos]  # type: ignore[union-attr]
    step = RECEIVER_STEPS.get((state, kind))
    if step is None:
        raise _refusal(state, packet, "MQTT-2.3.1-4")
    return step


def _refusal(state: SenderState | ReceiverState, packet: Packet, statement: str) -> RemoteWireError:
    return RemoteWireError(f"{packet} has no place in state {state.name}", raw=encode(packet), statement=statement)
