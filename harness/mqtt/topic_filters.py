"""The rules of topic names and topic filters: which are legal, and which filter matches which name.

Pure functions of strings. Finding the filters that match among thousands is the broker's business (`simulators.broker.routing`); what
*matching* means stands here.   Source: 4.7.
"""

TOPIC_BYTES_MAX = 65_535
"""The most that a topic name or filter may occupy in UTF-8.   Source: MQTT-4.7.3-3."""


def validate_topic_name(topic: str) -> None:
    """Raise ValueError, naming the statement, unless a message may be published to `topic`."""
    _validate_text(topic)
    if "+" in topic or "#" in topic:
        raise ValueError(f"topic name {topic!r} holds a wildcard [MQTT-4.7.1-1]")


def validate_topic_filter(topic_filter: str) -> None:
    """Raise ValueError, naming the statement, unless `topic_filter` may be subscribed to."""
    _validate_text(topic_filter)
    head, hash_sign, tail = topic_filter.partition("#")
    if hash_sign and (tail or (head and not head.endswith("/"))):
        raise ValueError(f"topic filter {topic_filter!r}: '#' is not alone in the last level [MQTT-4.7.1-2]")
    if "+" in topic_filter and any("+" in level and level != "+" for level in topic_filter.split("/")):
        raise ValueError(f"topic filter {topic_filter!r}: '+' shares a level [MQTT-4.7.1-3]")


def _validate_text(topic: str) -> None:
    if not topic:
        raise ValueError("empty topic [MQTT-4.7.3-1]")
    if "\0" in topic:
        raise ValueError(f"topic {topic!r} holds U+0000 [MQTT-4.7.3-2]")
    try:
        size_bytes = len(topic.encode())
    except UnicodeEncodeError:
        raise ValueError(f"topic {topic!r} holds a surrogate [MQTT-1.5.3-1]") from None
    if size_bytes > TOPIC_BYTES_MAX:
        raise ValueError(f"topic of {size_bytes} bytes, more than {TOPIC_BYTES_MAX} [MQTT-4.7.3-3]")


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message to `topic` reaches a subscription to `topic_filter`; both must be legal.

    A filter that begins with a wildcard never matches a topic that begins with `$`; `sport/#` also matches `sport`.
    Source: MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.2-1.
    """
    if topic_filter == topic:
        return True
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    levels = topic.split("/")
    wanted = topic_filter.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(want in ("+", level) for want, level in zip(wanted, levels, strict=True))
