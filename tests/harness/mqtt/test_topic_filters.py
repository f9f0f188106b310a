import pytest
from hypothesis import given

from harness.mqtt.topic_filters import matches, validate_topic_filter, validate_topic_name
from tests.harness.mqtt.packet_strategies import topic_filters, topic_names

MATCHES = [
    ("a", "a"),
    ("a/b", "a/b"),
    ("#", "a/b/c"),
    ("#", "/"),
    ("+", "a"),
    ("+/+", "/finance"),
    ("/+", "/finance"),
    ("sport/#", "sport"),
    ("sport/#", "sport/tennis/player1"),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
    ("sport/+", "sport/"),
    ("sport/+/player1", "sport//player1"),
    ("+/tennis/#", "sport/tennis"),
    ("$SYS/#", "$SYS/monitor/Clients"),
    ("$SYS/monitor/+", "$SYS/monitor/Clients"),
    ("a/+", "a/$b"),
]
NO_MATCHES = [
    ("a", "A"),
    ("a", "/a"),
    ("a/", "a"),
    ("+", "/finance"),
    ("+", "a/b"),
    ("sport/+", "sport"),
    ("sport/+", "sport/a/b"),
    ("sport/tennis/#", "sport"),
    ("sport/+/#", "sport"),
    ("#", "$SYS/broker"),
    ("+/monitor/Clients", "$SYS/monitor/Clients"),
    ("+", "$SYS"),
    ("a/b/c", "a/b"),
]


@pytest.mark.parametrize(("topic_filter", "topic"), MATCHES)
def test_a_filter_matches(topic_filter, topic):
    assert matches(topic_filter, topic)


@pytest.mark.parametrize(("topic_filter", "topic"), NO_MATCHES)
def test_a_filter_does_not_match(topic_filter, topic):
    assert not matches(topic_filter, topic)


@pytest.mark.parametrize("topic_filter", ["a", "/", "#", "+", "a/#", "+/#", "a/+/b", "/+", "$share", " ", "é"])
def test_a_legal_filter_passes(topic_filter):
    validate_topic_filter(topic_filter)


ILLEGAL_FILTERS = [
    ("", "4.7.3-1"),
    ("a\0", "4.7.3-2"),
    ("\udfff", "1.5.3-1"),
    ("é" * 32_768, "4.7.3-3"),
    ("a#", "4.7.1-2"),
    ("#/", "4.7.1-2"),
    ("a/#/b", "4.7.1-2"),
    ("##", "4.7.1-2"),
    ("a+", "4.7.1-3"),
    ("++", "4.7.1-3"),
    ("a/+b/#", "4.7.1-3"),
]


@pytest.mark.parametrize(("topic_filter", "statement"), ILLEGAL_FILTERS, ids=lambda value: repr(value)[:20])
def test_an_illegal_filter_is_refused_by_its_statement(topic_filter, statement):
    with pytest.raises(ValueError, match=f"\\[MQTT-{statement}\\]$"):
        validate_topic_filter(topic_filter)


@pytest.mark.parametrize("topic", ["a", "/", "a//b", "$SYS/x", " ", "é" * 32_767])
def test_a_legal_name_passes(topic):
    validate_topic_name(topic)


@pytest.mark.parametrize(("topic", "statement"), [("", "4.7.3-1"), ("+", "4.7.1-1"), ("a/#", "4.7.1-1"), ("\0", "4.7.3-2")])
def test_an_illegal_name_is_refused_by_its_statement(topic, statement):
    with pytest.raises(ValueError, match=f"\\[MQTT-{statement}\\]$"):
        validate_topic_name(topic)


@given(topic_names)
def test_every_name_is_a_filter_that_matches_itself(topic):
    validate_topic_filter(topic)
    assert matches(topic, topic)


@given(topic_filters, topic_names)
def test_matching_agrees_with_the_definition_level_by_level(topic_filter, topic):
    assert matches(topic_filter, topic) == _defined(topic_filter.split("/"), topic.split("/"), is_first=True)


def _defined(wanted: list[str], levels: list[str], *, is_first: bool) -> bool:
    """4.7.1 and 4.7.2 as a recursion over levels."""
    if is_first and levels[0].startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted == ["#"]:
        return True
    if not wanted or not levels:
        return wanted == levels
    return wanted[0] in ("+", levels[0]) and _defined(wanted[1:], levels[1:], is_first=False)
