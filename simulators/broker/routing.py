"""Which subscribers a topic reaches, and which retained messages a filter reaches, at a cost that does not grow with either's number.

Filters without wildcards, nearly all of a fleet's, stand in one dictionary; the others in a trie of topic levels, in which a publish
follows at most three branches per level (the level itself, `+`, `#`). Retained messages stand in a trie of names, which a filter walks.
What *matching* means is `harness.mqtt.topic_filters`; a test holds both against it. Rights, sessions and QoS policy are others' business.
"""

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Subscriber = TypeVar("Subscriber")
Message = TypeVar("Message")

_NOBODY: Mapping[object, int] = {}


class _FilterNode(Generic[Subscriber]):
    """One level of the filters with wildcards. Empty parts are None: a fleet has thousands of these."""

    __slots__ = ("below", "children", "here", "plus")

    def __init__(self) -> None:
        self.children: dict[str, _FilterNode[Subscriber]] | None = None
        self.plus: _FilterNode[Subscriber] | None = None
        self.here: dict[Subscriber, int] | None = None
        self.below: dict[Subscriber, int] | None = None  # subscribers of `#` under this level

    def is_empty(self) -> bool:
        return not (self.children or self.plus or self.here or self.below)

    def child(self, level: str) -> "_FilterNode[Subscriber] | None":
        if level == "+":
            return self.plus
        return self.children.get(level) if self.children else None

    def grow(self, level: str) -> "_FilterNode[Subscriber]":
        """The node of the next level, made if it is missing."""
        if level == "+":
            if self.plus is None:
                self.plus = _FilterNode()
            return self.plus
        if self.children is None:
            self.children = {}
        node = self.children.get(level)
        if node is None:
            node = self.children[level] = _FilterNode()
        return node

    def prune(self, level: str) -> None:
        """Drops the next level."""
        if level == "+":
            self.plus = None
        elif self.children:
            del self.children[level]
            self.children = self.children or None


class SubscriptionIndex(Generic[Subscriber]):
    """All subscriptions of a broker. A subscriber is any hashable object; filters and topics must be legal."""

    __slots__ = ("_exact", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, dict[Subscriber, int]] = {}
        self._root: _FilterNode[Subscriber] = _FilterNode()

    def add(self, topic_filter: str, subscriber: Subscriber, qos: int) -> None:
        """Subscribes, or replaces the QoS of the same filter.   Source: MQTT-3.8.4-3."""
        if not has_wildcard(topic_filter):
            self._exact.setdefault(topic_filter, {})[subscriber] = qos
            return
        *levels, last = topic_filter.split("/")
        node = self._root
        for level in levels:
            node = node.grow(level)
        if last == "#":
            node.below = node.below or {}
            node.below[subscriber] = qos
        else:
            node = node.grow(last)
            node.here = node.here or {}
            node.here[subscriber] = qos

    def remove(self, topic_filter: str, subscriber: Subscriber) -> bool:
        """Ends the subscription; False if there was none."""
        if has_wildcard(topic_filter):
            return self._remove_below(self._root, topic_filter.split("/"), 0, subscriber)
        subscribers = self._exact.get(topic_filter, {})
        if subscriber not in subscribers:
            return False
        del subscribers[subscriber]
        if not subscribers:
            del self._exact[topic_filter]
        return True

    def _remove_below(self, node: _FilterNode[Subscriber], levels: list[str], depth: int, subscriber: Subscriber) -> bool:
        if levels[depth:] == ["#"]:
            removed, node.below = _without(node.below, subscriber)
            return removed
        if depth == len(levels):
            removed, node.here = _without(node.here, subscriber)
            return removed
        child = node.child(levels[depth])
        if child is None:
            return False
        removed = self._remove_below(child, levels, depth + 1, subscriber)
        if child.is_empty():
            node.prune(levels[depth])
        return removed

    def match(self, topic: str) -> Mapping[Subscriber, int]:
        """The subscribers that a message to `topic` reaches, each once, with the highest QoS of its filters (MQTT-3.3.5-1).

        The mapping may be the index's own: to be read before the next change, and never to be changed.
        """
        found: list[Mapping[Subscriber, int]] = []
        exact = self._exact.get(topic)
        if exact:
            found.append(exact)
        if not self._root.is_empty():
            self._collect(topic, found)
        if len(found) == 1:
            return found[0]
        return _highest(found) if found else _NOBODY  # type: ignore[return-value]  # empty for every type of subscriber

    def _collect(self, topic: str, found: list[Mapping[Subscriber, int]]) -> None:
        levels = topic.split("/")
        # `$` topics are hidden from filters that begin with a wildcard (MQTT-4.7.2-1).
        is_hidden = topic[0] == "$"
        reached = [self._root]
        for depth, level in enumerate(levels):
            following = []
            for node in reached:
                if node.below and not (is_hidden and depth == 0):
                    found.append(node.below)
                if node.children and (child := node.children.get(level)):
                    following.append(child)
                if node.plus and not (is_hidden and depth == 0):
                    following.append(node.plus)
            if not following:
                return
            reached = following
        for node in reached:
            if node.here:
                found.append(node.here)
            if node.below:  # `sport/#` also matches `sport` (4.7.1.2)
                found.append(node.below)


