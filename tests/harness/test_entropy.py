"""The door to chance: a seed replays, names keep streams apart, and what nobody may guess is not seeded."""

import subprocess
import sys
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.entropy import SeededEntropy, SystemEntropy, draw_uuid

DRAW = "from harness.entropy import SeededEntropy as S; print(S(7).stream('net').random_bytes(8).hex(), S(7).integer(1, 10**9))"


def draws(entropy):
    return (entropy.random_bytes(8), entropy.uniform(0, 1), entropy.integer(1, 10**9), entropy.choice("abcdefgh"))


@given(st.integers() | st.text())
def test_the_same_seed_gives_the_same_draws(seed):
    assert draws(SeededEntropy(seed)) == draws(SeededEntropy(seed))


def test_another_seed_gives_other_draws():
    assert draws(SeededEntropy(1)) != draws(SeededEntropy(2))


def test_a_seed_replays_in_another_process_whatever_its_hash_seed():
    outputs = {
        subprocess.run([sys.executable, "-c", DRAW], env={"PYTHONHASHSEED": hash_seed}, capture_output=True, check=True).stdout
        for hash_seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_a_draw_more_in_one_stream_does_not_shift_another():
    top = SeededEntropy(1)
    untouched = draws(top.stream("b"))
    top.stream("a").random_bytes(100)
    top.random_bytes(100)
    assert draws(top.stream("b")) == untouched


def test_streams_of_different_names_differ():
    top = SeededEntropy(1)
    assert draws(top.stream("a")) != draws(top.stream("b"))


def test_a_stream_s_seed_is_not_that_of_its_parent():
    assert draws(SeededEntropy(1).stream("a")) != draws(SeededEntropy(1))


@pytest.mark.parametrize("entropy", [SeededEntropy(3), SystemEntropy()], ids=["seeded", "system"])
def test_both_ends_of_a_whole_number_can_be_drawn(entropy):
    assert {entropy.integer(1, 3) for _ in range(300)} == {1, 2, 3}


@pytest.mark.parametrize("entropy", [SeededEntropy(3), SystemEntropy()], ids=["seeded", "system"])
def test_a_uniform_draw_stays_in_its_range(entropy):
    assert all(2 <= entropy.uniform(2, 3) <= 3 for _ in range(100))


@pytest.mark.parametrize("entropy", [SeededEntropy(3), SystemEntropy()], ids=["seeded", "system"])
def test_bytes_have_the_length_asked_for(entropy):
    assert [len(entropy.random_bytes(size)) for size in (0, 1, 32)] == [0, 1, 32]


def test_system_entropy_does_not_repeat():
    assert len({SystemEntropy().random_bytes(16) for _ in range(100)}) == 100
    assert SystemEntropy().stream("a").choice([1]) == 1


@given(st.integers())
def test_a_drawn_uuid_is_a_version_4_uuid_in_lower_case(seed):
    text = draw_uuid(SeededEntropy(seed))
    assert UUID(text).version == 4
    assert text == text.lower()
