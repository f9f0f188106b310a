"""The life of a key as a table, and the order in which a download is refused."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.entropy import SeededEntropy
from harness.wire.commands import DeviceKind
from harness.wire.files import FileType
from simulators.platform.access import AccessRules, Device, Organisation, secret_digest
from simulators.platform.keys import (
    NEXT_STATE,
    DownloadAttempt,
    DownloadKey,
    KeyEvent,
    KeyRules,
    KeyState,
    completes,
    is_alive,
    judge_download,
    key_expires_at_s,
    mint_key,
    with_part,
)
from simulators.platform.store import Store

ORGANISATION = Organisation("o", "o", True)
DEVICE = Device("d1", "p", "o", "d1", DeviceKind.MQTT, "")
OTHER = Device("d2", "p", "o", "d2", DeviceKind.MQTT, "")


def key(**changes):
    values = dict(
        id=1, device_id="d1", project_id="p", file_type=FileType.FIRMWARE, file_name="f.bin", size_bytes=10,
        issued_at_s=1_000.0, expires_at_s=2_800.0, state=KeyState.ISSUED,
    )  # fmt: skip
    return DownloadKey(**{**values, **changes})


def status(**changes):
    values = dict(
        device=DEVICE, organisation=ORGANISATION, key=key(), file_exists=True, now_s=1_001.0, rules=KeyRules(), access=AccessRules()
    )
    refusal = judge_download(DownloadAttempt(**{**values, **changes}))
    return refusal.status if refusal else 200


def test_a_key_lives_thirty_minutes_and_is_dead_at_that_very_instant():
    assert key_expires_at_s(1_000.0) == 2_800.0
    assert is_alive(key(), 2_799.999)
    assert not is_alive(key(), 2_800.0)


@pytest.mark.parametrize("state", [state for state in KeyState if state is not KeyState.ISSUED])
def test_no_state_but_issued_is_alive(state):
    assert not is_alive(key(state=state), 1_001.0)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(KeyState, KeyEvent)))
def test_the_store_takes_the_steps_of_the_table_and_refuses_all_others(state, event):
    store = Store(None)
    key_id = store.issue_key(secret_digest("k"), key())
    way_in = {KeyState.USED: KeyEvent.CLAIMED, KeyState.EXPIRED: KeyEvent.LIFE_ENDED, KeyState.WITHDRAWN: KeyEvent.PUBLISH_FAILED}
    if state in way_in:
        assert store.change_key(key_id, way_in[state])
    assert store.change_key(key_id, event) == ((state, event) in NEXT_STATE)
    assert store.key_with_id(key_id).state is NEXT_STATE.get((state, event), state)


def test_keys_have_128_bits_of_the_url_alphabet_and_never_repeat():
    entropy = SeededEntropy(1)
    keys = [mint_key(entropy) for _ in range(1_000)]
    assert len(set(keys)) == 1_000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", key) for key in keys)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 200),
        ({"device": None, "key": None}, 401),
        ({"key": None}, 401),
        ({"key": key(state=KeyState.USED)}, 401),
        ({"now_s": 2_800.0}, 401),
        ({"device": OTHER}, 403),
        ({"device": OTHER, "key": key(state=KeyState.USED)}, 401),
        ({"device": OTHER, "file_exists": False}, 403),
        ({"file_exists": False}, 404),
        ({"organisation": Organisation("o", "o", False)}, 403),
        ({"organisation": Organisation("o", "o", False), "key": None}, 403),
    ],
)
@pytest.mark.requirement("KEY-11")
def test_downloads_are_refused_in_the_order_of_the_reading(changes, expected):
    assert status(**changes) == expected


spans = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)).map(lambda span: (span[0], span[0] + span[1])), max_size=8)


@given(spans)
def test_covered_parts_hold_exactly_the_bytes_of_their_parts(parts):
    covered = ()
    for part in parts:
        covered = with_part(covered, part)
    assert {byte for first, end in covered for byte in range(first, end)} == {byte for first, end in parts for byte in range(first, end)}
    assert all(before[1] < after[0] for before, after in itertools.pairwise(covered))


def test_the_part_that_leaves_no_gap_completes_the_file():
    assert completes(key(covered=((0, 4), (6, 10))), (4, 6))
    assert not completes(key(covered=((0, 4), (7, 10))), (4, 6))
    assert completes(key(size_bytes=0), (0, 0))
