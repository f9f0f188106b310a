"""Both tables, pair by pair: what each legal pair does, and that each missing one is refused."""

from itertools import product

import pytest

from harness.errors import RemoteWireError
from harness.mqtt.decoding import Decoder
from harness.mqtt.exchange import (
    RECEIVER_STEPS,
    SENDER_STEPS,
    Outcome,
    ReceiverPacket,
    ReceiverState,
    ReceiverStep,
    SenderState,
    SenderStep,
    receiver_step,
    sender_step,
)
from harness.mqtt.packets import PacketType, Puback, Pubcomp, Publish, Pubrec, Pubrel

FREE, AWAITS_PUBACK, AWAITS_PUBREC, AWAITS_PUBCOMP = SenderState
RECEIVED = ReceiverState.AWAITS_PUBREL

SENDER = [
    (AWAITS_PUBACK, Puback(7), SenderStep(FREE, None, Outcome.COMPLETED)),
    (AWAITS_PUBREC, Pubrec(7), SenderStep(AWAITS_PUBCOMP, Pubrel, Outcome.CONTINUES)),
    (AWAITS_PUBCOMP, Pubrec(7), SenderStep(AWAITS_PUBCOMP, Pubrel, Outcome.CONTINUES)),
    (AWAITS_PUBCOMP, Pubcomp(7), SenderStep(FREE, None, Outcome.COMPLETED)),
    (FREE, Puback(7), SenderStep(FREE, None, Outcome.STRAY)),
    (FREE, Pubrec(7), SenderStep(FREE, Pubrel, Outcome.STRAY)),
    (FREE, Pubcomp(7), SenderStep(FREE, None, Outcome.STRAY)),
]
SENDER_REFUSES = [
    (AWAITS_PUBACK, Pubrec(7), "MQTT-4.3.2-2"),
    (AWAITS_PUBACK, Pubcomp(7), "MQTT-4.3.2-2"),
    (AWAITS_PUBREC, Puback(7), "MQTT-4.3.3-2"),
    (AWAITS_PUBREC, Pubcomp(7), "MQTT-4.3.3-2"),
    (AWAITS_PUBCOMP, Puback(7), "MQTT-4.3.3-2"),
]
ONCE, TWICE = Publish("t", b"", 1, packet_id=7), Publish("t", b"", 2, packet_id=7)
TWICE_AGAIN = Publish("t", b"", 2, dup=True, packet_id=7)
RECEIVER = [
    (ReceiverState.FREE, ONCE, ReceiverStep(ReceiverState.FREE, Puback, True)),
    (ReceiverState.FREE, TWICE, ReceiverStep(RECEIVED, Pubrec, True)),
    (ReceiverState.FREE, TWICE_AGAIN, ReceiverStep(RECEIVED, Pubrec, True)),
    (ReceiverState.FREE, Pubrel(7), ReceiverStep(ReceiverState.FREE, Pubcomp, False)),
    (RECEIVED, TWICE, ReceiverStep(RECEIVED, Pubrec, False)),
    (RECEIVED, TWICE_AGAIN, ReceiverStep(RECEIVED, Pubrec, False)),
    (RECEIVED, Pubrel(7), ReceiverStep(ReceiverState.FREE, Pubcomp, False)),
]


@pytest.mark.parametrize(("state", "packet", "step"), SENDER)
def test_the_sender_takes_the_step_of_its_table(state, packet, step):
    assert sender_step(state, packet) == step


@pytest.mark.parametrize(("state", "packet", "statement"), SENDER_REFUSES)
def test_the_sender_refuses_an_answer_that_its_table_lacks(state, packet, statement):
    with pytest.raises(RemoteWireError) as caught:
        sender_step(state, packet)
    assert caught.value.statement == statement
    assert Decoder().feed(caught.value.raw) == [packet]


def test_every_pair_of_the_sender_is_either_legal_or_refused():
    pairs = product(SenderState, (PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBCOMP))
    listed = [(state, packet.packet_type) for state, packet, _ in (*SENDER, *SENDER_REFUSES)]
    assert sorted(listed) == sorted(pairs)
    assert set(SENDER_STEPS) == {(state, packet.packet_type) for state, packet, _ in SENDER}


@pytest.mark.parametrize(("state", "packet", "step"), RECEIVER)
def test_the_receiver_takes_the_step_of_its_table(state, packet, step):
    assert receiver_step(state, packet) == step


def test_the_receiver_refuses_a_qos_1_message_under_the_id_of_an_unfinished_qos_2_message():
    with pytest.raises(RemoteWireError) as caught:
        receiver_step(RECEIVED, ONCE)
    assert caught.value.statement == "MQTT-2.3.1-4"


def test_every_pair_of_the_receiver_is_either_legal_or_refused():
    assert set(product(ReceiverState, ReceiverPacket)) - set(RECEIVER_STEPS) == {(RECEIVED, ReceiverPacket.PUBLISH_QOS_1)}


def test_every_message_of_the_tables_ends():
    """From each state, answers in their order lead to FREE: no state is a trap."""
    for state in SenderState:
        for answer in (Puback(7),) if state is AWAITS_PUBACK else (Pubrec(7), Pubcomp(7)):
            state = sender_step(state, answer).next_state
        assert state is FREE
