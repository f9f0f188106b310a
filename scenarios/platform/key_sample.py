"""What a sample of download keys shows of how they are made, without telling the keys: facts for the record."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

# Numbers of values that a character of a key may well have; what is seen of a sample is rounded up to one of them.
_ALPHABETS = (1, 2, 4, 8, 10, 16, 32, 64)
# A drawn character of two values changes in half of all pairs, and no step between two of them is much more frequent than another.
_SELDOM = 0.2
_SAME_STEP = 0.9


def sample_facts(keys: Sequence[str]) -> dict[str, Any]:
    """Size, length, how many bits the keys can differ by at most, and how many of their characters are not drawn.

    A character counts for nothing where it is constant, seldom changes from one key to the next, or steps like a counter.
    """
    length = min(map(len, keys), default=0)
    bits = [_bits([key[place] for key in keys]) for place in range(length)]
    return {"size": len(keys), "distinct": len(set(keys)), "length": length, "bits": round(sum(bits), 1), "fixed": bits.count(0.0)}


def _bits(column: Sequence[str]) -> float:
    """The most randomness that one character of the keys can have."""
    pairs = list(pairwise(column))
    if not pairs or sum(before != after for before, after in pairs) < _SELDOM * len(pairs):
        return 0.0
    steps = [ord(after) - ord(before) for before, after in pairs]
    if max(map(steps.count, set(steps))) > _SAME_STEP * len(steps):
        return 0.0
    seen = len(set(column))
    return math.log2(next((size for size in _ALPHABETS if size >= seen), seen))
