"""How far a run is: a bar for each family on a terminal, plain lines elsewhere."""

import io
from dataclasses import replace

from rich.console import Console

from harness.runner import Plan
from harness.scenario import Needs, Scenario
from scenarios.certify.progress import progress_of

SCENARIOS = tuple(
    Scenario(name, "platform", f"Question {name}", (check,), Needs(), lambda cast: iter(()))
    for name, check in (("a", "key_works_once"), ("b", "well_formed_command_is_accepted"), ("c", "key_is_bound_to_its_device"))
)


def shown(*, terminal):
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=120)
    with progress_of(Plan((), SCENARIOS), console) as ended:
        ended(SCENARIOS[0], "")
        ended(SCENARIOS[1], "no connection to [nowhere]")
        ended(SCENARIOS[2], "")
    return output.getvalue()


def test_elsewhere_each_scenario_ends_with_a_plain_line_that_counts_its_family():
    assert shown(terminal=False).splitlines() == [
        "[  1/3] Download keys 1/2: Question a",
        "[  2/3] Commands 1/1: Question b  ! no connection to [nowhere]",
        "[  3/3] Download keys 2/2: Question c",
    ]


def test_on_a_terminal_there_is_a_bar_for_each_family_and_trouble_is_told():
    output = shown(terminal=True)
    for words in ("Commands", "Download keys", "2/2", "1/1", "no connection to [nowhere]"):
        assert words in output


def test_a_long_title_leaves_the_bar_and_the_count_on_a_narrow_terminal():
    output = io.StringIO()
    wordy = replace(SCENARIOS[0], title="A question " + "that goes on and on " * 20)
    with progress_of(Plan((), (wordy,)), Console(file=output, force_terminal=True, width=80)) as ended:
        ended(wordy, "")
    assert any("━━━" in line and "1/1" in line and "0:00:0" in line for line in output.getvalue().splitlines())
