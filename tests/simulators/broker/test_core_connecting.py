"""Coming and going at the core: CONNECT, sessions, take-over, keep-alive, wills."""

import pytest

from harness.errors import RemoteWireError
from harness.mqtt.decoding import ConnectRefused
from harness.mqtt.packets import (
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Pubrec,
    Subscribe,
    Will,
)
from simulators.broker.port import BrokerLimits, ClosedBy, Login, LoginTable

WILL = Will("dev-1/gone", b"farewell", 1)


def test_connect_is_answered_by_connack_first(bench):
    link = bench.link()
    assert bench.say(link, Connect("dev-1")) == [Connack(False, 0)]


@pytest.mark.parametrize("packet", [Pingreq(), Publish("a", b""), Subscribe(1, (("a", 0),))])
def test_a_first_packet_that_is_no_connect_ends_the_connection(bench, packet):
    link = bench.link()
    assert bench.say(link, packet) == []
    assert "MQTT-3.1.0-1" in bench.closed[link].reason


def test_a_second_connect_ends_the_connection(bench):
    link = bench.connect()
    bench.say(link, Connect("dev-1"))
    assert "MQTT-3.1.0-2" in bench.closed[link].reason


def test_a_packet_that_only_servers_send_ends_the_connection(bench):
    link = bench.connect()
    bench.say(link, Connack(False, 0))
    assert bench.closed[link].closed_by is ClosedBy.BROKER


def test_nothing_is_heard_from_a_connection_after_its_end(bench):
    link = bench.connect("dev-1", ("a", 0))
    bench.say(link, Connect("dev-1"))
    assert bench.say(link, Publish("a", b"x")) == []


@pytest.mark.parametrize("code", [ConnectReturnCode.UNACCEPTABLE_PROTOCOL_VERSION, ConnectReturnCode.IDENTIFIER_REJECTED])
def test_a_connect_that_cannot_be_served_is_answered_before_the_end(bench, code):
    link = bench.link()
    bench.core.malformed(link, ConnectRefused("no", statement="MQTT-3.1.2-2", return_code=code), bench.now_s)
    bench.collect()
    assert bench.sent[link] == [Connack(False, code)]
    assert link in bench.closed


def test_malformed_bytes_end_the_connection_without_a_word(bench):
    link = bench.connect()
    bench.core.malformed(link, RemoteWireError("nonsense", statement="MQTT-2.2.2-2"), bench.now_s)
    bench.collect()
    assert bench.sent[link] == []
    assert "MQTT-2.2.2-2" in bench.closed[link].reason


@pytest.mark.requirement("CMD-23")
@pytest.mark.parametrize(
    ("client_id", "username", "password"),
    [("dev-1", "dev-1", b"wrong"), ("dev-1", None, None), ("dev-1", "dev-2", b"t-2"), ("dev-9", "dev-9", b"t-1")],
)
def test_a_wrong_login_is_refused(make_bench, client_id, username, password):
    bench = make_bench(directory=LoginTable([Login("dev-1", "dev-1", "t-1"), Login("dev-2", "dev-2", "t-2")]))
    link, connack = bench.connack(client_id, username=username, password=password)
    assert connack == Connack(False, ConnectReturnCode.NOT_AUTHORIZED)
    assert link in bench.closed


def test_the_right_login_is_accepted(make_bench):
    bench = make_bench(directory=LoginTable([Login("dev-1", "dev-1", "t-1")]))
    assert bench.connack(username="dev-1", password=b"t-1")[1].return_code == 0


def test_an_empty_client_id_gets_one_of_the_brokers(bench):
    bench.connack("")
    bench.connack("")
    assert len(bench.core.connected_clients()) == 2


@pytest.mark.requirement("BRK-07")
@pytest.mark.parametrize(
    ("first_is_clean", "second_is_clean", "is_present"),
    [(False, False, True), (False, True, False), (True, False, False), (True, True, False)],
)
def test_session_present_says_whether_a_session_was_kept(bench, first_is_clean, second_is_clean, is_present):
    link = bench.connect(clean_session=first_is_clean)
    bench.lose(link)
    assert bench.connack(clean_session=second_is_clean)[1].session_present is is_present


def test_a_clean_session_leaves_nothing_behind(bench):
    link = bench.connect("dev-1", ("a/+", 2), ("a", 1))
    bench.lose(link)
    assert bench.core.sessions == 0
    bench.publish("a")
    _, connack = bench.connack(clean_session=False)
    assert connack == Connack(False, 0)


def test_a_clean_connect_discards_the_kept_session(bench):
    bench.lose(bench.connect("dev-1", ("a", 2), clean_session=False))
    bench.publish("a")
    link = bench.connect(clean_session=True)
    assert bench.heard(link) == []
    assert link.session is not None
    assert link.session.subscriptions == {}


@pytest.mark.requirement("BRK-07")
def test_a_second_connection_takes_the_client_over(bench):
    first = bench.connect("dev-1", ("a", 0), clean_session=False)
    second, connack = bench.connack(clean_session=False)
    assert connack.session_present
    assert "MQTT-3.1.4-2" in bench.closed[first].reason
    bench.publish("a", b"x", 0)
    assert bench.heard(second)[-1] == Publish("a", b"x")
    assert bench.heard(first) == []


