"""What a run's exit status says."""

import pytest

from scenarios.load.outcome import judge
from scenarios.load.thresholds import RequestLimits, Thresholds
from simulators.fleet.judgement import Circumstances
from simulators.fleet.totals import Totals

GREEN = Totals(sent=10, accepted=10, delivered_once=10)
FACTS = {"devices": 5, "connects": 5, "never_connected": 0, "connected_at_end": 5}
NONE = Thresholds()


def test_a_run_in_which_everything_arrived_once_is_green():
    judgement = judge(GREEN, {}, Circumstances(FACTS), NONE).judgement
    assert (judgement.exit_status, judgement.breaks, judgement.voids) == (0, (), ())


@pytest.mark.parametrize(
    "totals",
    [
        Totals(sent=10, accepted=10, delivered_once=9, lost=1),
        Totals(sent=10, accepted=10, delivered_once=9, duplicated=1),
        Totals(sent=10, accepted=10, delivered_once=10, unexpected=1),
    ],
)
def test_one_command_in_a_red_column_is_red(totals):
    assert judge(totals, {}, Circumstances(FACTS), NONE).judgement.exit_status == 1


def test_unknown_and_refused_commands_are_not_red_by_themselves():
    totals = Totals(sent=12, accepted=10, delivered_once=10, refused=1, unknown=1)
    assert judge(totals, {}, Circumstances(FACTS), NONE).judgement.exit_status == 0


def test_a_wrong_image_is_red():
    assert judge(GREEN, {}, Circumstances(FACTS | {"wrong_images": 1}), NONE).judgement.exit_status == 1


def test_a_key_that_gave_the_whole_file_twice_is_red():
    totals = Totals(sent=1, accepted=1, delivered_once=1, keys={"used": 1, "used_twice": 1})
    assert judge(totals, {}, Circumstances(FACTS), NONE).judgement.breaks == ("download keys that gave the whole file more than once: 1",)


def test_devices_that_have_all_left_by_themselves_need_no_target_any_more():
    assert judge(GREEN, {}, Circumstances(FACTS | {"left": 5, "connected_at_end": 0}), NONE).judgement.exit_status == 0


def test_a_broken_threshold_is_red():
    limits = Thresholds(requests={"delivery": RequestLimits(count_min=1)})
    assert judge(GREEN, {}, Circumstances(FACTS), limits).judgement.exit_status == 1


@pytest.mark.parametrize(
    ("totals", "facts", "options"),
    [
        (GREEN, FACTS, {"dead_workers": ["w"]}),
        (GREEN, FACTS, {"is_cut_short": True}),
        (GREEN, FACTS, {"mishaps": ["the hook `restart` ended with status 1: "]}),
        (GREEN, FACTS | {"never_connected": 1}, {}),
        (GREEN, FACTS | {"without_device": 1}, {}),
        (GREEN, FACTS | {"connected_at_end": 0}, {}),
        (GREEN, {}, {}),
        (Totals(), FACTS, {}),
        (Totals(sent=10, unknown=10), FACTS, {}),
        (Totals(sent=10, refused=10), FACTS, {}),
        (Totals(sent=11, accepted=10, delivered_once=10), FACTS, {}),
    ],
)
def test_a_run_that_proves_nothing_is_void(totals, facts, options):
    assert judge(totals, {}, Circumstances(facts), NONE, **options).judgement.exit_status == 3


def test_a_crash_of_our_own_is_void():
    judgement = judge(GREEN, {}, Circumstances(FACTS, crashes={"TypeError: x": 3}), NONE).judgement
    assert (judgement.exit_status, judgement.voids) == (3, ("our own program crashed (3 ×): TypeError: x",))


def test_devices_that_could_not_connect_say_why():
    judgement = judge(GREEN, {}, Circumstances(FACTS | {"never_connected": 1}, last_failure="refused"), NONE).judgement
    assert judgement.voids == ("devices that were never connected: 1 (refused)",)


def test_red_outweighs_void_and_both_are_said():
    judgement = judge(Totals(sent=1, accepted=1, lost=1), {}, Circumstances(FACTS), NONE, dead_workers=["w"]).judgement
    assert judgement.exit_status == 1
    assert judgement.breaks == ("1 lost",)
    assert judgement.voids == ("worker w died; its commands are unknown",)
