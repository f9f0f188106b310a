"""Deadlines of thousands of connections without a timer each.

A heap of moments. What is heard of a connection costs nothing here: a deadline that has moved on is found out when its first moment comes,
and is added again by its owner. So a connection costs one heap step per keep-alive interval, however much it talks.
"""

import heapq
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Owner = TypeVar("Owner")


class Deadlines(Generic[Owner]):
    """Moments (monotonic seconds) and whom they concern."""

    __slots__ = ("_heap", "_next_number")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Owner]] = []
        self._next_number = 0  # Makes the order of equal moments that of their arrival, and spares comparing owners.

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at_s: float, owner: Owner) -> None:
        heapq.heappush(self._heap, (at_s, self._next_number, owner))
        self._next_number += 1

    def earliest_s(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def due(self, now_s: float) -> Iterator[Owner]:
        """Takes out, earliest first, whose moment has come; those added meanwhile only if they are due as well."""
        while self._heap and self._heap[0][0] <= now_s:
            yield heapq.heappop(self._heap)[2]

    def keep(self, is_wanted: Callable[[Owner], bool]) -> None:
        """Forgets the moments of all other owners: for when most of them are gone."""
        self._heap = [entry for entry in self._heap if is_wanted(entry[2])]
        heapq.heapify(self._heap)
