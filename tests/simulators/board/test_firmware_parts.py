"""Parts of the C firmware on this machine: digests and JSON against Python's, the store over power cuts, and what is shipped."""

import binascii
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FIRMWARE = Path(__file__).parents[3] / "simulators" / "board" / "firmware"
IMAGES = FIRMWARE.parent / "images"
SHIM = Path(__file__).with_name("firmware_parts_host.c")
PARTS = ("digest.c", "payload.c", "store.c")
Ask = Callable[[str], str]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    if shutil.which("gcc") is None:
        pytest.skip("missing program: gcc")
    program = tmp_path_factory.mktemp("parts") / "parts"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    subprocess.run(["gcc", *flags, f"-I{FIRMWARE}", str(SHIM), *(str(FIRMWARE / part) for part in PARTS), "-o", str(program)], check=True)
    process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def exchange(request: str) -> str:
        process.stdin.write(request + "\n")
        process.stdin.flush()
        return process.stdout.readline().rstrip("\n")

    yield exchange
    process.stdin.close()
    assert process.wait(timeout=10) == 0


@pytest.mark.parametrize("size", [*range(0, 132), 3_000])
def test_sha256_is_that_of_the_standard_at_every_padding(ask: Ask, size: int) -> None:
    data = bytes(range(256)) * 12
    assert ask("S" + data[:size].hex()) == hashlib.sha256(data[:size]).hexdigest()


@given(st.binary(max_size=50))
def test_crc32_is_that_of_zlib(ask: Ask, data: bytes) -> None:
    assert int(ask("C" + data.hex()), 16) == binascii.crc32(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300)
@given(json_values, st.sampled_from([None, 2]), st.booleans())
def test_json_is_taken_and_freed_of_its_blanks(ask: Ask, value: object, indent: int | None, escape: bool) -> None:
    try:
        data = json.dumps(value, indent=indent, ensure_ascii=escape).encode()
    except UnicodeEncodeError:
        return
    assert bytes.fromhex(ask("J" + data.hex())) == json.dumps(value, separators=(",", ":"), ensure_ascii=escape).encode()


@settings(max_examples=300)
@given(st.one_of(st.binary(max_size=20), st.text('{}[]",:0.-+eEtrufalsn\\ ', max_size=16).map(str.encode)))
def test_json_is_taken_exactly_where_python_takes_it(ask: Ask, data: bytes) -> None:
    try:
        json.loads(data.decode(), parse_constant=lambda name: 1 / 0)
        is_json = True
    except (ValueError, ZeroDivisionError, RecursionError):
        is_json = False
    assert (ask("J" + data.hex()) != "no") is is_json


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 16_384)), min_size=1, max_size=8),
    st.integers(0, 120_000),
)
def test_the_store_holds_the_old_or_the_new_record_after_a_power_cut(ask: Ask, records: list[tuple[int, int]], cut_after: int) -> None:
    """`cut_after`: how many more bytes the flash takes, in the last put, before power goes."""
    ask("W")
    expected = {1: "", 2: ""}
    for number, (kind, size) in enumerate(records[:-1]):
        assert ask(f"P {kind} {size} {number} 99999999") == "1"
        expected[kind] = f"{size} {number}"
    kind, size = records[-1]
    ask(f"P {kind} {size} {len(records)} {cut_after}")
    for each in (1, 2):
        found = ask(f"G {each}")
        allowed = {expected[each], f"{size} {len(records)}"} if each == kind else {expected[each]}
        assert found in allowed
    assert ask("P 2 4 77 99999999") == "1"
    assert ask("G 2") == "4 77"


def test_what_is_shipped_is_what_its_hashes_say() -> None:
    for line in (IMAGES / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((IMAGES / name).read_bytes()).hexdigest() == digest


@pytest.mark.slow
@pytest.mark.peer("arm-none-eabi-gcc")
def test_what_is_shipped_can_be_built_again_byte_for_byte(tmp_path: Path) -> None:
    copy = tmp_path / "board"
    shutil.copytree(FIRMWARE.parent, copy, ignore=shutil.ignore_patterns("build", "__pycache__"))
    built = subprocess.run(["make", "-C", str(copy / "firmware"), "compare"], capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr
