"""The family KEY, second part: that a key cannot be guessed, and is not told to anybody else."""

import re
from collections.abc import Iterator

from harness.checks.key_life import offered_keys
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import SecretSeen
from harness.history.timeline import Exchange, History

_BITS_MIN = 128  # KEY-07
_LABEL = re.compile(r"<(?:key:\d+|token:[^<>]+|api-key:[^<>]+)>")


@check("KEY-07", unseen="no key was issued")
def key_is_hard_to_guess(history: History) -> Iterator[Observation]:
    """A key has room for 128 bits of randomness, in the alphabet of URLs."""
    issued = offered_keys(history)
    for seen in history.of(SecretSeen):
        if seen.fact.label not in issued:
            continue
        if seen.fact.alphabet != "base64url":
            yield broken(f"key {seen.fact.label} holds characters outside A-Z a-z 0-9 _ -", seen)
        elif seen.fact.bits_max < _BITS_MIN:
            yield broken(f"a key of {seen.fact.length} characters holds at most {seen.fact.bits_max:.0f} bits, allowed: {_BITS_MIN}", seen)
        else:
            yield kept(seen)


@check("KEY-07", unseen="no sample of keys was drawn")
def keys_are_unpredictable(history: History) -> Iterator[Observation]:
    """A sample of keys shows no constant, counting or repeating parts that leave less than 128 bits, and no key can be computed."""
    for seen in history.stimuli("sample of keys"):
        size, bits = int(seen.fact.facts["size"]), float(seen.fact.facts["bits"])
        recipe = str(seen.fact.facts["recipe"])
        if recipe:
            yield broken(
                f"a key is {recipe}, allowed: {_BITS_MIN} bits of randomness", seen, hint="whoever knows the recipe computes the key"
            )
        elif bits < _BITS_MIN:
            yield broken(
                f"{size} keys vary by {bits:.0f} bits at most, allowed: {_BITS_MIN}; {seen.fact.facts['fixed']} of "
                f"{seen.fact.facts['length']} characters are constant, count, or seldom change",
                seen,
                hint="made of a time, a counter or an id; draw all of it from the system's randomness",
            )
        else:
            yield kept(seen)


@check("KEY-10", unseen="no error answer was seen after a key was issued")
def secrets_do_not_leak(history: History) -> Iterator[Observation]:
    """No key, token or API key stands in an error body, in the headers of an answer, or in anybody else's answer."""
    issued = offered_keys(history)
    for exchange in history.exchanges:
        if exchange.status is None or exchange.request.endpoint == "other":
            continue
        shown = _secrets_shown(exchange)
        leaked = sorted(label for label in shown if label in issued or not label.startswith("<key:"))
        if leaked:
            yield broken(f"the answer {exchange.status} to {exchange.request.method} {_path(exchange)} shows {', '.join(leaked)}", exchange)
        elif exchange.status >= 400:
            yield kept(exchange)


def _secrets_shown(exchange: Exchange) -> set[str]:
    headers = " ".join(value for _, value in exchange.answered.fact.headers) if exchange.answered else ""
    body = exchange.body if exchange.status != 200 else ""
    return set(_LABEL.findall(headers + " " + body))


def _path(exchange: Exchange) -> str:
    return exchange.request.url.partition("?")[0]
