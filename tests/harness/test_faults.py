"""A fault plan is data, and what it makes of packets is a pure function of what has passed."""

import pytest

from harness.errors import ScenarioError
from harness.fault_interpreter import CutNow, FaultInterpreter, FaultStream, Operation, Wait, WaitFor, Write
from harness.faults import (
    Coalesce,
    Corrupt,
    Cut,
    Delay,
    Drop,
    Duplicate,
    FaultPlan,
    Hold,
    Inject,
    PacketEvent,
    PacketFault,
    Reorder,
    Rewrite,
    Split,
)
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Connack, Packet, Publish, Pubrec, Pubrel, Suback

COMMAND = Publish("dev-1/control/reboot", b"{}", 2, packet_id=7)


def plan_of(action, **event) -> FaultPlan:
    return FaultPlan(packets=(PacketFault(name="fault", at=PacketEvent(**event), action=action),))


class Line:
    """A server's direction to dev-1 under a plan."""

    def __init__(self, plan: FaultPlan) -> None:
        self.interpreter = FaultInterpreter(plan)
        self.stream = FaultStream("server")
        self.client = FaultStream("client")
        self.interpreter.connected("dev-1", [self.stream, self.client])

    def send(self, packet: Packet) -> list[Operation]:
        return self.interpreter.packet(self.stream, packet, encode(packet))


def data_of(operations: list[Operation]) -> list[bytes]:
    return [operation.data for operation in operations if isinstance(operation, Write)]


def test_a_packet_that_no_fault_names_passes_as_it_is():
    assert Line(plan_of(Drop(), packet="PUBREL")).send(COMMAND) == [Write(encode(COMMAND), COMMAND)]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Drop(), []),
        (Delay(seconds=2), [Wait(2), Write(encode(COMMAND), COMMAND)]),
        (Cut(when="before"), [CutNow()]),
        (Cut(when="after"), [Write(encode(COMMAND), COMMAND), CutNow()]),
        (Cut(at_byte=3), [Write(encode(COMMAND)[:3]), CutNow()]),
        (Split(at=(1,)), [Write(encode(COMMAND)[:1]), Wait(0), Write(encode(COMMAND)[1:])]),
        (Inject(raw_hex="d000", when="before"), [Write(b"\xd0\0"), Write(encode(COMMAND), COMMAND)]),
        (Inject(raw_hex="d000"), [Write(encode(COMMAND), COMMAND), Write(b"\xd0\0")]),
        (Corrupt(at=0, xor=0x01), [Write(b"\x35" + encode(COMMAND)[1:])]),
        (Corrupt(at=1_000), [Write(encode(COMMAND), COMMAND)]),
    ],
)
def test_each_action_makes_its_operations(action, expected):
    assert Line(plan_of(action)).send(COMMAND) == expected


def test_split_without_places_goes_byte_by_byte():
    pieces = data_of(Line(plan_of(Split())).send(COMMAND))
    assert [len(piece) for piece in pieces] == [1] * len(encode(COMMAND))
    assert b"".join(pieces) == encode(COMMAND)


@pytest.mark.parametrize(("dup", "first_byte"), [(True, 0x3C), (False, 0x34), (None, 0x34)])
def test_duplicates_keep_the_packet_id_and_set_dup_as_asked(dup, first_byte):
    first, copy = data_of(Line(plan_of(Duplicate(dup=dup))).send(COMMAND))
    assert first == encode(COMMAND)
    assert copy[0] == first_byte
    assert copy[1:] == first[1:]


def test_a_reordered_packet_goes_out_behind_the_next_ones():
    line = Line(plan_of(Reorder(behind=2), packet="PUBLISH"))
    assert line.send(COMMAND) == []
    assert data_of(line.send(Pubrel(1))) == [encode(Pubrel(1))]
    assert data_of(line.send(Pubrel(2))) == [encode(Pubrel(2)), encode(COMMAND)]


def test_coalesced_packets_wait_for_the_last_of_them():
    line = Line(plan_of(Coalesce(packets=2), packet="PUBLISH"))
    wait, write = line.send(COMMAND)
    assert isinstance(wait, WaitFor)
    assert line.interpreter.released == []
    line.send(Pubrel(1))
    assert line.interpreter.released == [wait.ticket]
    assert write == Write(encode(COMMAND), COMMAND)


def test_a_held_packet_is_released_by_the_event_it_waits_for():
    line = Line(plan_of(Hold(until=PacketEvent(packet="PUBREC", sent_by="client")), packet="PUBLISH"))
    wait = line.send(COMMAND)[0]
    assert isinstance(wait, WaitFor)
    line.interpreter.packet(line.client, Pubrec(7), encode(Pubrec(7)))
    assert line.interpreter.released == [wait.ticket]


