"""Bandwidth: how long the next bytes to one device must wait, so that a laptop plays a slow cellular link. No clock, no waiting in here."""

import re

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(bit|kbit|mbit|b|kb|mb|kib|mib)(?:/s|ps)?", re.IGNORECASE)
_BYTES_PER_S = {
    "bit": 1 / 8, "kbit": 1_000 / 8, "mbit": 1_000_000 / 8,
    "b": 1.0, "kb": 1_000.0, "mb": 1_000_000.0, "kib": 1_024.0, "mib": 1_048_576.0,
}  # fmt: skip
BURST_S = 0.1


def parse_rate(text: str) -> float:
    """Bytes per second of a rate like `20kbit`, `1.5Mbit/s`, `64KiB/s`. Raises ValueError for what is none, or zero."""
    match = _RATE.fullmatch(text.strip())
    rate = float(match.group(1)) * _BYTES_PER_S[match.group(2).lower()] if match else 0.0
    if rate <= 0:
        raise ValueError(f"{text!r} is no rate; write it like 20kbit, 1.5Mbit or 64KiB")
    return rate


class Shaper:
    """One device's link: all its downloads share it. Instants in seconds of a monotonic clock."""

    def __init__(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_at_s = 0.0

    @property
    def chunk_bytes(self) -> int:
        """How many bytes to send at a time."""
        return max(1, min(65_536, int(self.bytes_per_s * BURST_S)))

    def delay_s(self, size_bytes: int, now_s: float) -> float:
        """Books `size_bytes` on the link; returns how long to wait before they have passed it."""
        self._free_at_s = max(now_s, self._free_at_s) + size_bytes / self.bytes_per_s
        return self._free_at_s - now_s
