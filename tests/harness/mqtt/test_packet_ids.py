import pytest

from harness.mqtt.packet_ids import PacketIds, PacketIdsExhausted


def test_ids_count_up_from_one():
    ids = PacketIds()
    assert [ids.take() for _ in range(3)] == [1, 2, 3]


def test_a_released_id_rests_while_others_are_free():
    ids = PacketIds()
    ids.release(ids.take())
    assert ids.take() == 2


def test_after_the_last_id_comes_the_first_free_one():
    ids = PacketIds([1, 2, 65_535])
    assert ids.take() == 3


def test_ids_in_use_are_passed_over():
    ids = PacketIds(range(1, 65_535))
    assert ids.take() == 65_535
    ids.release(7)
    assert ids.take() == 7


def test_the_65_536th_id_is_refused():
    ids = PacketIds(range(1, 65_536))
    assert len(ids) == 65_535
    with pytest.raises(PacketIdsExhausted):
        ids.take()