@pytest.mark.parametrize(
    ("rewrite", "packet", "expected"),
    [
        (Rewrite(session_present=True), Connack(False, 0), Connack(True, 0)),
        (Rewrite(session_present=False), Connack(True, 0), Connack(False, 0)),
        (Rewrite(return_code=3), Connack(True, 0), Connack(False, 3)),
        (Rewrite(return_codes=(128,)), Suback(1, (2,)), Suback(1, (128,))),
        (Rewrite(retain=True), COMMAND, Publish(COMMAND.topic, b"{}", 2, True, packet_id=7)),
        (Rewrite(qos=0, dup=True), COMMAND, Publish(COMMAND.topic, b"{}", 0)),
        (Rewrite(payload="no json"), COMMAND, Publish(COMMAND.topic, b"no json", 2, packet_id=7)),
    ],
)
def test_a_rewritten_packet_says_what_the_plan_says(rewrite, packet, expected):
    assert Line(plan_of(rewrite)).send(packet) == [Write(encode(expected), expected)]


def test_rewriting_a_packet_without_such_fields_is_a_scenario_error():
    with pytest.raises(ScenarioError):
        Line(plan_of(Rewrite(retain=True))).send(Pubrel(1))


@pytest.mark.parametrize(
    "event",
    [
        {"packet": "PUBREL"},
        {"sent_by": "client"},
        {"client_id": "dev-2"},
        {"connection": 2},
        {"topic": "dev-2/#"},
        {"qos": 1},
        {"dup": True},
    ],
)
def test_an_event_that_differs_in_one_word_is_another_event(event):
    assert Line(plan_of(Drop(), **event)).send(COMMAND) != []


def test_skip_and_times_count_per_client():
    line = Line(plan_of(Drop(), packet="PUBREL", skip=1, times=1))
    assert [bool(line.send(Pubrel(number))) for number in (1, 2, 3)] == [True, False, True]
    other = FaultStream("server")
    line.interpreter.connected("dev-2", [other])
    assert line.interpreter.packet(other, Pubrel(1), encode(Pubrel(1))) != []


def test_connections_of_a_client_are_counted():
    line = Line(plan_of(Drop(), connection=2))
    line.interpreter.connected("dev-1", [line.stream])
    assert line.send(COMMAND) == []


def test_faults_at_one_packet_apply_in_their_order():
    plan = FaultPlan(
        packets=(
            PacketFault(name="twice", at=PacketEvent(packet="PUBLISH"), action=Duplicate(dup=True)),
            PacketFault(name="late", at=PacketEvent(packet="PUBLISH"), action=Delay(seconds=1)),
        )
    )
    line = Line(plan)
    assert [type(operation) for operation in line.send(COMMAND)] == [Wait, Write, Write]
    assert [(fired.name, fired.client_id, fired.detail) for fired in line.interpreter.fired] == [
        ("twice", "dev-1", "duplicate at PUBLISH 7 of the server"),
        ("late", "dev-1", "delay at PUBLISH 7 of the server"),
    ]


def test_a_plan_survives_json():
    plan = FaultPlan(
        packets=(
            PacketFault(name="cut", at=PacketEvent(packet="PUBREL", sent_by="server", skip=2), action=Cut(when="after")),
            PacketFault(name="hold", at=PacketEvent(), action=Hold(until=PacketEvent(packet="PUBREC"))),
        )
    )
    assert FaultPlan.model_validate_json(plan.model_dump_json()) == plan


def test_an_unknown_word_in_a_plan_is_refused():
    with pytest.raises(ValueError, match="whent"):
        FaultPlan.model_validate({"packets": [{"name": "x", "at": {}, "action": {"do": "cut", "whent": "after"}}]})


@pytest.mark.parametrize(("topic", "passes"), [("+/control/+", False), ("+/control/+/result", True)])
def test_a_topic_names_the_exchange_of_its_message(topic, passes):
    line = Line(plan_of(Drop(), packet="PUBREL", topic=topic))
    line.send(COMMAND)
    assert bool(line.send(Pubrel(7))) is passes


@pytest.mark.parametrize(("receipt", "passes"), [(Pubrec(7), False), (Pubrec(8), True)])
def test_a_topic_names_the_receipts_of_its_message_only(receipt, passes):
    line = Line(plan_of(Drop(), packet="PUBREC", topic="+/control/+"))
    line.send(COMMAND)
    line.interpreter.packet(line.client, Publish("dev-1/control/reboot/result", b"{}", 2, packet_id=8), b"")
    assert bool(line.interpreter.packet(line.client, receipt, encode(receipt))) is passes


def test_a_topic_names_no_packet_without_one():
    line = Line(plan_of(Drop(), topic="#"))
    assert line.send(Connack(False, 0))
