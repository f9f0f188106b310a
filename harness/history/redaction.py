"""Secrets become labels before anything is written.

A label is stable within a run: the same secret always gives the same label, so a check can still see that two keys are equal or that a
token turned up where it should not. Secrets are found in the forms in which they travel: raw, percent-encoded, and base64, alone or
inside a longer text such as the user-and-password pair of HTTP Basic.
"""

import base64
import math
import re
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Literal
from urllib.parse import quote, unquote

from harness.history.events import SecretSeen

# Probes send secrets cut short and in the other case; shorter than this, such a piece may well be a common word.
_BEGINNING_LENGTH_MIN = 8

SecretKind = Literal["api key", "token", "download key", "gateway secret"]

# Very short forms would match by accident all over the timeline.
_FORM_LENGTH_MIN = 4

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*\Z")
# A download key is recognised where it first appears, in an URL: nobody hands it to us beforehand.
_KEY_IN_URL = re.compile(rb"(?<=[?&]key=)[^&\"\s#<>\\]+")


class Redactor:
    """Replaces every registered secret, and every download key in a URL, by its label.

    `on_new` is told once of each secret, before the first text that holds its label is returned.
    """

    def __init__(self, on_new: Callable[[SecretSeen], None]) -> None:
        self._on_new = on_new
        self._labels: dict[str, str] = {}
        self._forms = _Forms()
        self._keys = 0

    def register(self, secret: str, *, label: str, what: SecretKind) -> str:
        """Makes `label` (with its angle brackets) stand for `secret` from here on; returns the label in force."""
        if not secret:
            return label
        known = self._labels.get(secret)
        if known is not None:
            return known
        self._labels[secret] = label
        for form in _forms_of(secret):
            self._forms.add(form, label.encode(), told_by_half=form == secret.encode())
        if len(secret) >= _BEGINNING_LENGTH_MIN:
            self._forms.add(secret.swapcase().encode(), f"{label[:-1]}-case-changed>".encode())
        self._on_new(facts_of(secret, label=label, what=what))
        return label

    def register_key(self, written: str) -> str:
        """The label of a download key, numbered in the order of appearance. `written` is how it stands in a URL."""
        key = unquote(written)
        known = self._labels.get(key)
        if known is None:
            self._keys += 1
            known = self.register(key, label=f"<key:{self._keys}>", what="download key")
        if len(written) >= _FORM_LENGTH_MIN:
            self._forms.add(written.encode(), known.encode())
        return known

    def bytes_without_secrets(self, data: bytes) -> bytes:
        """`data` with every secret replaced."""
        for match in _KEY_IN_URL.finditer(data):
            self.register_key(match.group().decode(errors="replace"))
        return self._forms.replaced(data)

    def text_without_secrets(self, text: str) -> str:
        """`text` with every secret replaced."""
        return self.bytes_without_secrets(text.encode(errors="surrogatepass")).decode(errors="replace")


class _Forms:
    """Many byte strings that stand for secrets, found in a text in a time that does not grow with their number.

    A run draws hundreds of keys, each in a dozen forms: one regular expression of all of them was the dearest thing in a whole run. Nearly
    all forms are words of the base64 and URL alphabets, so only the words of a text are looked at, by their first bytes.
    """

    _WORD = re.compile(rb"[A-Za-z0-9_+/=%.~-]{6,}")
    _PREFIX_BYTES = 6

    def __init__(self) -> None:
        self._labels: dict[bytes, bytes] = {}
        self._by_prefix: dict[bytes, list[bytes]] = {}
        self._odd: list[bytes] = []  # no words: short ones, and secrets with other characters
        self._told_by_half: set[bytes] = set()

    def add(self, form: bytes, label: bytes, *, told_by_half: bool = False) -> None:
        """Makes `label` stand for `form`; the first label of a form stays. `told_by_half`: the first half of it is hidden too."""
        if form in self._labels:
            return
        self._labels[form] = label
        if told_by_half:
            self._told_by_half.add(form)
        known = self._by_prefix.setdefault(form[: self._PREFIX_BYTES], []) if self._WORD.fullmatch(form) else self._odd
        known.append(form)
        known.sort(key=len, reverse=True)

    def replaced(self, data: bytes) -> bytes:
        """`data` with every form replaced, the longest first where several fit."""
        for form in self._odd:
            data = data.replace(form, self._labels[form])
        return self._WORD.sub(self._replaced_word, data) if self._by_prefix else data

    def _replaced_word(self, match: re.Match[bytes]) -> bytes:
        word = match.group()
        at, kept_from, pieces = 0, 0, []
        while at <= len(word) - self._PREFIX_BYTES:
            candidates = self._by_prefix.get(word[at : at + self._PREFIX_BYTES], ())
            form = next((candidate for candidate in candidates if word.startswith(candidate, at)), None)
            length, label = (len(form), self._labels[form]) if form is not None else self._beginning(word[at:], candidates)
            if not length:
                at += 1
                continue
            pieces += [word[kept_from:at], label]
            at = kept_from = at + length
        return b"".join([*pieces, word[kept_from:]]) if pieces else word

    def _beginning(self, text: bytes, candidates: Iterable[bytes]) -> tuple[int, bytes]:
        """How many bytes of `text` begin a secret, and the label for them; 0 where they are too few to give it away."""
        for candidate in candidates:
            length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, candidate, strict=False)))
            if candidate in self._told_by_half and length >= max(_BEGINNING_LENGTH_MIN, len(candidate) // 2):
                return length, self._labels[candidate][:-1] + b"-cut>"
        return 0, b""


def _forms_of(secret: str) -> set[bytes]:
    raw = secret.encode()
    percent = quote(secret, safe="")
    forms = {raw, percent.encode(), percent.lower().encode() if "%" in percent else raw}
    # What base64 makes of a character or two may stand in any id.
    tables = (base64.b64encode, base64.urlsafe_b64encode) if len(raw) >= _FORM_LENGTH_MIN else ()
    for table in tables:
        forms |= {table(raw), table(raw).rstrip(b"="), *(_inside_base64(raw, before, table) for before in range(3))}
    return {form for form in forms if len(form) >= _FORM_LENGTH_MIN}


def _inside_base64(raw: bytes, before: int, table: Callable[[bytes], bytes]) -> bytes:
    """The characters that `raw` alone decides in the base64 of a text that has `before` bytes (modulo 3) in front of it."""
    first = -(-before * 8 // 6)
    whole = (before + len(raw)) * 8 // 6
    return table(b"\0" * before + raw)[first:whole]


def facts_of(secret: str, *, label: str, what: SecretKind) -> SecretSeen:
    """What checks may know of a secret (KEY-07): its length, its alphabet, and the most randomness that such a text can hold."""
    is_base64url = _BASE64URL.match(secret) is not None
    is_hex = re.fullmatch(r"[0-9a-f-]*|[0-9A-F-]*", secret) is not None
    letters = len(secret.replace("-", "")) if is_hex else len(secret)
    return SecretSeen(
        label=label,
        what=what,
        length=len(secret),
        alphabet="base64url" if is_base64url else "other",
        bits_max=letters * math.log2(16 if is_hex else 64),
    )
