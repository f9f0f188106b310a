"""What a device decides about a download: small pure functions and numbers, of which a personality replaces one.

The reference asks once, with the URL as it came and the raw token (DEV-11); it installs only a body that is as long as its Content-Length
and ended without a cut (DEV-12) under a status that promises the file (DEV-13); it does not repeat a refused request, whatever `expires_at`
says (DEV-14, DEV-17); it never compares `expires_at` with its own clock (DEV-22); and it keeps its token from other hosts (DEV-18).
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol
from urllib.parse import urlsplit


class Style(Enum):
    """How the device fetches a file; the value is the word of the device file (`download`)."""

    SINGLE = "single"  # one GET
    HEAD_GET = "head-get"  # the size first, as ESP-IDF's partial download does
    RANGE = "range"  # parts, as modems with small buffers do


def raw_basic(token: str) -> str | None:
    """`Basic {token}`, the token raw. Source: DEV-11, DLD-02."""
    return f"Basic {token}"


def verbatim(url: str) -> str:
    """The URL as it came. Source: DEV-11."""
    return url


def same_origin(first_url: str, url: str) -> bool:
    """Whether the token may go to `url`: scheme, host and port are those of the command's URL. Source: DEV-18."""
    return first_url == url or origin_of(first_url) == origin_of(url)


def origin_of(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port. Raises ValueError where `url` has none."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def promises_the_file(status: int) -> bool:
    """Whether an answer of this status carries the file. Source: DEV-13."""
    return status in (200, 206)


def is_unauthorized(status: int) -> bool:
    """Whether this status refuses a key that may yet be good. Source: DEV-14."""
    return status == 401


def is_whole(expected_bytes: int | None, received_bytes: int, *, ended_cleanly: bool) -> bool:
    """Whether a body may be used; without a Content-Length a clean end of chunked framing is all there is. Source: DEV-12."""
    return ended_cleanly and (expected_bytes is None or expected_bytes == received_bytes)


class Completeness(Protocol):
    """The signature of `is_whole`."""

    def __call__(self, expected_bytes: int | None, received_bytes: int, *, ended_cleanly: bool) -> bool: ...


@dataclass(frozen=True, slots=True)
class DownloadRules:
    """How this device downloads. `refusal_waits_s`: the waits before it asks again after a refusal; none means that it asks once.

    `is_refusal` says which status is one: it may be different the next time.
    """

    style: Style = Style.SINGLE
    range_bytes: int = 2048
    size_bytes_max: int = 64 * 1024 * 1024
    redirects_max: int = 3
    refusal_waits_s: tuple[float, ...] = ()
    is_refusal: Callable[[int], bool] = is_unauthorized
    inactivity_s: float = 180.0
    total_s: float = 20 * 60.0
    authorization: Callable[[str], str | None] = raw_basic
    address: Callable[[str], str] = verbatim
    token_may_go: Callable[[str, str], bool] = same_origin
    accepts: Callable[[int], bool] = promises_the_file
    is_whole: Completeness = is_whole
    alters: Callable[[bytes], bytes] = bytes
    """What happens to body bytes on their way to the flash: nothing, in the reference."""
