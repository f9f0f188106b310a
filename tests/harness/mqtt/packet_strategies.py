"""Hypothesis strategies for packets that 3.1.1 allows to be sent; shared with the interoperability tests."""

from hypothesis import strategies as st

from harness.mqtt.packets import (
    SUBSCRIPTION_REFUSED,
    Connack,
    Connect,
    Disconnect,
    Packet,
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

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
level_names = st.text(st.characters(codec="utf-8", exclude_characters="\0+#/"), max_size=8)
topic_names = st.lists(level_names, min_size=1, max_size=5).map("/".join).filter(bool)
levels = level_names | st.just("+")
topic_filters = st.builds(
    lambda names, tail: "/".join((*names, *tail)), st.lists(levels, max_size=4), st.sampled_from([(), ("#",)])
).filter(bool)
qualities = st.sampled_from([0, 1, 2])
packet_ids = st.integers(1, 65_535)
payloads = st.binary(max_size=40) | st.integers(100, 20_000).map(bytes)

wills = st.builds(Will, topic=topic_names, payload=st.binary(max_size=20), qos=qualities, retain=st.booleans())
logins = st.tuples(st.none(), st.none()) | st.tuples(texts, st.none() | st.binary(max_size=20))
connects = st.builds(
    lambda client_id, is_clean, keep_alive_s, login, will: Connect(client_id, is_clean or not client_id, keep_alive_s, *login, will),
    texts,
    st.booleans(),
    st.integers(0, 65_535),
    logins,
    st.none() | wills,
)
connacks = st.builds(Connack, st.booleans(), st.just(0)) | st.builds(Connack, st.just(False), st.integers(1, 5))
publishes = st.builds(Publish, topic_names, payloads, st.just(0), st.booleans()) | st.builds(
    Publish, topic_names, payloads, st.sampled_from([1, 2]), st.booleans(), st.booleans(), packet_ids
)
acknowledgements = st.one_of([st.builds(kind, packet_ids) for kind in (Puback, Pubrec, Pubrel, Pubcomp, Unsuback)])
subscribes = st.builds(Subscribe, packet_ids, st.lists(st.tuples(topic_filters, qualities), min_size=1, max_size=4).map(tuple))
subacks = st.builds(Suback, packet_ids, st.lists(st.sampled_from([0, 1, 2, SUBSCRIPTION_REFUSED]), min_size=1, max_size=4).map(tuple))
unsubscribes = st.builds(Unsubscribe, packet_ids, st.lists(topic_filters, min_size=1, max_size=4).map(tuple))
bare_packets = st.sampled_from([Pingreq(), Pingresp(), Disconnect()])

packets: st.SearchStrategy[Packet] = st.one_of(
    connects, connacks, publishes, acknowledgements, subscribes, subacks, unsubscribes, bare_packets
)
