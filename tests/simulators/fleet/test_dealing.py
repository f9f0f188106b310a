"""How devices are dealt: to the shards of a run, and with which behaviour."""

import pytest

from harness.entropy import SeededEntropy
from simulators.fleet.admission import shard_of
from simulators.fleet.behaviour import BEHAVIOURS, Mix, parse_mix
from simulators.fleet.cli import parse_shard


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_disjoint_and_cover_all(count):
    items = list(range(20))
    parts = [list(shard_of(items, index, count)) for index in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items


@pytest.mark.parametrize("text", ["0/1", "2/1", "a/b", "1", ""])
def test_a_wrong_shard_is_refused(text):
    with pytest.raises(ValueError, match="shard"):
        parse_shard(text)


def test_a_mix_is_dealt_by_weight_and_the_same_for_the_same_seed():
    def names(seed):
        deck = parse_mix("firmware=70,slow=25,flaky=5").deal(SeededEntropy(seed))
        return [next(deck).name for _ in range(1000)]

    assert names(1) == names(1)
    assert names(1) != names(2)
    assert 600 < names(1).count("firmware") < 800


def test_a_mix_takes_personalities_and_a_link_for_all():
    mix = parse_mix("delivers-twice=1,steady=9", link="nb-iot")
    assert [behaviour.bytes_per_s for behaviour, _ in mix.parts] == [3000.0, 3000.0]
    assert parse_mix("") == Mix(((BEHAVIOURS["steady"], 1),))


@pytest.mark.parametrize("text", ["nonsense=1", "steady=0", "steady=x", "steady=1001"])
def test_a_wrong_mix_is_refused(text):
    with pytest.raises(ValueError, match=r"nonsense|weight"):
        parse_mix(text)
