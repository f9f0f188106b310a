"""The link's two ends against each other: over a perfect line, over a lossy one, and over reboots."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.serial.framing import encode_frame
from harness.bench.serial.link import (
    Arrived,
    Booted,
    ConnectionLost,
    Delivered,
    FrameKind,
    GaveUp,
    LinkEvent,
    LinkSettings,
    Opened,
    Refused,
)
from harness.bench.serial.link_board import BoardEnd
from harness.bench.serial.link_host import HOST_NEXT_STATE, HostEnd, HostState
from harness.errors import LocalWireError

SETTINGS = LinkSettings(retry_s=0.25, busy_s=0.05, body_bytes_max=512)


@dataclass
class Board:
    """A board with a memory that outlives reboots (`done`) and one that does not."""

    room: int = 1_000
    done: int = 0
    taken: list[dict[str, object]] = field(default_factory=list)
    settings: LinkSettings = SETTINGS

    def __post_init__(self) -> None:
        self.power_on()

    def power_on(self) -> None:
        self.end = BoardEnd(about={"model": "m"}, accept=self.accept, done=lambda: self.done, settings=self.settings)
        self.end.boot()

    def accept(self, message: dict[str, object]) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.taken.append(message)
        self.done = max(self.done, int(str(message.get("n", 0))))
        return True


@dataclass
class Line:
    """Host and board, and the time; each step moves what both want to say, through the damage that the test wants."""

    board: Board = field(default_factory=Board)
    now_s: float = 100.0
    events: list[LinkEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.host = HostEnd(connection=7, settings=SETTINGS)

    def step(self, *, damage_down=bytes, damage_up=bytes) -> None:
        self.events += self.host.tick(self.now_s)
        self.board.end.receive(damage_down(self.host.take_output()), self.now_s)
        self.board.end.tick(self.now_s)
        self.events += self.host.receive(damage_up(self.board.end.take_output()), self.now_s)

    def run(self, steps: int = 20) -> None:
        for _ in range(steps):
            self.step()
            self.now_s += 0.1

    def send(self, message: dict[str, object], deadline_s: float = 1_000.0) -> int:
        return self.host.send(message, now_s=self.now_s, deadline_s=deadline_s)

    def of(self, kind: type) -> list[LinkEvent]:
        return [event for event in self.events if isinstance(event, kind)]


def test_opening_tells_what_the_board_is_and_what_it_takes() -> None:
    line = Line()
    line.run(3)
    assert line.of(Opened) == [Opened({"model": "m"}, 512, 0)]
    assert line.host.state is HostState.OPEN


def test_messages_arrive_in_both_directions_once_and_in_order() -> None:
    line = Line()
    for number in range(5):
        line.send({"x": number})
        line.board.end.send({"y": number}, now_s=line.now_s)
    line.run()
    assert line.board.taken == [{"x": number} for number in range(5)]
    assert line.of(Arrived) == [Arrived({"y": number}) for number in range(5)]
    assert line.of(Delivered) == [Delivered(number, 1) for number in range(1, 6)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["ok", "drop", "garble", "halve"]), max_size=40), st.integers(1, 5))
def test_a_lossy_line_loses_doubles_and_reorders_nothing(faults: list[str], count: int) -> None:
    line = Line()
    for number in range(count):
        line.send({"x": number})
        line.board.end.send({"y": number}, now_s=line.now_s)
    kinds = iter(faults)

    def damage(data: bytes) -> bytes:
        kind = next(kinds, "ok") if data else "ok"
        garbled = bytes(byte ^ (1 << (at % 7)) if at % 11 == 3 else byte for at, byte in enumerate(data))
        return {"ok": data, "drop": b"", "garble": garbled, "halve": data[: len(data) // 2]}[kind]

    for _ in range(60):
        line.step(damage_down=damage, damage_up=damage)
        line.now_s += 0.3
    assert line.board.taken == [{"x": number} for number in range(count)]
    assert line.of(Arrived) == [Arrived({"y": number}) for number in range(count)]
    assert line.board.end.is_idle


def test_a_lost_acknowledgement_delivers_once() -> None:
    line = Line()
    line.run(3)
    line.send({"x": 1})
    line.step(damage_up=lambda data: b"")
    line.now_s += 1
    line.run(3)
    assert line.board.taken == [{"x": 1}]
    assert line.of(Delivered) == [Delivered(1, 2)]


def test_a_board_without_room_gets_the_message_again_when_it_has_some() -> None:
    line = Line(Board(room=1))
    line.send({"x": 1})
    line.send({"x": 2})
    line.run(5)
    assert line.board.taken == [{"x": 1}]
    line.board.room = 1
    line.run(3)
    assert line.board.taken == [{"x": 1}, {"x": 2}]


def test_a_silent_board_is_given_up_at_the_deadline_and_not_before() -> None:
    line = Line()
    line.run(3)
    line.send({"x": 1}, deadline_s=line.now_s + 1.0)
    for _ in range(9):
        line.now_s += 0.1
        line.step(damage_up=lambda data: b"")
    assert not line.of(GaveUp)
    line.now_s += 0.2
    line.step(damage_up=lambda data: b"")
    assert [(event.ticket, event.was_busy) for event in line.of(GaveUp)] == [(1, False)]


def test_after_giving_up_the_next_message_arrives_over_a_new_connection() -> None:
    line = Line()
    line.run(3)
    line.send({"x": 1}, deadline_s=line.now_s + 0.5)
    line.step(damage_up=lambda data: b"")
    line.now_s += 1
    line.send({"x": 2})
    line.run(10)
    assert line.board.taken == [{"x": 1}, {"x": 2}]
    assert len(line.of(Opened)) == 2


def test_a_reboot_is_seen_and_the_connection_stands_again() -> None:
    line = Line()
    line.run(3)
    line.board.power_on()
    line.run(3)
    assert line.of(Booted)
    assert line.of(ConnectionLost) == [ConnectionLost("boot")]
    line.send({"x": 1})
    line.run(3)
    assert line.board.taken == [{"x": 1}]


def test_a_reboot_whose_boot_frame_was_lost_is_noticed_at_the_next_message() -> None:
    line = Line()
    line.run(3)
    line.board.power_on()
    line.step(damage_up=lambda data: b"")
    line.send({"x": 1})
    line.run(6)
    assert line.board.taken == [{"x": 1}]
    assert line.of(ConnectionLost) == [ConnectionLost("lost")]


def test_a_command_written_down_before_a_reboot_is_not_executed_again() -> None:
    line = Line()
    line.run(3)
    line.send({"t": "command", "n": 1, "name": "reboot"})
    line.step(damage_up=lambda data: b"")
    line.board.power_on()
    line.run(6)
    assert [message["n"] for message in line.board.taken] == [1]
    assert [event.ticket for event in line.of(Delivered)] == [1]


def test_a_command_that_the_reboot_swallowed_is_sent_again() -> None:
    line = Line()
    line.run(3)
    line.send({"t": "command", "n": 1, "name": "reboot"})
    line.step(damage_down=lambda data: b"")
    line.board.power_on()
    line.run(6)
    assert [message["n"] for message in line.board.taken] == [1]


def test_what_a_board_could_not_hand_over_arrives_after_the_host_came_back() -> None:
    line = Line()
    line.run(3)
    line.board.end.send({"y": 1}, now_s=line.now_s)
    line.step(damage_up=lambda data: b"")
    line.host = HostEnd(connection=900, settings=SETTINGS)
    line.run(6)
    assert line.of(Arrived) == [Arrived({"y": 1})]


def test_ends_that_count_differently_open_anew() -> None:
    line = Line()
    line.run(3)
    line.host.receive(encode_frame({"k": "d", "c": 8, "s": 9, "m": {}}), line.now_s)
    assert line.host.state is HostState.OPENING
    line.run(3)
    assert line.host.state is HostState.OPEN


def test_frames_of_an_earlier_connection_have_no_effect() -> None:
    line = Line()
    line.run(3)
    stale = [{"k": kind, "c": 6, "s": 1, "m": {"y": 1}} for kind in ("d", "a", "b", "lost", "opened", "refused")]
    events = line.host.receive(b"".join(encode_frame(body) for body in stale), line.now_s)
    assert events == []
    assert line.host.state is HostState.OPEN


def test_another_version_is_refused_and_nothing_is_sent_any_more() -> None:
    host = HostEnd(connection=1, settings=SETTINGS)
    host.tick(0.0)
    assert host.receive(encode_frame({"k": "refused", "v": 2, "c": 1}), 0.1) == [Refused(2)]
    host.take_output()
    host.tick(10.0)
    assert host.take_output() == b""
    assert host.next_wake_s is None


def test_a_board_refuses_a_version_that_it_does_not_speak() -> None:
    board = Board()
    board.end.take_output()
    board.end.receive(encode_frame({"k": "open", "v": 9, "c": 3, "max": 100}), 0.0)
    assert board.end.take_output() == encode_frame({"k": "refused", "v": 1, "c": 3})


def test_a_message_longer_than_the_board_takes_is_refused_before_it_leaves() -> None:
    line = Line(Board(settings=LinkSettings(body_bytes_max=100)))
    line.run(3)
    with pytest.raises(LocalWireError, match="this board takes 100"):
        line.send({"x": "y" * 100})


@pytest.mark.parametrize("state", HostState)
@pytest.mark.parametrize("kind", FrameKind)
def test_a_frame_that_the_table_does_not_list_changes_nothing(state: HostState, kind: FrameKind) -> None:
    host = HostEnd(connection=1, settings=SETTINGS)
    host.tick(0.0)
    host.take_output()
    host.state = state
    body = {"k": kind.value, "c": 1, "s": 1, "v": 1, "m": {}, "about": {}}
    host.receive(encode_frame(body), 0.0)
    assert host.state is HOST_NEXT_STATE.get((state, kind), state)


def test_sequence_numbers_wrap() -> None:
    line = Line()
    line.run(3)
    for traffic in (line.host._traffic, line.board.end._traffic):
        traffic.out_sequence, traffic.in_sequence = 0xFFFF, 0xFFFE
    for number in range(3):
        line.send({"x": number})
    line.run(5)
    assert line.board.taken == [{"x": number} for number in range(3)]
