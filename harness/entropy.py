"""The only door to chance.

One `Entropy` is made at the top (from the seed, or from the system) and handed down. Independent streams are derived by name, so that a
draw more in one place does not shift the draws of another.
"""

import hashlib
import random
import secrets
from collections.abc import Sequence
from typing import Protocol, TypeVar
from uuid import UUID

T = TypeVar("T")


class Entropy(Protocol):
    """What the product knows of chance."""

    def random_bytes(self, size_bytes: int) -> bytes: ...

    def uniform(self, low: float, high: float) -> float:
        """A number from `low` to `high`, all of them equally likely."""
        ...

    def integer(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        ...

    def choice(self, options: Sequence[T]) -> T:
        """One of `options`. Raises IndexError where there is none."""
        ...

    def stream(self, name: str) -> "Entropy":
        """An independent source; for a seeded one the same name gives the same stream."""
        ...


class _RandomDraws:
    """What the generators of the standard library draw alike, whatever their source."""

    def __init__(self, source: random.Random) -> None:
        self._source = source

    def random_bytes(self, size_bytes: int) -> bytes:
        return self._source.randbytes(size_bytes)

    def uniform(self, low: float, high: float) -> float:
        return self._source.uniform(low, high)

    def integer(self, low: int, high: int) -> int:
        return self._source.randint(low, high)

    def choice(self, options: Sequence[T]) -> T:
        return self._source.choice(options)


class SeededEntropy(_RandomDraws):
    """Reproducible chance: the same seed and name give the same draws, in every process."""

    def __init__(self, seed: int | str) -> None:
        self._seed = str(seed)
        super().__init__(random.Random(hashlib.sha256(self._seed.encode()).digest()))

    def stream(self, name: str) -> "SeededEntropy":
        return SeededEntropy(f"{self._seed}/{name}")


class SystemEntropy(_RandomDraws):
    """The operating system's randomness: for keys and tokens that nobody may guess."""

    def __init__(self) -> None:
        super().__init__(secrets.SystemRandom())

    def stream(self, name: str) -> "SystemEntropy":
        return self


def draw_uuid(entropy: Entropy) -> str:
    """A random UUID (RFC 9562, version 4) in its usual lower-case form."""
    return str(UUID(bytes=entropy.random_bytes(16), version=4))
