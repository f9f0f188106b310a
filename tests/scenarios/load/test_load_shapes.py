"""Shapes are tables: who is wanted when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.load.shapes import SHAPES, users_at


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_steps_of_a_shape_rise_to_the_end_of_the_run(shape):
    ends = [until for until, _ in shape.steps]
    assert ends == sorted(set(ends))
    assert ends[-1] == 1.0
    assert max(share for _, share in shape.steps) == 1.0


@pytest.mark.parametrize(
    ("name", "elapsed_s", "users"),
    [
        ("steady", 0, 1000),
        ("steady", 99.9, 1000),
        ("steady", 100, None),
        ("ramp", 0, 100),
        ("ramp", 55, 600),
        ("ramp", 99, 1000),
        ("spike", 10, 200),
        ("spike", 45, 1000),
        ("spike", 70, 200),
        ("reconnect-storm", 50, 1000),
    ],
)
def test_users_of_a_run_of_a_hundred_seconds(name, elapsed_s, users):
    assert users_at(SHAPES[name], elapsed_s, run_time_s=100.0, users=1000) == users


@given(st.sampled_from(list(SHAPES.values())), st.floats(0, 2), st.integers(1, 10_000))
def test_there_is_always_somebody_until_the_end(shape, part, users):
    wanted = users_at(shape, part * 60.0, run_time_s=60.0, users=users)
    assert wanted is None if part * 60.0 / 60.0 >= 1 else 1 <= wanted <= users
