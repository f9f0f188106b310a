"""MicroPython's raw REPL: what the board says, at any split."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.serial.raw_repl import Executed, RawRepl, call, compact

GREETING = b"\r\nMicroPython v1.9.2 on 2017-09-01; micro:bit\r\n>>> \r\nraw REPL; CTRL-B to exit\r\n>"


@given(st.lists(st.integers(0, 200), max_size=6))
def test_an_execution_is_read_at_every_split(cuts: list[int]) -> None:
    stream = GREETING + b'OK{"success":true}\r\n\x04\x04>'
    edges = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    repl = RawRepl()
    for start, end in itertools.pairwise(edges):
        repl.feed(stream[start:end])
    assert repl.is_entered
    assert repl.take_executed() == Executed(b'{"success":true}\r\n', b"")


@pytest.mark.parametrize("so_far", [b"", b"OK", b"OK12\x04", b"OK12\x04Trace\x04"])
def test_an_execution_that_is_not_over_gives_nothing(so_far: bytes) -> None:
    repl = RawRepl()
    repl.feed(GREETING + so_far)
    assert repl.take_executed() is None


def test_an_exception_is_told_apart_from_output() -> None:
    repl = RawRepl()
    repl.feed(GREETING + b"OKpart\x04Traceback\r\nMemoryError: \r\n\x04>OK")
    assert repl.take_executed() == Executed(b"part", b"Traceback\r\nMemoryError: \r\n")
    assert repl.take_executed() is None


def test_starting_anew_forgets_what_was_said() -> None:
    repl = RawRepl()
    repl.feed(GREETING + b"OKold\x04\x04>")
    repl.start()
    assert (repl.is_entered, repl.take_executed(), repl.unread) == (False, None, b"")


def test_the_agent_is_made_small_without_changing_its_shape() -> None:
    source = "# why\n\ndef f():\n    # how\n    if 1:\n        return 'a  b'\n"
    assert compact(source) == "def f():\n if 1:\n  return 'a  b'"


@given(st.text(max_size=10), st.binary(max_size=20))
def test_a_call_quotes_whatever_comes(name: str, payload: bytes) -> None:
    seen: list[object] = []
    exec(call(7, name, payload), {"run": lambda *arguments: seen.append(arguments), "print": lambda text: None})
    assert seen == [(7, name, payload)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")  # of the code that lost a byte
@given(st.binary(min_size=1, max_size=20), st.data())
def test_a_command_that_lost_a_byte_on_its_way_is_not_executed(payload: bytes, data: st.DataObject) -> None:
    code = call(7, "configuration", payload)
    at = data.draw(st.integers(0, len(code) - 1))
    seen: list[object] = []
    scope = {"run": lambda *arguments: seen.append(arguments), "print": lambda text: None}
    with contextlib.suppress(Exception):  # whatever the board says then, the command is asked for again
        exec(code[:at] + code[at + 1 :], scope)
    assert [arguments for arguments in seen if arguments != (7, "configuration", payload)] == []
