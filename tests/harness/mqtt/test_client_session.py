"""The client's session: requests, both directions of the exchange, and what a lost connection leaves behind."""

import pytest

from harness.errors import LocalWireError, RemoteWireError
from harness.mqtt.client_session import ClientMemory, ClientSession, Duties, Phase
from harness.mqtt.packet_ids import PacketIdsExhausted
from harness.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)


def connected(session: ClientSession, *, session_present: bool = False) -> Duties:
    session.connect_packet()
    return session.receive(Connack(session_present, 0))


def online(**settings) -> ClientSession:
    session = ClientSession("dev-7", **{"clean_session": False, **settings})
    connected(session)
    return session


def command(packet_id: int = 5, payload: bytes = b"reboot", *, dup: bool = False, qos: int = 2) -> Publish:
    return Publish("dev-7/control/reboot", payload, qos, dup=dup, packet_id=packet_id)


# --- connecting


def test_connect_carries_all_settings():
    will = Will("w", b"gone", 1, True)
    session = ClientSession("c", clean_session=False, keep_alive_s=9, username="u", password=b"p", will=will)
    assert session.connect_packet() == Connect("c", False, 9, "u", b"p", will)
    assert session.client_id == "c"


def test_a_session_is_connected_after_connack():
    session = ClientSession("c")
    assert session.phase is Phase.OFFLINE
    session.connect_packet()
    assert session.phase is Phase.CONNECTING
    assert session.receive(Connack(False, 0)) == Duties(reply=Connack(False, 0))
    assert session.phase is Phase.CONNECTED


def test_a_refused_session_is_offline_and_remembers():
    session = online()
    session.receive(command())
    session.connect_packet()
    assert session.receive(Connack(False, 5)).reply == Connack(False, 5)
    assert session.phase is Phase.OFFLINE
    assert session.memory.received == {5}


def test_nothing_may_come_before_connack():
    session = ClientSession("c")
    session.connect_packet()
    with pytest.raises(RemoteWireError) as caught:
        session.receive(command())
    assert caught.value.statement == "MQTT-3.2.0-1"


def test_a_second_connack_is_refused():
    with pytest.raises(RemoteWireError, match="a second one"):
        online().receive(Connack(False, 0))


def test_a_clean_session_cannot_be_present():
    session = ClientSession("c", clean_session=True)
    with pytest.raises(RemoteWireError) as caught:
        connected(session, session_present=True)
    assert caught.value.statement == "MQTT-3.2.2-1"


def test_a_session_that_only_the_server_remembers_is_fine():
    session = ClientSession("c", clean_session=False)
    assert connected(session, session_present=True).send == ()


@pytest.mark.parametrize("packet", [Connect("c"), Subscribe(1, (("a", 0),)), Unsubscribe(1, ("a",)), Pingreq(), Disconnect()])
def test_what_only_clients_send_is_refused(packet):
    with pytest.raises(RemoteWireError, match="only a client sends this"):
        online().receive(packet)


def test_a_packet_without_a_connection_is_our_own_fault():
    with pytest.raises(LocalWireError, match="without a connection"):
        ClientSession("c").receive(Pingresp())


def test_disconnect_ends_the_connection():
    session = online()
    assert session.disconnect() == Disconnect()
    assert session.phase is Phase.OFFLINE


# --- requests


def test_a_subscription_is_answered():
    session = online()
    request = session.subscribe([("a/#", 2), ("b", 1)])
    assert request == Subscribe(1, (("a/#", 2), ("b", 1)))
    assert session.receive(Suback(1, (2, 0x80))) == Duties(reply=Suback(1, (2, 0x80)))


def test_a_suback_that_answers_nothing_is_refused():
    with pytest.raises(RemoteWireError) as caught:
        online().receive(Suback(1, (2,)))
    assert caught.value.statement == "MQTT-3.8.4-2"


def test_a_suback_cannot_answer_an_unsubscribe():
    session = online()
    session.unsubscribe(["a"])
    with pytest.raises(RemoteWireError):
        session.receive(Suback(1, (0,)))


def test_a_suback_with_the_wrong_number_of_codes_is_refused():
    session = online()
    session.subscribe([("a", 0), ("b", 0)])
    with pytest.raises(RemoteWireError) as caught:
        session.receive(Suback(1, (0,)))
    assert caught.value.statement == "MQTT-3.8.4-5"


def test_an_unsubscription_is_answered():
    session = online()
    assert session.unsubscribe(["a", "b/#"]) == Unsubscribe(1, ("a", "b/#"))
    assert session.receive(Unsuback(1)) == Duties(reply=Unsuback(1))


