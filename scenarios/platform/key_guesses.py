"""Keys that can be computed: digests of a counter, of a time, of a device's id with either.

A digest looks drawn in every statistic; whoever knows the recipe needs a handful of guesses. These are the recipes that are found in code.
"""

import hashlib
from collections.abc import Iterator

_DIGESTS = ("md5", "sha1", "sha256")
_COUNTED_TO = 10_000
_COUNTED_PER_DEVICE_TO = 1_000
_SECONDS_AROUND = 3  # by which the instant of a key's making is known
_CHARACTERS_MIN = 16  # A shorter key may be hit by chance.


def recipe_of(key: str, *, device_id: str, issued_s: float | None) -> str:
    """How a key can be computed, in a few words; empty where none of the recipes gives it.

    `issued_s` is the instant of its making in seconds UTC, None if unknown.
    """
    wanted = key.replace("-", "").lower()
    if len(wanted) < _CHARACTERS_MIN:
        return ""
    for words, text in _recipes(device_id, issued_s):
        for name in _DIGESTS:
            if hashlib.new(name, text.encode(), usedforsecurity=False).hexdigest().startswith(wanted):
                return f"the {name} of {words}"
    return ""


def _recipes(device_id: str, issued_s: float | None) -> Iterator[tuple[str, str]]:
    """Words for a recipe, and the text that it takes the digest of."""
    seconds = _around(issued_s, per_s=1)
    for words, numbers in (("a counter", range(_COUNTED_TO)), ("the second", seconds), ("the millisecond", _around(issued_s, per_s=1_000))):
        for number in numbers:
            yield words, str(number)
    for words, numbers in (("a counter", range(_COUNTED_PER_DEVICE_TO)), ("the second", seconds)):
        for number in numbers:
            for between in ("", "-", ":", "_"):
                yield f"the device's id and {words}", f"{device_id}{between}{number}"
                yield f"{words} and the device's id", f"{number}{between}{device_id}"


def _around(issued_s: float | None, *, per_s: int) -> range:
    """The instants at which a key may have been made, in so many parts of a second since 1970."""
    if issued_s is None:
        return range(0)
    return range((int(issued_s) - _SECONDS_AROUND) * per_s, (int(issued_s) + _SECONDS_AROUND) * per_s)
