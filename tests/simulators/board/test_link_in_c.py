"""The C link that firmwares include behaves byte for byte like the Python model, under any input; built with the sanitizers."""

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench.serial.framing import crc16, encode_body, encode_frame
from harness.bench.serial.link import LinkSettings
from harness.bench.serial.link_board import BoardEnd

FIRMWARE = Path(__file__).parents[3] / "simulators" / "board" / "firmware"
SHIM = Path(__file__).with_name("link_host.c")
Ask = Callable[[str], tuple[bytes, list[dict[str, object]], bool]]

counters = st.sampled_from([0, 1, 2, 3, 65535, 65536, -1, True, 1.0, "1", None])
small_json = st.sampled_from([{}, {"n": 4, "name": 'a,b}"\\ ]'}, [1, {"c": 2}], "m", 7, None, {"t": {"n": [1, {}]}}])
frames = st.fixed_dictionaries(
    {"k": st.sampled_from(["open", "d", "d", "d", "a", "b", "x", 3])},
    optional={"v": st.sampled_from([1, 1, 1, 2, None, "1"]), "c": counters, "s": counters, "m": small_json},
)
long_frames = [encode_frame({"k": "open", "v": 1, "c": 9, "pad": "x" * size}) for size in (222, 223, 224)]  # bodies of 255 to 257
pieces = st.one_of(
    frames.map(encode_frame),
    st.binary(max_size=12),
    st.sampled_from([b"\n", b"~" + b"x" * 300, *long_frames, *(frame.replace(b"\n", b"\r\n") for frame in long_frames)]),
)
sayings = st.sampled_from(
    ["open", "open again", "next", "next", "next", "same", "skip", "acknowledge", "acknowledge", "acknowledge wrongly"]
)
steps = st.one_of(
    st.tuples(st.just("say"), sayings),
    st.tuples(st.just("say"), sayings),
    st.tuples(st.just("say"), sayings),
    st.tuples(st.just("input"), pieces),
    st.tuples(st.just("damaged"), st.tuples(frames.map(encode_frame), st.integers(0, 80), st.integers(1, 255))),
    st.tuples(st.just("tick"), st.integers(0, 4)),
    st.tuples(st.just("post"), st.sampled_from(["", "~", 'quote " and \\', "tab\t", "é", "x" * 60])),
    st.tuples(st.just("room"), st.integers(0, 2)),
)  # fmt: skip


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: the C link cannot be built for this machine")
    program = tmp_path_factory.mktemp("link") / "link_host"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    subprocess.run(["gcc", *flags, f"-I{FIRMWARE}", str(SHIM), str(FIRMWARE / "link.c"), "-o", str(program)], check=True)
    process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def exchange(request: str) -> tuple[bytes, list[dict[str, object]], bool]:
        written, accepted, idle = raw_exchange(process, request).removeprefix("w").split(" ")
        messages = bytes.fromhex(accepted.removeprefix("a")).splitlines()
        return bytes.fromhex(written), [json.loads(message) for message in messages], idle == "1"

    exchange.raw = lambda request: raw_exchange(process, request)  # type: ignore[attr-defined]
    yield exchange
    process.stdin.close()
    assert process.wait(timeout=10) == 0


def raw_exchange(process: subprocess.Popen[str], request: str) -> str:
    process.stdin.write(request + "\n")
    process.stdin.flush()
    return process.stdout.readline().rstrip("\n")


class Model:
    """The Python end with the memory and the limits of the C program in link_host.c."""

    def __init__(self) -> None:
        self.room, self.done, self.now_s = 1_000, 0, 0.0
        self.accepted: list[dict[str, object]] = []
        self.end = BoardEnd(about={"model": "m"}, accept=self.accept, done=lambda: self.done, settings=LinkSettings(body_bytes_max=256))
        self.end.boot()

    def accept(self, message: dict[str, object]) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.accepted.append(message)
        number = message.get("n")
        if type(number) is int and number > self.done:
            self.done = number
        return True

    def taken(self) -> list[dict[str, object]]:
        taken, self.accepted = self.accepted, []
        return taken


def said(saying: str, model: Model) -> bytes:
    """A frame that makes sense, or nearly, in the state of the board."""
    traffic, connection = model.end._traffic, model.end._connection or 0
    body: dict[str, object] = {"k": "d", "c": connection, "s": traffic.in_sequence, "m": {"n": model.done + 1, "text": "~"}}
    match saying:
        case "open" | "open again":
            body = {"k": "open", "v": 1, "c": connection + (saying == "open")}
        case "next" | "skip":
            body["s"] = traffic.in_sequence + (1 if saying == "next" else 2)
        case "acknowledge" | "acknowledge wrongly":
            body = {"k": "a", "c": connection, "s": traffic.out_sequence + (saying != "acknowledge")}
    return encode_frame(body)


