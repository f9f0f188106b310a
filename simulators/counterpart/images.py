"""Images that we make up for a device whose vendor names none: random bytes between ends that careless code likes to tidy away."""

from harness.entropy import Entropy

# What a C string, a text file, an erased flash or a trimming parser would not keep: NUL, line ends and blanks, 0xFF, a byte order mark.
_ENDS = (
    (b"\xef\xbb\xbf", b"\x00" * 16),
    (b"\r\n ", b"\xff" * 16),
    (b"\x00\x00", b" \r\n"),
)
_BYTES_MIN = 64  # a smaller image would be all ends


def made_up_image(entropy: Entropy, number: int, size_bytes: int) -> bytes:
    """`size_bytes` bytes; three with numbers in a row show all the ends."""
    if size_bytes < _BYTES_MIN:
        return entropy.random_bytes(size_bytes)
    head, tail = _ENDS[number % len(_ENDS)]
    return head + entropy.random_bytes(size_bytes - len(head) - len(tail)) + tail
