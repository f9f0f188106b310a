"""The link's messages as values: payloads come back as they were, and what a board may not say is the board's fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.serial import messages
from harness.bench.serial.messages import ClockWanted, Fetch, More, Result, Stop, Unknown, read_from_board
from harness.errors import RemoteWireError


@given(st.binary(max_size=200))
def test_a_payload_comes_back_as_it_was(payload: bytes) -> None:
    assert read_from_board(messages.result(7, "configuration", payload)) == Result(7, "configuration", payload)


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ({"t": "fetch", "n": 7, "url": "http://h"}, Fetch(7, "http://h")),
        ({"t": "more", "n": 7, "at": 0, "len": 384}, More(7, 0, 384)),
        ({"t": "stop", "n": 7}, Stop(7)),
        ({"t": "clock"}, ClockWanted()),
        ({"t": "later version", "x": 1}, Unknown({"t": "later version", "x": 1})),
    ],
)
def test_a_message_of_the_board_is_a_value(message: dict[str, object], value: object) -> None:
    assert read_from_board(message) == value


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"t": "result", "n": True, "name": "x", "text": ""}, "'n' is no whole number"),
        ({"t": "result", "n": 1, "text": ""}, "'name' is no text"),
        ({"t": "result", "n": 1, "name": "x"}, "'bytes' is no text"),
        ({"t": "result", "n": 1, "name": "x", "bytes": "A"}, "'bytes' is no base64"),
        ({"t": "result", "n": 1, "name": "x", "bytes": "é"}, "'bytes' is no base64"),
        ({"t": "more", "n": 1, "at": -1, "len": 3}, "'at' is no whole number"),
    ],
)
def test_a_known_message_with_a_wrong_member_is_the_board_s_fault(message: dict[str, object], problem: str) -> None:
    with pytest.raises(RemoteWireError, match=problem):
        read_from_board(message)
