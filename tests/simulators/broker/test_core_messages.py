"""Messages through the core: QoS, RETAIN, redelivery, windows, queues, rights."""

import pytest

from harness.mqtt.packets import (
    SUBSCRIPTION_REFUSED,
    Connect,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from simulators.broker.port import BrokerLimits, Login, LoginTable, QueueFull, QueuePolicy


def payloads(packets) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


@pytest.mark.requirement("BRK-02")
@pytest.mark.parametrize("published", [0, 1, 2])
@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_message_is_delivered_with_the_lower_qos(bench, published, granted):
    device = bench.connect("dev-1", ("a", granted))
    publisher = bench.connect("publisher")
    bench.say(publisher, Publish("a", b"x", published, packet_id=9 if published else None))
    (packet,) = bench.heard(device)
    assert packet.qos == min(published, granted)
    assert (packet.packet_id is None) is (packet.qos == 0)


def test_each_qos_gets_its_acknowledgement(bench):
    link = bench.connect()
    assert bench.say(link, Publish("a", b"", 0)) == []
    assert bench.say(link, Publish("a", b"", 1, packet_id=3)) == [Puback(3)]
    assert bench.say(link, Publish("a", b"", 2, packet_id=4)) == [Pubrec(4)]
    assert bench.say(link, Pubrel(4)) == [Pubcomp(4)]


def test_a_message_goes_to_the_core_of_every_subscriber_with_its_bytes(bench):
    links = [bench.connect(f"dev-{number}", ("a/+", 0)) for number in range(3)]
    bench.publish("a/b", bytes(range(256)), 0)
    assert [payloads(bench.heard(link)) for link in links] == [[bytes(range(256))]] * 3


@pytest.mark.requirement("BRK-06")
def test_a_repeated_publish_before_pubrel_is_one_message(bench):
    device = bench.connect("dev-1", ("a", 2))
    publisher = bench.connect("publisher")
    for dup in (False, True, True):
        assert bench.say(publisher, Publish("a", b"x", 2, dup=dup, packet_id=9)) == [Pubrec(9)]
    assert payloads(bench.heard(device)) == [b"x"]


def test_after_pubrel_the_id_stands_for_a_new_message(bench):
    device = bench.connect("dev-1", ("a", 2))
    publisher = bench.connect("publisher")
    for _ in range(2):
        bench.say(publisher, Publish("a", b"x", 2, packet_id=9), Pubrel(9))
    assert payloads(bench.heard(device)) == [b"x", b"x"]


def test_a_pubrel_of_an_unknown_id_is_answered(bench):
    assert bench.say(bench.connect(), Pubrel(9)) == [Pubcomp(9)]


@pytest.mark.requirement("BRK-06")
def test_received_ids_survive_the_connection(bench):
    device = bench.connect("dev-1", ("a", 2))
    publisher = bench.connect("publisher", clean_session=False)
    bench.say(publisher, Publish("a", b"x", 2, packet_id=9))
    bench.lose(publisher)
    publisher = bench.connect("publisher", clean_session=False)
    assert bench.say(publisher, Publish("a", b"x", 2, dup=True, packet_id=9)) == [Pubrec(9)]
    assert payloads(bench.heard(device)) == [b"x"]


@pytest.mark.requirement("CMD-03")
def test_the_four_packets_of_a_qos_2_delivery(bench):
    device = bench.connect("dev-1", ("a", 2))
    bench.publish("a")
    assert bench.heard(device) == [Publish("a", b"{}", 2, packet_id=1)]
    assert bench.say(device, Pubrec(1)) == [Pubrel(1)]
    assert bench.say(device, Pubcomp(1)) == []
    assert device.session.inflight == 0


@pytest.mark.requirement("BRK-03")
@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_not_acknowledged_is_sent_again_with_dup_and_the_same_id(bench, qos):
    device = bench.connect("dev-1", ("a", qos), clean_session=False)
    bench.publish("a")
    bench.lose(device)
    device, _ = bench.connack(clean_session=False)
    assert bench.heard(device)[1:] == [Publish("a", b"{}", qos, dup=True, packet_id=1)]


@pytest.mark.requirement("BRK-04")
def test_a_released_message_is_resumed_by_pubrel_alone(bench):
    device = bench.connect("dev-1", ("a", 2), clean_session=False)
    bench.publish("a")
    bench.say(device, Pubrec(1))
    bench.lose(device)
    device, _ = bench.connack(clean_session=False)
    assert bench.heard(device)[1:] == [Pubrel(1)]
    bench.say(device, Pubcomp(1))
    assert device.session.inflight == 0


def test_pubrel_is_never_repeated_as_publish_after_a_second_pubrec(bench):
    device = bench.connect("dev-1", ("a", 2))
    bench.publish("a")
    assert bench.say(device, Pubrec(1), Pubrec(1)) == [Pubrel(1), Pubrel(1)]


@pytest.mark.requirement("BRK-09")
def test_messages_for_an_absent_session_wait_in_their_order(bench):
    bench.lose(bench.connect("dev-1", ("a", 2), clean_session=False))
    for number in range(3):
        bench.publish("a", b"%d" % number)
    bench.publish("a", b"of qos 0", 0)
    device, connack = bench.connack(clean_session=False)
    assert connack.session_present
    assert bench.heard(device)[1:] == [Publish("a", b"%d" % number, 2, packet_id=number + 1) for number in range(3)]


@pytest.mark.requirement("CMD-04")
@pytest.mark.requirement("BRK-01")
def test_a_queued_message_comes_without_retain(bench):
    bench.lose(bench.connect("dev-1", ("a", 2), clean_session=False))
    bench.publish("a", retain=True)
    device, _ = bench.connack(clean_session=False)
    assert bench.heard(device)[1] == Publish("a", b"{}", 2, False, packet_id=1)


@pytest.mark.requirement("CMD-20")
def test_a_clean_session_that_is_away_gets_nothing_later(bench):
    bench.lose(bench.connect("dev-1", ("a", 2)))
    bench.publish("a")
    assert bench.heard(bench.connect("dev-1", ("a", 2))) == []


@pytest.mark.requirement("BRK-11")
def test_retain_0_stores_nothing_and_removes_nothing(bench):
    bench.publish("a", b"kept", 0, retain=True)
    bench.publish("a", b"passing", 0)
    link = bench.connect("dev-1")
    assert payloads(bench.say(link, Subscribe(1, (("a", 0),)))) == [b"kept"]


def test_a_live_message_has_retain_0_and_a_stored_one_retain_1(bench):
    early = bench.connect("early", ("a", 1))
    bench.publish("a", b"x", 1, retain=True)
    assert bench.heard(early)[0].retain is False
    late = bench.connect("late")
    suback, stored = bench.say(late, Subscribe(1, (("+", 1),)))
    assert suback == Suback(1, (1,))
    assert stored == Publish("a", b"x", 1, True, packet_id=1)


def test_an_empty_retained_message_removes_the_stored_one_and_is_delivered(bench):
    bench.publish("a", b"x", 0, retain=True)
    early = bench.connect("early", ("a", 0))
    bench.heard(early)
    bench.publish("a", b"", 0, retain=True)
    assert payloads(bench.heard(early)) == [b""]
    assert payloads(bench.say(bench.connect("late"), Subscribe(1, (("a", 0),)))) == []


def test_subscribing_again_sends_the_retained_message_again(bench):
    bench.publish("a", b"x", 0, retain=True)
    link = bench.connect("dev-1")
    for _ in range(2):
        assert payloads(bench.say(link, Subscribe(1, (("a", 0),)))) == [b"x"]


def test_the_number_of_retained_messages_is_bounded(make_bench):
    bench = make_bench(BrokerLimits(retained_max=1))
    for topic in ("a", "b", "a"):
        bench.publish(topic, topic.encode() * 2, 0, retain=True)
    assert payloads(bench.say(bench.connect(), Subscribe(1, (("#", 0),)))) == [b"aa"]
    assert bench.core.drops.queue_full == 1


@pytest.mark.requirement("BRK-05")
def test_subscribing_again_replaces_the_granted_qos(bench):
    device = bench.connect("dev-1", ("a", 0))
    assert bench.say(device, Subscribe(2, (("a", 2),))) == [Suback(2, (2,))]
    bench.publish("a")
    assert bench.heard(device)[-1].qos == 2


@pytest.mark.requirement("CMD-26")
def test_suback_answers_each_filter_in_its_order(bench):
    device = bench.connect()
    assert bench.say(device, Subscribe(5, (("a", 2), ("b/+", 0), ("#", 1)))) == [Suback(5, (2, 0, 1))]


@pytest.mark.requirement("BRK-12")
def test_overlapping_filters_deliver_once_with_the_highest_qos(bench):
    device = bench.connect("dev-1", ("a/#", 1), ("a/b", 2), ("+/b", 0))
    bench.publish("a/b")
    assert [packet.qos for packet in bench.heard(device)] == [2]


def test_unsubscribe_ends_the_subscription_and_is_always_answered(bench):
    device = bench.connect("dev-1", ("a", 2), ("b", 2))
    assert bench.say(device, Unsubscribe(6, ("a", "never/there"))) == [Unsuback(6)]
    bench.publish("a")
    bench.publish("b")
    assert [packet.topic for packet in bench.heard(device)[1:]] == ["b"]


def test_unsubscribe_lets_what_is_under_way_finish(bench):
    device = bench.connect("dev-1", ("a", 2))
    bench.publish("a")
    bench.say(device, Unsubscribe(6, ("a",)))
    assert bench.say(device, Pubrec(1)) == [Pubrel(1)]


def test_dollar_topics_are_hidden_from_leading_wildcards(bench):
    device = bench.connect("dev-1", ("#", 0), ("+/x", 0))
    bench.publish("$SYS/x", b"x", 0)
    assert bench.heard(device) == []


@pytest.mark.requirement("BRK-10")
def test_the_window_bounds_what_is_under_way_and_keeps_the_order(make_bench):
    bench = make_bench(BrokerLimits(inflight_max=3))
    device = bench.connect("dev-1", ("a", 2))
    for number in range(6):
        bench.publish("a", b"%d" % number)
    assert payloads(bench.heard(device)) == [b"0", b"1", b"2"]
    bench.say(device, Pubrec(1))
    assert bench.heard(device) == [Pubrel(1)]
    assert payloads(bench.say(device, Pubcomp(1))) == [b"3"]


def test_the_default_window_holds_twenty_messages(bench):
    device = bench.connect("dev-1", ("a", 1))
    for _ in range(30):
        bench.publish("a")
    assert len(bench.heard(device)) == 20


def test_redelivery_keeps_the_order_of_the_first_sending(bench):
    device = bench.connect("dev-1", ("a", 2), clean_session=False)
    for number in range(4):
        bench.publish("a", b"%d" % number)
    bench.say(device, Pubrec(2))
    bench.lose(device)
    bench.publish("a", b"4")
    device, _ = bench.connack(clean_session=False)
    again = bench.heard(device)[1:]
    assert payloads(again) == [b"0", b"2", b"3", b"4"]
    assert [packet for packet in again if isinstance(packet, Pubrel)] == [Pubrel(2)]


@pytest.mark.slow
def test_exhausted_packet_ids_make_messages_wait(make_bench):
    bench = make_bench(BrokerLimits(inflight_max=70_000, queued_messages_max=10))
    device = bench.connect("dev-1", ("a", 1))
    for _ in range(65_537):
        bench.core.publish("a", b"", 1)
    sent = bench.heard(device)
    assert len({packet.packet_id for packet in sent}) == len(sent) == 65_535
    assert [packet.packet_id for packet in bench.say(device, Puback(7))] == [7]


@pytest.mark.parametrize(
    ("policy", "kept"),
    [(QueuePolicy.DROP_NEWEST, [b"0", b"1"]), (QueuePolicy.DROP_OLDEST, [b"1", b"2"])],
)
def test_a_full_queue_drops_as_its_policy_says(make_bench, policy, kept):
    bench = make_bench(BrokerLimits(queued_messages_max=2, queue_policy=policy))
    bench.lose(bench.connect("dev-1", ("a", 2), clean_session=False))
    for number in range(3):
        bench.publish("a", b"%d" % number)
    assert bench.core.drops.queue_full == 1
    device, _ = bench.connack(clean_session=False)
    assert payloads(bench.heard(device)) == kept


def test_a_full_queue_refuses_the_platform_and_ends_the_publishers_connection(make_bench):
    bench = make_bench(BrokerLimits(queued_messages_max=1, queue_policy=QueuePolicy.REFUSE))
    bench.lose(bench.connect("dev-1", ("a", 2), clean_session=False))
    bench.publish("a")
    with pytest.raises(QueueFull, match="dev-1"):
        bench.publish("a")
    publisher = bench.connect("publisher")
    assert bench.say(publisher, Publish("a", b"", 1, packet_id=1)) == []
    assert "dev-1" in bench.closed[publisher].reason


@pytest.mark.requirement("BRK-06")
def test_a_message_that_a_full_queue_refused_is_taken_when_it_is_sent_again(make_bench):
    bench = make_bench(BrokerLimits(queued_messages_max=1, queue_policy=QueuePolicy.REFUSE))
    bench.lose(bench.connect("dev-1", ("a", 2), clean_session=False))
    bench.publish("a", b"queued")
    bench.say(bench.connect("publisher", clean_session=False), Publish("a", b"refused", 2, packet_id=1))
    device, _ = bench.connack(clean_session=False)
    publisher, _ = bench.connack("publisher", clean_session=False)
    assert bench.say(publisher, Publish("a", b"refused", 2, dup=True, packet_id=1)) == [Pubrec(1)]
    assert payloads(bench.heard(device)) == [b"queued", b"refused"]


def test_a_client_that_does_not_read_loses_qos_0_only(bench):
    device = bench.connect("dev-1", ("a", 2))
    device.is_congested = True
    bench.publish("a", b"x", 0)
    bench.publish("a", b"y", 2)
    assert payloads(bench.heard(device)) == [b"y"]
    assert bench.core.drops.congested == 1


@pytest.mark.requirement("CMD-23")
def test_a_device_reads_and_writes_below_its_own_id_only(make_bench):
    logins = [Login("dev-1", "dev-1", "t-1"), Login("op", "op", "p", is_trusted=True)]
    bench = make_bench(directory=LoginTable(logins))
    device = bench.connect("dev-1", username="dev-1", password=b"t-1")
    operator = bench.connect("op", ("#", 2), username="op", password=b"p")
    filters = ("dev-1", "dev-1/#", "dev-1/control/+", "dev-2", "#", "+/control/x", "dev-11/x", "dev-1x")
    (suback,) = bench.say(device, Subscribe(1, tuple((name, 2) for name in filters)))
    assert suback.return_codes == (2, 2, 2, *[SUBSCRIPTION_REFUSED] * 5)
    # A forbidden PUBLISH is acknowledged all the same: 3.1.1 has no refusal (MQTT-3.3.5-2).
    assert bench.say(device, Publish("dev-2/x", b"", 1, packet_id=1)) == [Puback(1)]
    assert bench.heard(operator) == []
    bench.say(device, Publish("dev-1/control/reboot/result", b"{}", 1, packet_id=2))
    assert [packet.topic for packet in bench.heard(operator)] == ["dev-1/control/reboot/result"]


def test_too_many_subscriptions_are_refused_one_by_one(make_bench):
    bench = make_bench(BrokerLimits(subscriptions_max=2))
    device = bench.connect("dev-1")
    assert bench.say(device, Subscribe(1, (("a", 1), ("b", 1), ("c", 1), ("a", 2)))) == [Suback(1, (1, 1, SUBSCRIPTION_REFUSED, 2))]


@pytest.mark.requirement("BRK-10")
def test_order_per_topic_is_kept_across_loss_and_window(make_bench):
    bench = make_bench(BrokerLimits(inflight_max=2))
    device = bench.connect("dev-1", ("a", 2), clean_session=False)
    arrived: list[bytes] = []
    for number in range(9):
        bench.publish("a", b"%d" % number)
    for _ in range(9):
        bench.lose(device)
        device = bench.link()
        packets = bench.say(device, Connect("dev-1", False))[1:]
        first = packets[0]
        arrived.append(first.payload)
        bench.say(device, Pubrec(first.packet_id), Pubcomp(first.packet_id))
    assert arrived == [b"%d" % number for number in range(9)]