def test_an_unsuback_that_answers_nothing_is_refused():
    session = online()
    session.subscribe([("a", 0)])
    with pytest.raises(RemoteWireError) as caught:
        session.receive(Unsuback(1))
    assert caught.value.statement == "MQTT-3.10.4-4"


def test_a_request_lost_with_its_connection_frees_its_id():
    session = online()
    session.subscribe([("a", 0)])
    connected(session, session_present=True)
    with pytest.raises(RemoteWireError):
        session.receive(Suback(1, (0,)))


def test_an_illegal_request_takes_no_id():
    session = online()
    with pytest.raises(LocalWireError, match=r"MQTT-3\.8\.3-3"):
        session.subscribe([])
    assert session.subscribe([("a", 0)]).packet_id == 1


def test_requests_need_a_connection():
    session = ClientSession("c")
    with pytest.raises(LocalWireError, match="phase OFFLINE"):
        session.subscribe([("a", 0)])
    with pytest.raises(LocalWireError, match="phase OFFLINE"):
        session.ping()
    with pytest.raises(LocalWireError, match="phase OFFLINE"):
        session.disconnect()


def test_a_ping_is_answered_once():
    session = online()
    assert session.ping() == Pingreq()
    assert session.receive(Pingresp()) == Duties(reply=Pingresp())
    with pytest.raises(RemoteWireError, match="no PINGREQ awaits it"):
        session.receive(Pingresp())


# --- receiving messages


def test_a_qos_0_message_is_delivered():
    message = Publish("t", b"x")
    assert online().receive(message) == Duties(deliver=(message,))


def test_a_qos_1_message_is_delivered_and_acknowledged_each_time():
    session = online()
    for message in (command(qos=1), command(qos=1, dup=True)):
        assert session.receive(message) == Duties(send=(Puback(5),), deliver=(message,))


def test_a_qos_2_message_is_delivered_once_and_acknowledged_each_time():
    session = online()
    assert session.receive(command()) == Duties(send=(Pubrec(5),), deliver=(command(),))
    for _ in range(3):
        assert session.receive(command(dup=True)) == Duties(send=(Pubrec(5),))


def test_a_qos_2_message_ends_with_pubrel():
    session = online()
    session.receive(command())
    assert session.receive(Pubrel(5)) == Duties(send=(Pubcomp(5),))
    assert session.memory == ClientMemory()


def test_pubrel_for_an_unknown_id_is_answered():
    assert online().receive(Pubrel(9)) == Duties(send=(Pubcomp(9),))


def test_an_id_used_again_after_pubcomp_is_a_new_message():
    session = online()
    session.receive(command())
    session.receive(Pubrel(5))
    assert session.receive(command()).deliver == (command(),)


def test_a_duplicate_on_the_next_connection_is_not_delivered_again():
    session = online()
    session.receive(command())
    session.connection_lost()
    connected(session, session_present=True)
    assert session.receive(command(dup=True)) == Duties(send=(Pubrec(5),))


def test_an_id_is_new_when_the_server_has_lost_the_session():
    session = online()
    session.receive(command())
    connected(session, session_present=False)
    assert session.receive(command()).deliver == (command(),)


def test_a_qos_1_message_under_an_unfinished_id_is_refused():
    session = online()
    session.receive(command())
    with pytest.raises(RemoteWireError) as caught:
        session.receive(command(qos=1))
    assert caught.value.statement == "MQTT-2.3.1-4"


def test_messages_are_acknowledged_in_their_order():
    session = online()
    sent = [packet for packet_id in (3, 1, 2) for packet in session.receive(command(packet_id)).send]
    assert sent == [Pubrec(3), Pubrec(1), Pubrec(2)]


# --- sending messages


def test_a_qos_0_message_needs_no_id():
    assert online().publish("t", b"x", retain=True) == (None, (Publish("t", b"x", 0, True),))


def test_a_qos_0_message_without_a_connection_is_refused():
    with pytest.raises(LocalWireError, match="PUBLISH of QoS 0 in phase OFFLINE"):
        ClientSession("c").publish("t", b"x")


def test_a_qos_1_message_is_completed_by_puback():
    session = online()
    assert session.publish("t", b"x", 1) == (1, (Publish("t", b"x", 1, packet_id=1),))
    assert session.in_flight == 1
    assert session.receive(Puback(1)) == Duties(completed=(1,))
    assert session.in_flight == 0