def test_take_over_publishes_the_will_of_the_first_connection(bench):
    watcher = bench.connect("watcher", ("dev-1/gone", 1))
    bench.connect("dev-1", will=WILL)
    bench.connect("dev-1")
    assert [packet.payload for packet in bench.heard(watcher)] == [b"farewell"]


def test_pingreq_is_answered(bench):
    assert bench.say(bench.connect(), Pingreq()) == [Pingresp()]


@pytest.mark.requirement("BRK-07")
def test_silence_of_one_and_a_half_keep_alives_ends_the_connection(bench):
    link = bench.connect(keep_alive_s=10)
    bench.wait(14.9)
    assert link not in bench.closed
    bench.wait(0.2)
    assert "MQTT-3.1.2-24" in bench.closed[link].reason


def test_any_packet_keeps_the_connection_alive(bench):
    link = bench.connect(keep_alive_s=10)
    for _ in range(5):
        bench.wait(14)
        bench.say(link, Pingreq())
    assert link not in bench.closed


def test_keep_alive_zero_never_ends_the_connection(bench):
    link = bench.connect(keep_alive_s=0)
    bench.wait(1_000_000)
    assert link not in bench.closed


def test_a_connection_without_connect_is_ended(bench):
    link = bench.link()
    bench.wait(BrokerLimits().connect_timeout_s)
    assert link in bench.closed


def test_deadlines_of_connections_that_are_gone_are_swept(bench):
    for _ in range(2_000):
        bench.lose(bench.connect(keep_alive_s=60_000))
    assert len(bench.core._deadlines) < 1_500


@pytest.mark.requirement("BRK-07")
def test_a_lost_connection_publishes_the_will(bench):
    watcher = bench.connect("watcher", ("dev-1/gone", 1))
    bench.lose(bench.connect("dev-1", will=WILL))
    assert bench.heard(watcher) == [Publish("dev-1/gone", b"farewell", 1, packet_id=1)]


def test_keep_alive_and_violations_publish_the_will(bench):
    watcher = bench.connect("watcher", ("dev-1/gone", 0))
    bench.connect("dev-1", will=WILL, keep_alive_s=10)
    bench.wait(20)
    bench.say(bench.connect("dev-1", will=WILL), Connect("dev-1"))
    assert len(bench.heard(watcher)) == 2


@pytest.mark.requirement("BRK-07")
def test_disconnect_drops_the_will(bench):
    watcher = bench.connect("watcher", ("dev-1/gone", 1))
    link = bench.connect("dev-1", will=WILL)
    bench.say(link, Disconnect())
    assert bench.heard(watcher) == []
    assert bench.closed[link].closed_by is ClosedBy.CLIENT


def test_a_retained_will_is_retained(bench):
    bench.lose(bench.connect("dev-1", will=Will("dev-1/gone", b"farewell", 0, True)))
    link = bench.connect("late")
    assert bench.say(link, Subscribe(1, (("dev-1/gone", 0),)))[-1] == Publish("dev-1/gone", b"farewell", 0, True)


def test_a_will_needs_the_right_to_write(make_bench):
    bench = make_bench(directory=LoginTable([Login("dev-1", "dev-1", "t-1"), Login("op", "op", "p", is_trusted=True)]))
    watcher = bench.connect("op", ("#", 0), username="op", password=b"p")
    bench.lose(bench.connect("dev-1", username="dev-1", password=b"t-1", will=Will("dev-2/x", b"", 0)))
    assert bench.heard(watcher) == []


def test_sessions_expire_by_age(make_bench):
    bench = make_bench(BrokerLimits(session_expiry_s=60))
    bench.lose(bench.connect("dev-1", ("a", 1), clean_session=False))
    bench.wait(59)
    assert bench.core.session_of("dev-1")
    bench.wait(2)
    assert bench.core.session_of("dev-1") is None


def test_a_session_that_came_back_does_not_expire(make_bench):
    bench = make_bench(BrokerLimits(session_expiry_s=60))
    bench.lose(bench.connect(clean_session=False))
    bench.connect(clean_session=False, keep_alive_s=0)
    bench.wait(1_000)
    assert bench.core.session_of("dev-1")


def test_sessions_expire_by_count_the_longest_away_first(make_bench):
    bench = make_bench(BrokerLimits(sessions_max=2))
    for number in (1, 2, 3):
        bench.lose(bench.connect(f"dev-{number}", clean_session=False))
    assert bench.core.session_of("dev-1") is None
    assert bench.core.session_of("dev-3") is not None


def test_disconnect_on_request_ends_the_connection(bench):
    link = bench.connect()
    assert bench.core.disconnect("dev-1", bench.now_s)
    assert not bench.core.disconnect("dev-1", bench.now_s)
    bench.collect()
    assert link in bench.closed


def test_an_acknowledgement_of_the_wrong_kind_ends_the_connection(bench):
    link = bench.connect("dev-1", ("a", 1))
    bench.publish("a", b"x", 1)
    bench.say(link, Pubrec(1))
    assert link in bench.closed


def test_a_qos_1_message_under_the_id_of_an_unfinished_qos_2_message_ends_the_connection(bench):
    link = bench.connect()
    bench.say(link, Publish("a", b"x", 2, packet_id=5))
    bench.say(link, Publish("a", b"x", 1, packet_id=5))
    assert "MQTT-2.3.1-4" in bench.closed[link].reason


def test_a_late_puback_is_harmless(bench):
    link = bench.connect()
    assert bench.say(link, Puback(77)) == []
    assert link not in bench.closed
