"""The codec on generated packets and on noise."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RemoteWireError
from harness.mqtt.decoding import Decoder
from harness.mqtt.encoding import encode
from harness.mqtt.packets import Packet
from tests.harness.mqtt.packet_strategies import packets


@given(st.lists(packets, max_size=5))
def test_what_was_encoded_is_decoded_to_the_same_packets(sent: list[Packet]):
    assert Decoder().feed(b"".join(map(encode, sent))) == sent


@given(st.lists(packets, min_size=1, max_size=3), st.data())
def test_any_split_of_the_stream_gives_the_same_packets(sent: list[Packet], data: st.DataObject):
    stream = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    decoder = Decoder()
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [packet for piece in pieces for packet in decoder.feed(piece)] == sent
    assert decoder.pending == b""


@given(packets, st.data())
def test_whatever_can_be_read_could_be_sent(packet: Packet, data: st.DataObject):
    """A flipped byte makes a fault, or another packet that our own encoder would not refuse: both ends know the same rules."""
    mutant = bytearray(encode(packet))
    mutant[data.draw(st.integers(0, len(mutant) - 1))] ^= data.draw(st.integers(1, 255))
    read, _ = _read(bytes(mutant))
    assert Decoder().feed(b"".join(map(encode, read))) == read


def _read(stream: bytes) -> tuple[list[Packet], RemoteWireError | None]:
    """All packets, and the fault."""
    decoder = Decoder()
    try:
        return decoder.feed(stream), decoder.error
    except RemoteWireError as fault:
        return [], fault


def _noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randint(1, 40))


def _mutant(chance: random.Random, specimens: list[bytes]) -> bytes:
    """Some valid packets in a row, with bytes changed, cut out or put in."""
    stream = bytearray(b"".join(chance.sample(specimens, 2)))
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(stream))
        stream[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        stream += b"\0" * (not stream)
    return bytes(stream)


def _assert_only_named_faults(stream: bytes) -> None:
    _, fault = _read(stream)
    assert fault is None or (fault.statement.startswith("MQTT-") and fault.raw), stream.hex()


@pytest.mark.slow
def test_100_000_random_byte_strings_raise_nothing_but_remote_wire_errors():
    chance = random.Random(20_261_122)
    for _ in range(100_000):
        _assert_only_named_faults(_noise(chance))


@pytest.mark.slow
def test_100_000_mutated_packets_raise_nothing_but_remote_wire_errors(specimens):
    chance = random.Random(311)
    streams = [encode(packet) for packet in specimens]
    for _ in range(100_000):
        _assert_only_named_faults(_mutant(chance, streams))