def test_a_qos_2_message_is_completed_by_pubcomp():
    session = online()
    session.publish("t", b"x", 2)
    assert session.receive(Pubrec(1)) == Duties(send=(Pubrel(1),))
    assert session.in_flight == 1
    assert session.receive(Pubcomp(1)) == Duties(completed=(1,))
    assert session.in_flight == 0


def test_pubrec_again_is_answered_again():
    session = online()
    session.publish("t", b"x", 2)
    session.receive(Pubrec(1))
    assert session.receive(Pubrec(1)) == Duties(send=(Pubrel(1),))


@pytest.mark.parametrize(("answer", "send"), [(Puback(9), ()), (Pubrec(9), (Pubrel(9),)), (Pubcomp(9), ())])
def test_an_answer_to_an_unused_id_is_told_as_stray(answer, send):
    assert online().receive(answer) == Duties(send=send, stray=(answer,))


@pytest.mark.parametrize(("qos", "answer"), [(1, Pubrec(1)), (1, Pubcomp(1)), (2, Puback(1)), (2, Pubcomp(1))])
def test_an_answer_of_the_wrong_kind_is_refused(qos, answer):
    session = online()
    session.publish("t", b"x", qos)
    with pytest.raises(RemoteWireError):
        session.receive(answer)


def test_an_illegal_message_takes_no_id():
    session = online()
    with pytest.raises(LocalWireError, match=r"MQTT-4\.7\.1-1"):
        session.publish("a/+", b"", 2)
    assert session.publish("a", b"", 2)[0] == 1


def test_a_message_beyond_the_last_packet_id_is_refused():
    messages = tuple(Publish("t", b"", 1, packet_id=packet_id) for packet_id in range(1, 65_536))
    session = ClientSession("c", clean_session=False, memory=ClientMemory(outgoing=messages))
    with pytest.raises(PacketIdsExhausted):
        session.publish("t", b"", 1)


def test_a_message_published_without_a_connection_follows_connack_without_dup():
    session = ClientSession("c", clean_session=False)
    assert session.publish("t", b"x", 1) == (1, ())
    assert connected(session) == Duties(send=(Publish("t", b"x", 1, packet_id=1),), reply=Connack(False, 0))


# --- resuming


def test_an_unacknowledged_message_is_sent_again_with_dup():
    session = online()
    session.publish("t", b"x", 2)
    for _ in range(2):
        assert connected(session, session_present=True).send == (Publish("t", b"x", 2, dup=True, packet_id=1),)


def test_a_message_that_the_server_received_is_only_released():
    session = online()
    session.publish("t", b"x", 2)
    session.receive(Pubrec(1))
    for _ in range(2):
        assert connected(session, session_present=True).send == (Pubrel(1),)


def test_redelivery_keeps_the_order_of_messages_and_of_pubrecs():
    session = online()
    for payload in (b"1", b"2", b"3", b"4"):
        session.publish("t", payload, 2)
    session.receive(Pubrec(3))
    session.receive(Pubrec(1))
    resent = connected(session, session_present=True).send
    again = [Publish("t", b"2", 2, dup=True, packet_id=2), Publish("t", b"4", 2, dup=True, packet_id=4)]
    assert list(resent) == [Pubrel(3), Pubrel(1), *again]


def test_messages_in_flight_are_dropped_and_named_when_the_server_has_no_session():
    session = online()
    session.publish("t", b"1", 2)
    session.publish("t", b"2", 2)
    session.receive(Pubrec(2))
    duties = connected(session, session_present=False)
    assert (duties.send, set(duties.dropped)) == ((), {1, 2})
    assert session.in_flight == 0


def test_a_message_that_was_never_sent_outlives_the_session():
    session = online()
    session.publish("t", b"1", 1)
    session.connection_lost()
    session.publish("t", b"2", 1)
    duties = connected(session, session_present=False)
    assert (duties.send, duties.dropped) == ((Publish("t", b"2", 1, packet_id=2),), (1,))


def test_memory_carries_the_session_over_a_restart():
    session = online()
    session.receive(command())
    session.publish("t", b"1", 2)
    session.publish("t", b"2", 2)
    session.receive(Pubrec(1))
    reborn = ClientSession("dev-7", clean_session=False, memory=session.memory)
    resent = connected(reborn, session_present=True).send
    assert resent == (Pubrel(1), Publish("t", b"2", 2, dup=True, packet_id=2))
    assert reborn.receive(command(dup=True)).deliver == ()
    assert reborn.publish("t", b"3", 1)[0] == 3