def both(ask: Ask, model: Model, request: str, data: bytes = b"") -> None:
    """One step on both sides; the Python end ticks by itself after each input, the C one when it is told."""
    written, accepted, _ = ask(request)
    if data:
        model.end.receive(data, model.now_s)
        written += ask(f"T{round(model.now_s * 1000)}")[0]
    assert frames_of(written) == frames_of(model.end.take_output())
    assert accepted == model.taken()


def frames_of(written: bytes) -> list[object]:
    """Frames with whole headers compared as JSON: the C side may leave UTF-8 as it is where Python escapes it."""
    lines = written.split(b"\n")
    for line in lines[:-1]:
        assert line == encode_raw(line[9:])
        assert b"~" not in line[1:]
    return [json.loads(line[9:]) for line in lines[:-1]]


def encode_raw(body: bytes) -> bytes:
    return b"~%04x%04x%s" % (len(body), crc16(body), body)


@settings(max_examples=600, deadline=None)
@given(st.lists(steps, min_size=4, max_size=30))
def test_both_ends_answer_alike(ask: Ask, script: list[tuple[str, object]]) -> None:
    model = Model()
    written, _, _ = ask("B")
    assert written == model.end.take_output()
    script = [("say", "open"), *script]
    for kind, value in script:
        if kind == "say":
            data = said(value, model)
            both(ask, model, "I" + data.hex(), data)
        elif kind == "input":
            both(ask, model, "I" + value.hex(), value)
        elif kind == "damaged":
            frame, at, mask = value
            data = bytes(byte ^ mask if place == at else byte for place, byte in enumerate(frame))
            both(ask, model, "I" + data.hex(), data)
        elif kind == "tick":
            model.now_s += 0.125 * value
            model.end.tick(model.now_s)
            both(ask, model, f"T{round(model.now_s * 1000)}")
        elif kind == "room":
            model.room = value
            both(ask, model, f"R{value}")
        elif model.end.is_idle:
            ask("P" + value.encode().hex())
            model.end.send({"y": value}, now_s=model.now_s)
            both(ask, model, f"T{round(model.now_s * 1000)}")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=12))
def test_text_is_unescaped_as_python_wrote_it(ask: Ask, text: str) -> None:
    try:
        expected = text.encode()
    except UnicodeEncodeError:
        return
    answer = ask.raw("J" + encode_body({"x": text})[5:-1].hex()).split(" ")[0]
    assert answer == f"{len(expected)}:{expected.hex()}"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_base64_is_decoded(ask: Ask, data: bytes) -> None:
    answer = ask.raw("J" + json.dumps(base64.b64encode(data).decode()).encode().hex()).split(" ")[1]
    assert answer == f"{len(data)}:{data.hex()}"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_no_value_makes_it_read_or_write_out_of_bounds(ask: Ask, data: bytes) -> None:
    assert ask.raw("J" + (b'"' + data + b'"').hex())


@pytest.mark.parametrize("value", ['"\\ud800"', '"\\ud800\\u0041"', '"\\udc00"', '"\\u12"', '"\\q"', "7", '"', '"' + "x" * 64 + '"'])
def test_what_is_no_text_or_has_no_room_is_told(ask: Ask, value: str) -> None:
    assert ask.raw("J" + value.encode().hex()).startswith("-1:")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6), st.sampled_from(["%04x", "%04X"]))
def test_an_escape_is_taken_in_either_case(ask: Ask, text: str, digits: str) -> None:
    units = text.encode("utf-16-be")
    escaped = "".join("\\u" + digits % int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    expected = text.encode()
    assert ask.raw("J" + f'"{escaped}"'.encode().hex()).split(" ")[0] == f"{len(expected)}:{expected.hex()}"


def test_a_frame_whose_header_is_not_in_lower_case_is_dropped(ask: Ask) -> None:
    frame = encode_frame({"k": "open", "v": 1, "c": 4711})
    capitals = frame[:9].upper() + frame[9:]
    assert capitals != frame
    ask("B")
    assert ask("I" + capitals.hex())[0] == b""
    assert b'"opened"' in ask("I" + frame.hex())[0]


@pytest.mark.parametrize("number", [0, 7, 999_999_999, 1_767_225_600, 4_294_967_289, 4_294_967_295])
def test_a_number_is_taken_up_to_32_bits(ask: Ask, number: int) -> None:
    assert ask.raw("J" + str(number).encode().hex()).split(" ")[2] == str(number)


@pytest.mark.parametrize(
    "value", ["4294967296", "4294967299", "4294967300", "9999999999", "42949672950", "-1", "1.0", "1e3", '"1"', "null"]
)
def test_what_is_no_whole_number_of_32_bits_is_told(ask: Ask, value: str) -> None:
    assert ask.raw("J" + value.encode().hex()).split(" ")[2] == "no"


def test_the_implementation_stays_small_and_uses_no_heap() -> None:
    text = "".join((FIRMWARE / name).read_text() for name in ("link.h", "link.c"))
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith(("/*", "*"))]
    assert len(code) <= 400
    assert not [name for name in ("malloc", "calloc", "alloca", "printf") if name in text]
