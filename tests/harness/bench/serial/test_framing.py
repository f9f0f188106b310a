"""Frames: values and their bytes both ways, any split, any noise around them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.serial.framing import ConsoleText, CorruptFrame, Deframer, Frame, crc16, encode_frame
from harness.errors import LocalWireError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
bodies = st.dictionaries(st.text(max_size=8), json_values, max_size=5)


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def test_crc_has_the_check_value_of_its_catalogue() -> None:
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({}, b"~0002" + b"%04x" % crc16(b"{}") + b"{}\n"),
        ({"k": "a", "s": 1}, b"~000f" + b"%04x" % crc16(b'{"k":"a","s":1}') + b'{"k":"a","s":1}\n'),
        ({"t": "~"}, b"~000e" + b"%04x" % crc16(b'{"t":"\\u007e"}') + b'{"t":"\\u007e"}\n'),
    ],
)
def test_frame_and_line_are_the_same_thing(body: dict[str, object], line: bytes) -> None:
    assert encode_frame(body) == line
    assert Deframer().feed(line) == [Frame(body)]


@given(st.lists(bodies, max_size=4), st.lists(st.integers(0, 10_000), max_size=6))
def test_frames_survive_every_split(sent: list[dict[str, object]], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(body) for body in sent)
    deframer = Deframer()
    received = [item for piece in split_at(stream, cuts) for item in deframer.feed(piece)]
    assert received == [Frame(body) for body in sent]


@given(st.binary(max_size=60), bodies)
def test_a_frame_after_any_noise_arrives(noise: bytes, body: dict[str, object]) -> None:
    received = Deframer().feed(noise + encode_frame(body))
    assert received[-1] == Frame(body)


@given(bodies, st.data())
def test_a_flipped_bit_never_yields_another_frame(body: dict[str, object], data: st.DataObject) -> None:
    line = bytearray(encode_frame(body))
    line[data.draw(st.integers(0, len(line) - 2))] ^= 1 << data.draw(st.integers(0, 7))
    deframer = Deframer()
    received = deframer.feed(bytes(line)) + deframer.flush()
    assert not [item for item in received if isinstance(item, Frame)]


def test_a_lost_line_end_costs_one_frame_only() -> None:
    line = encode_frame({"s": 1})
    received = Deframer().feed(line[:-1] + line)
    assert received == [CorruptFrame(line[1:-1], "cut off before its end"), Frame({"s": 1})]


def test_log_lines_between_frames_are_console_text() -> None:
    stream = b"Booting v1.0.0\r\n" + encode_frame({"s": 1}) + b"\nadc: " + encode_frame({"s": 2}) + b"ok\n"
    assert Deframer().feed(stream) == [
        ConsoleText(b"Booting v1.0.0"),
        Frame({"s": 1}),
        ConsoleText(b"adc: ", is_whole_line=False),
        Frame({"s": 2}),
        ConsoleText(b"ok"),
    ]


def test_a_carriage_return_added_by_a_terminal_is_forgiven() -> None:
    assert Deframer().feed(encode_frame({"s": 1}).replace(b"\n", b"\r\n")) == [Frame({"s": 1})]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"~\n", "no length and CRC after `~`"),
        (b"~0002ABCD{}\n", "no length and CRC after `~`"),
        (b"~0003abcd{}\n", "2 bytes of body where 3 were announced"),
        (b"~00020000{}\n", f"CRC {crc16(b'{}'):04x} where 0000 was announced"),
        (b"~0002%04x[]\n" % crc16(b"[]"), "the body is no JSON object"),
        (b"~0002%04x{{\n" % crc16(b"{{"), "the body is no JSON"),
    ],
)
def test_what_is_no_frame_says_why(line: bytes, problem: str) -> None:
    assert Deframer().feed(line) == [CorruptFrame(line[1:-1], problem)]


def test_an_endless_frame_is_corrupt_once_and_the_next_line_is_read() -> None:
    deframer = Deframer(body_bytes_max=16)
    received = deframer.feed(b"~" + b"0" * 100) + deframer.feed(b"0" * 100 + b"\n" + encode_frame({"s": 1}))
    assert [type(item) for item in received] == [CorruptFrame, Frame]


def test_endless_text_comes_in_pieces_and_is_not_kept() -> None:
    received = Deframer(text_bytes_max=10).feed(b"x" * 25 + b"\n")
    assert received == [
        ConsoleText(b"x" * 10, is_whole_line=False),
        ConsoleText(b"x" * 10, is_whole_line=False),
        ConsoleText(b"x" * 5),
    ]


def test_a_body_that_the_header_cannot_announce_is_refused() -> None:
    with pytest.raises(LocalWireError, match="the header can say 65535"):
        encode_frame({"x": "y" * 70_000})
