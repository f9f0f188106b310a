"""What can go wrong with a download on purpose: faults as data, for certifying devices. The correct platform has none of them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class DownloadFaultKind(Enum):
    CUT = "cut"  # the connection is reset after `at_byte` bytes of the body
    STALL = "stall"  # nothing goes out for `pause_s` after `at_byte` bytes; then it goes on
    TRICKLE = "trickle"  # from `at_byte` on, `bytes_per_s`
    CORRUPT = "corrupt"  # the byte at `at_byte` (negative: from the end) is another one
    CHUNKED = "chunked"  # no Content-Length, but chunks
    SHORT = "short"  # the body ends `amount_bytes` before the announced length, then the connection is closed
    LONG = "long"  # `amount_bytes` more than announced
    REDIRECT = "redirect"  # `status` (302, 307, …) with `location`
    ERROR = "error"  # `status` with `body` as it stands


@dataclass(frozen=True, slots=True)
class DownloadFault:
    """One fault of one response. Only the fields that its kind names count. Sizes in bytes, times in seconds of the event loop."""

    kind: DownloadFaultKind
    at_byte: int = 0
    pause_s: float = 0.0
    bytes_per_s: float = 1.0
    amount_bytes: int = 1
    status: int = 500
    location: str = ""
    body: bytes = b""
    content_type: str = "application/json"
    is_chunked: bool = False  # of CUT and SHORT: no Content-Length, but chunks, of which the last ones never come
    consumes_key: bool = True  # of REDIRECT and ERROR: whether the key is used up, as a failing platform might do


@dataclass(frozen=True, slots=True)
class FaultedDownload:
    """Which download a plan is asked about: `first` to `end` (behind the last byte) of a file of `size_bytes`.

    `number` counts the GETs of this device from 1, `key_id` is the key's number.
    """

    device_id: str
    key_id: int
    file_name: str
    size_bytes: int
    number: int
    first: int
    end: int


DownloadFaultPlan = Callable[[FaultedDownload], DownloadFault | None]
"""Asked once per GET that passed every check; None lets it go its way."""
