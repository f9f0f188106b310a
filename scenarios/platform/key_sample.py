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


# A pattern that comes again at least twice in the sample: the low bits of a linear generator do.
_PERIODS = 2
_PERIODIC = 0.95


def sample_facts(keys: Sequence[str]) -> dict[str, Any]:
    """Size, length, how many bits the keys can differ by at most, and how many of their characters are not drawn.

    A character counts for nothing where it is constant, seldom changes from one key to the next, steps like a counter, comes again in
    turn, or repeats another place of its key.
    """
    length = min(map(len, keys), default=0)
    columns = [tuple(key[place] for key in keys) for place in range(length)]
    bits = [0.0 if column in columns[:place] else _bits(column) for place, column in enumerate(columns)]
    return {"size": len(keys), "distinct": len(set(keys)), "length": length, "bits": round(sum(bits), 1), "fixed": bits.count(0.0)}


def _bits(column: Sequence[str]) -> float:
    """The most randomness that one character of the keys can have."""
    pairs = list(pairwise(column))
    if not pairs or sum(before != after for before, after in pairs) < _SELDOM * len(pairs) or _is_periodic(column):
        return 0.0
    steps = [ord(after) - ord(before) for before, after in pairs]
    if max(map(steps.count, set(steps))) > _SAME_STEP * len(steps):
        return 0.0
    seen = len(set(column))
    return math.log2(next((size for size in _ALPHABETS if size >= seen), seen))


def _is_periodic(column: Sequence[str]) -> bool:
    """Whether a character takes its values in turn."""
    for period in range(1, len(column) // (_PERIODS + 1) + 1):
        again = [before == after for before, after in zip(column, column[period:], strict=False)]
        if sum(again) > _PERIODIC * len(again):
            return True
    return False