def has_wildcard(topic_filter: str) -> bool:
    """Whether the filter can match more than one topic."""
    return "+" in topic_filter or "#" in topic_filter


def _without(subscribers: dict[Subscriber, int] | None, subscriber: Subscriber) -> tuple[bool, dict[Subscriber, int] | None]:
    """Whether `subscriber` was there, and what is left: None if nobody."""
    if not subscribers or subscribers.pop(subscriber, None) is None:
        return False, subscribers
    return True, subscribers or None


def _highest(found: list[Mapping[Subscriber, int]]) -> dict[Subscriber, int]:
    merged = dict(found[0])
    for subscribers in found[1:]:
        for subscriber, qos in subscribers.items():
            if qos > merged.get(subscriber, -1):
                merged[subscriber] = qos
    return merged


class _NameNode(Generic[Message]):
    __slots__ = ("children", "message")

    def __init__(self) -> None:
        self.children: dict[str, _NameNode[Message]] = {}
        self.message: Message | None = None


class RetainedMessages(Generic[Message]):
    """The last retained message of each topic."""

    __slots__ = ("_count", "_root")

    def __init__(self) -> None:
        self._root: _NameNode[Message] = _NameNode()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def get(self, topic: str) -> Message | None:
        node: _NameNode[Message] | None = self._root
        for level in topic.split("/"):
            node = node.children.get(level) if node else None
        return node.message if node else None

    def put(self, topic: str, message: Message) -> None:
        """Stores, replacing the topic's former message.   Source: MQTT-3.3.1-5."""
        node = self._root
        for level in topic.split("/"):
            node = node.children.setdefault(level, _NameNode[Message]())
        self._count += node.message is None
        node.message = message

    def remove(self, topic: str) -> bool:
        """Forgets the topic's message; False if there was none.   Source: MQTT-3.3.1-10."""
        path = [self._root]
        levels = topic.split("/")
        for level in levels:
            child = path[-1].children.get(level)
            if child is None:
                return False
            path.append(child)
        if path[-1].message is None:
            return False
        path[-1].message = None
        self._count -= 1
        for parent, level in zip(reversed(path[:-1]), reversed(levels), strict=True):
            if parent.children[level].children or parent.children[level].message is not None:
                break
            del parent.children[level]
        return True

    def matching(self, topic_filter: str) -> Iterator[tuple[str, Message]]:
        """The retained messages that `topic_filter` reaches, with their topics, in an order of no meaning."""
        levels = topic_filter.split("/")
        yield from self._matching(self._root, levels, 0, ())

    def _matching(self, node: _NameNode[Message], levels: list[str], depth: int, name: tuple[str, ...]) -> Iterator[tuple[str, Message]]:
        if depth == len(levels):
            if node.message is not None:
                yield "/".join(name), node.message
        elif levels[depth] == "#":
            yield from _all_below(node, name)
        elif levels[depth] == "+":
            for level, child in node.children.items():
                if not (depth == 0 and level.startswith("$")):
                    yield from self._matching(child, levels, depth + 1, (*name, level))
        elif following := node.children.get(levels[depth]):
            yield from self._matching(following, levels, depth + 1, (*name, levels[depth]))


def _all_below(node: _NameNode[Message], name: tuple[str, ...]) -> Iterator[tuple[str, Message]]:
    if node.message is not None:
        yield "/".join(name), node.message
    for level, child in node.children.items():
        if name or not level.startswith("$"):
            yield from _all_below(child, (*name, level))
