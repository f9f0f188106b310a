"""The console's lines, at any split of the bytes."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from harness.bench.serial.console import LineSplitter


def lines_of(*pieces: bytes, line_bytes_max: int = 4_096) -> tuple[list[bytes], bytes]:
    """The lines of these pieces, and what has no end yet."""
    splitter = LineSplitter(line_bytes_max=line_bytes_max)
    return [line for piece in pieces for line in splitter.feed(piece)], splitter.unfinished


def test_lines_are_cut_at_any_split() -> None:
    assert lines_of(b"one\r\ntw", b"o\n\n\nthr") == ([b"one", b"two"], b"thr")


def test_a_line_that_is_too_long_comes_in_pieces() -> None:
    assert lines_of(b"abcdefgh\nij", line_bytes_max=3) == ([b"abc", b"def", b"gh"], b"ij")


@given(st.text(alphabet="a\r\n", max_size=30), st.lists(st.integers(0, 30), max_size=4))
@example("aaaaaa\naaa", [])
def test_every_split_gives_the_same_lines(text: str, cuts: list[int]) -> None:
    stream = text.encode()
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert lines_of(*pieces, line_bytes_max=4) == lines_of(*(bytes([byte]) for byte in stream), line_bytes_max=4)
