"""The routing tables agree with the definition of matching, and cost the same for one device and for thousands."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.mqtt.topic_filters import matches, validate_topic_filter
from simulators.broker.routing import RetainedMessages, SubscriptionIndex

LEVELS = st.sampled_from(["a", "b", "", "$s", "control"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    levels = draw(st.lists(st.one_of(LEVELS, st.just("+")), min_size=0, max_size=4))
    if draw(st.booleans()) or not levels or levels == [""]:
        levels.append("#")
    return "/".join(levels)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "is_reached"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("/+", "/a", True),
        ("/+", "a", False),
        ("$SYS/+", "$SYS/x", True),
        ("a/+/+", "a/b/c", True),
        ("a//+", "a//", True),
        ("+/+", "/a", True),
        ("+", "/a", False),
    ],
)
def test_a_filter_reaches_the_topics_that_the_standard_says(topic_filter, topic, is_reached):
    index: SubscriptionIndex[str] = SubscriptionIndex()
    index.add(topic_filter, "dev-1", 2)
    assert dict(index.match(topic)) == ({"dev-1": 2} if is_reached else {})


@given(st.lists(st.tuples(filters(), st.integers(0, 3), st.integers(0, 2)), max_size=8), TOPICS)
def test_index_agrees_with_matching_filter_by_filter(subscriptions, topic):
    index: SubscriptionIndex[int] = SubscriptionIndex()
    for topic_filter, subscriber, qos in subscriptions:
        validate_topic_filter(topic_filter)
        index.add(topic_filter, subscriber, qos)
    granted = {(topic_filter, subscriber): qos for topic_filter, subscriber, qos in subscriptions}
    expected: dict[int, int] = {}
    for (topic_filter, subscriber), qos in granted.items():
        if matches(topic_filter, topic):
            expected[subscriber] = max(qos, expected.get(subscriber, 0))
    assert dict(index.match(topic)) == expected


@given(st.lists(filters(), unique=True, max_size=8), st.data())
def test_removed_filters_leave_nothing_behind(topic_filters, data):
    index: SubscriptionIndex[str] = SubscriptionIndex()
    for topic_filter in topic_filters:
        index.add(topic_filter, "dev-1", 1)
    for topic_filter in data.draw(st.permutations(topic_filters)):
        assert index.remove(topic_filter, "dev-1")
        assert not index.remove(topic_filter, "dev-1")
    assert index._exact == index._one_below == {}
    assert index._root.is_empty()


def test_subscribing_again_replaces_the_qos():
    index: SubscriptionIndex[str] = SubscriptionIndex()
    index.add("a/+", "dev-1", 2)
    index.add("a/+", "dev-1", 0)
    assert dict(index.match("a/b")) == {"dev-1": 0}


@given(st.dictionaries(TOPICS, st.binary(min_size=1, max_size=3), max_size=8), filters())
def test_retained_messages_are_found_as_matching_defines_it(messages, topic_filter):
    retained: RetainedMessages[bytes] = RetainedMessages()
    for topic, payload in messages.items():
        retained.put(topic, payload)
    assert dict(retained.matching(topic_filter)) == {topic: payload for topic, payload in messages.items() if matches(topic_filter, topic)}


@given(st.lists(TOPICS, unique=True, max_size=8))
def test_retained_messages_that_are_removed_leave_nothing_behind(topics):
    retained: RetainedMessages[bytes] = RetainedMessages()
    for topic in topics:
        retained.put(topic, b"x")
    assert len(retained) == len(topics)
    for topic in topics:
        assert retained.get(topic) == b"x"
        assert retained.remove(topic)
        assert not retained.remove(topic)
    assert len(retained) == 0
    assert not retained._root.children


@pytest.mark.parametrize("levels", [["+"], ["a"], [""]])
def test_a_filter_and_a_topic_may_have_as_many_levels_as_fit_into_them(levels):
    """More than calls can be nested: one such client must not cost another its connection."""
    index: SubscriptionIndex[str] = SubscriptionIndex()
    deep = "/".join(levels * 30_000)
    topic = deep.replace("+", "x")
    index.add(deep, "dev-1", 1)
    index.add(deep + "/#", "dev-2", 1)
    assert dict(index.match(topic)) == {"dev-1": 1, "dev-2": 1}
    assert index.remove(deep, "dev-1")
    assert index.remove(deep + "/#", "dev-2")
    assert index._root.is_empty()


def test_a_retained_message_may_lie_as_deep_as_its_topic_allows():
    retained: RetainedMessages[bytes] = RetainedMessages()
    deep = "/".join(["a"] * 30_000)
    retained.put(deep, b"x")
    assert dict(retained.matching("#")) == dict(retained.matching("a/+/#")) == dict(retained.matching(deep)) == {deep: b"x"}
    assert retained.remove(deep)
    assert not retained._root.children


def steps_of_a_match(devices: int) -> int:
    """Function calls and lines that one match executes among so many devices: a cost without a clock."""
    index: SubscriptionIndex[int] = SubscriptionIndex()
    for device in range(devices):
        index.add(f"dev-{device}/control/+", device, 2)
        index.add(f"dev-{device}", device, 2)
    steps = 0

    def count(_frame: object, _event: str, _argument: object) -> object:
        nonlocal steps
        steps += 1
        return count

    tracer = sys.gettrace()
    sys.settrace(count)  # type: ignore[arg-type]
    try:
        index.match("dev-1/control/reboot")
    finally:
        sys.settrace(tracer)
    return steps


@pytest.mark.requirement("BRK-08")
def test_a_match_costs_the_same_among_ten_and_among_five_thousand_devices():
    assert steps_of_a_match(5_000) == steps_of_a_match(10)
