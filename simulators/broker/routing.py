"""Which subscribers a topic reaches, and which retained messages a filter reaches, at a cost that does not grow with either's number.

Filters without wildcards stand in one dictionary, those whose only wildcard is a `+` at the end in another, by what precedes it: nearly
all of a fleet's are of these two kinds. The others stand in a trie of topic levels, in which a publish follows at most three branches per
level (the level itself, `+`, `#`). Retained messages stand in a trie of names, which a filter walks.
What *matching* means is `harness.mqtt.topic_filters`; a test holds both against it. Rights, sessions and QoS policy are others' business.
"""

from collections.abc import Iterable, Iterator, Mapping
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

    __slots__ = ("_exact", "_one_below", "_root")

    def __init__(self) -> None:
        self._exact: dict[str, dict[Subscriber, int]] = {}
        self._one_below: dict[str, dict[Subscriber, int]] = {}
        self._root: _FilterNode[Subscriber] = _FilterNode()

    def add(self, topic_filter: str, subscriber: Subscriber, qos: int) -> None:
        """Subscribes, or replaces the QoS of the same filter.   Source: MQTT-3.8.4-3."""
        table, name = self._place(topic_filter)
        if table is not None:
            table.setdefault(name, {})[subscriber] = qos
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
        table, name = self._place(topic_filter)
        if table is None:
            return self._remove_from_trie(topic_filter.split("/"), subscriber)
        subscribers = table.get(name, {})
        if subscriber not in subscribers:
            return False
        del subscribers[subscriber]
        if not subscribers:
            del table[name]
        return True

    def _place(self, topic_filter: str) -> tuple[dict[str, dict[Subscriber, int]] | None, str]:
        """The dictionary for this filter, and its name there; None: it belongs in the trie."""
        if not has_wildcard(topic_filter):
            return self._exact, topic_filter
        if topic_filter.endswith("/+") and not has_wildcard(above := topic_filter[:-2]):
            return self._one_below, above
        return None, ""

    def _remove_from_trie(self, levels: list[str], subscriber: Subscriber) -> bool:
        # Step by step, as everywhere here: a filter may have 65,535 levels, far more than calls can be nested.
        is_below = levels[-1] == "#"
        named = levels[:-1] if is_below else levels
        path = [self._root]
        for level in named:
            child = path[-1].child(level)
            if child is None:
                return False
            path.append(child)
        if is_below:
            removed, path[-1].below = _without(path[-1].below, subscriber)
        else:
            removed, path[-1].here = _without(path[-1].here, subscriber)
        for parent, level in zip(reversed(path[:-1]), reversed(named), strict=True):
            if not path.pop().is_empty():
                break
            parent.prune(level)
        return removed

    def match(self, topic: str) -> Mapping[Subscriber, int]:
        """The subscribers that a message to `topic` reaches, each once, with the highest QoS of its filters (MQTT-3.3.5-1).

        The mapping may be the index's own: to be read before the next change, and never to be changed.
        """
        found: list[Mapping[Subscriber, int]] = []
        exact = self._exact.get(topic)
        if exact:
            found.append(exact)
        above, slash, _ = topic.rpartition("/")
        if slash and (one_below := self._one_below.get(above)):
            found.append(one_below)
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
    """One level of the topics that have a retained message. A leaf has no children: None instead of an empty dictionary."""

    __slots__ = ("children", "message", "topic")

    def __init__(self) -> None:
        self.children: dict[str, _NameNode[Message]] | None = None
        self.message: Message | None = None
        self.topic = ""

    def child(self, level: str) -> "_NameNode[Message] | None":
        return self.children.get(level) if self.children else None

    def grow(self, level: str) -> "_NameNode[Message]":
        """The node of the next level, made if it is missing."""
        if self.children is None:
            self.children = {}
        node = self.children.get(level)
        if node is None:
            node = self.children[level] = _NameNode()
        return node


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
            node = node.child(level) if node else None
        return node.message if node else None

    def put(self, topic: str, message: Message) -> None:
        """Stores, replacing the topic's former message.   Source: MQTT-3.3.1-5."""
        node = self._root
        for level in topic.split("/"):
            node = node.grow(level)
        self._count += node.message is None
        node.topic, node.message = topic, message

    def remove(self, topic: str) -> bool:
        """Forgets the topic's message; False if there was none.   Source: MQTT-3.3.1-10."""
        path = [self._root]
        levels = topic.split("/")
        for level in levels:
            child = path[-1].child(level)
            if child is None:
                return False
            path.append(child)
        if path[-1].message is None:
            return False
        path[-1].message = None
        self._count -= 1
        for parent, level in zip(reversed(path[:-1]), reversed(levels), strict=True):
            child = path.pop()
            if child.children or child.message is not None or not parent.children:
                break
            del parent.children[level]
            parent.children = parent.children or None
        return True

    def matching(self, topic_filter: str) -> Iterator[tuple[str, Message]]:
        """The retained messages that `topic_filter` reaches, with their topics, in an order of no meaning."""
        levels = topic_filter.split("/")
        reached = [self._root]
        for depth, level in enumerate(levels):
            if level == "#":
                # `a/#` also matches `a` (4.7.1.2); the root itself is no topic.
                yield from _messages(_all_below(reached if depth else _following(self._root, "+", is_root=True)))
                return
            reached = [following for node in reached for following in _following(node, level, is_root=depth == 0)]
        yield from _messages(reached)


def _following(node: _NameNode[Message], level: str, *, is_root: bool) -> Iterator[_NameNode[Message]]:
    """The nodes of the next level that a filter's `level` reaches; a leading wildcard does not reach `$` topics (MQTT-4.7.2-1)."""
    if level != "+":
        if child := node.child(level):
            yield child
        return
    for name, child in (node.children or {}).items():
        if not (is_root and name.startswith("$")):
            yield child


def _all_below(nodes: Iterable[_NameNode[Message]]) -> Iterator[_NameNode[Message]]:
    """These nodes and everything below them."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        waiting += (node.children or {}).values()


def _messages(nodes: Iterable[_NameNode[Message]]) -> Iterator[tuple[str, Message]]:
    return ((node.topic, node.message) for node in nodes if node.message is not None)
