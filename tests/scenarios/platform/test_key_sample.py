"""What a sample of keys shows of how they are made."""

import base64
import hashlib
import random
import uuid

import pytest

from scenarios.platform.key_guesses import recipe_of
from scenarios.platform.key_sample import sample_facts

DEVICE = "dddddddd-0000-4000-8000-000000000001"
ISSUED_S = 1_700_000_000.25
draws = random.Random(1)


def bits_of(make):
    return sample_facts([make(number) for number in range(200)])["bits"]


def drawn_hex(size_bytes):
    return draws.randbytes(size_bytes).hex()


def linear(number):
    """Four steps of a 31-bit linear congruential generator to a key."""
    state, words = pow(1_103_515_245, 4 * number, 2**31), []
    for _ in range(4):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        words.append(f"{state:08x}")
    return "".join(words)


@pytest.mark.parametrize(
    "make",
    [
        lambda _: drawn_hex(16),
        lambda _: base64.urlsafe_b64encode(draws.randbytes(16)).decode().rstrip("="),
        lambda _: "dk_live_" + base64.urlsafe_b64encode(draws.randbytes(24)).decode(),
        lambda number: f"{1_700_000_000 + number:x}-" + drawn_hex(16),
        lambda _: str(draws.getrandbits(160)).zfill(49),
    ],
)
def test_keys_of_128_drawn_bits_have_them_however_they_are_written(make):
    assert bits_of(make) >= 128


@pytest.mark.parametrize(
    "make",
    [
        lambda number: f"{number:032d}",
        lambda number: f"{1_700_000_000_000_000 + 7_919 * number:032x}",
        lambda _: hashlib.sha256(b"device").hexdigest()[:28] + drawn_hex(2),
        lambda _: drawn_hex(6) * 3,
        lambda _: (half := drawn_hex(8)) + half[::-1],
        linear,
        lambda number: uuid.UUID(fields=(0x1000_0000 + 7_919 * number, 0x1234, 0x11EE, 0x80, 0x01, 0xA1B2_C3D4_E5F6)).hex,
    ],
)
def test_what_counts_repeats_or_comes_in_turn_is_not_taken_for_drawn(make):
    assert bits_of(make) < 128


@pytest.mark.parametrize(
    ("key", "recipe"),
    [
        (hashlib.md5(b"4711").hexdigest(), "the md5 of a counter"),
        (hashlib.sha256(b"17").hexdigest()[:32], "the sha256 of a counter"),
        (hashlib.sha1(b"1700000000").hexdigest().upper(), "the sha1 of the second"),
        (hashlib.md5(b"1700000000250").hexdigest(), "the md5 of the millisecond"),
        (str(uuid.UUID(hashlib.md5(f"{DEVICE}:12".encode()).hexdigest())), "the md5 of the device's id and a counter"),
        (hashlib.md5(f"1700000001{DEVICE}".encode()).hexdigest(), "the md5 of the second and the device's id"),
        (hashlib.md5(b"drawn").hexdigest(), ""),
        (hashlib.md5(b"1").hexdigest()[:8], ""),
    ],
)
def test_a_key_that_can_be_computed_is_told_by_its_recipe(key, recipe):
    assert recipe_of(key, device_id=DEVICE, issued_s=ISSUED_S) == recipe


def test_without_the_instant_counters_are_tried_still():
    assert recipe_of(hashlib.md5(b"3").hexdigest(), device_id=DEVICE, issued_s=None) == "the md5 of a counter"
    assert recipe_of(hashlib.md5(b"1700000000").hexdigest(), device_id=DEVICE, issued_s=None) == ""
