"""What a bad serial line does to bytes, as data and pure functions: lost and garbled bytes, lost line ends, the wrong baud rate."""

from dataclasses import dataclass

from harness.entropy import Entropy

SAMPLES_PER_BIT = 16  # as a UART does


@dataclass(frozen=True, slots=True)
class LineFaults:
    """Rates are probabilities for each byte, 0 to 1. `latency_s` delays everything, `baud` is the board's (0: whatever the host's is)."""

    lost: float = 0.0
    garbled: float = 0.0
    lost_line_ends: float = 0.0
    latency_s: float = 0.0
    baud: int = 0


PERFECT = LineFaults()


def damaged(data: bytes, faults: LineFaults, entropy: Entropy) -> bytes:
    """What arrives of `data` on such a line."""
    if not (faults.lost or faults.garbled or faults.lost_line_ends):
        return data
    out = bytearray()
    for byte in data:
        lost = faults.lost_line_ends if byte == 0x0A else faults.lost
        if entropy.uniform(0, 1) < lost:
            continue
        garbled = entropy.uniform(0, 1) < faults.garbled
        out.append(byte ^ (1 << entropy.integer(0, 7)) if garbled else byte)
    return bytes(out)


def as_heard(data: bytes, *, sent_baud: int, heard_baud: int) -> bytes:
    """What a UART set to one rate reads of bytes sent at another (8 data bits, no parity, 1 stop bit), framing errors included.

    The line is drawn as its bits and sampled in the middle of where the listener expects each, as a UART does.
    """
    if sent_baud == heard_baud:
        return data
    wire = _Waveform(data, sent_baud)
    heard, at_s, step_s, bit_s = bytearray(), 0.0, 1 / (SAMPLES_PER_BIT * heard_baud), 1 / heard_baud
    while at_s < wire.end_s:
        if wire.level(at_s):
            at_s += step_s
            continue
        heard.append(sum(wire.level(at_s + (1.5 + bit) * bit_s) << bit for bit in range(8)))
        at_s += 9.6 * bit_s  # into the stop bit; a longer low is the next start bit
    return bytes(heard)


class _Waveform:
    """Bytes as the level of the line over time; idle is high."""

    def __init__(self, data: bytes, baud: int) -> None:
        self._bits: list[int] = []
        for byte in data:
            self._bits += [0, *((byte >> bit) & 1 for bit in range(8)), 1]
        self._baud = baud
        self.end_s = len(self._bits) / baud

    def level(self, at_s: float) -> int:
        bit = int(at_s * self._baud)
        return self._bits[bit] if bit < len(self._bits) else 1
