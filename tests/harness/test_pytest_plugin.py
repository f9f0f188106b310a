"""The pytest plugin, as a firmware team uses it: an example project is run by pytester."""

import sys
from pathlib import Path

import pytest

from harness.history.journal import read_journal
from harness.history.timeline import History

pytest_plugins = ["pytester"]

EXAMPLE = """
import pytest


@pytest.mark.requirement("DEV-08a")
def test_configuration_is_applied(virtual_device):
    virtual_device.boot()
    assert virtual_device.ask("configuration", {"sampling_rate": 5})["success"]
    assert virtual_device.ask("send_configuration")["configuration"] == {"sampling_rate": 5}


@pytest.mark.requirement("DEV-12a")
def test_firmware_is_installed(virtual_device, history):
    virtual_device.boot()
    stored = virtual_device.store(30_000)
    assert virtual_device.ask("download_firmware", {"file_name": stored.name})["sha256"] == stored.sha256
    assert len(list(history.now.downloads())) == 1
"""

PLATFORM = """
def test_command_is_accepted_and_a_key_dies(platform, clock, history):
    device = next(device for device in platform.devices if device.kind.value == "mqtt" and not device.allowed_commands)
    assert platform.send_command(device, "reboot").status == 200
    clock.advance(1800)
    assert history.now.events


def test_fleet_is_connected(fleet):
    assert fleet.connected == fleet.devices > 0
"""


@pytest.mark.slow
def test_firmware_team_s_tests_pass_in_ten_lines(pytester):
    pytester.makepyfile(EXAMPLE)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


@pytest.mark.slow
def test_platform_clock_and_fleet_are_there(pytester):
    pytester.makepyfile(PLATFORM)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)


@pytest.mark.slow
def test_history_of_a_red_test_is_kept(pytester):
    pytester.makepyfile(
        """
        def test_red(virtual_device):
            virtual_device.boot()
            assert virtual_device.ask("reboot")["success"] == "no"
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(failed=1)
    (kept,) = Path(pytester.path, "hil-histories").glob("*.jsonl")
    history = History(tuple(read_journal(kept)))
    assert any(seen.fact.topic.endswith("/control/reboot") for seen in history.packets("PUBLISH"))


@pytest.mark.slow
def test_device_of_a_device_file_is_the_board(pytester):
    device_file = pytester.path / "device.toml"
    device_file.write_text(
        f'''
        [device]
        vendor = "hil"
        model = "virtual device"
        firmware_version = "1"
        [device.run]
        exec = "{sys.executable} -m harness.cli device"
        '''
    )
    pytester.makepyfile(
        """
        def test_board(board):
            board.boot()
            assert board.ask("send_configuration")["success"]
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "--hil-device", "device.toml").assert_outcomes(passed=1)


def test_board_without_a_device_file_is_skipped(pytester):
    pytester.makepyfile("def test_board(board):\n    board.boot()\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(skipped=1)


@pytest.mark.parametrize("name", ["DEV-99", "DEV-0", "DEV"])
def test_requirement_that_the_catalogue_does_not_have_is_a_usage_error(pytester, name):
    pytester.makepyfile(f"import pytest\n\n\n@pytest.mark.requirement('{name}')\ndef test_it():\n    pass\n")
    assert pytester.runpytest_subprocess("-p", "no:cacheprovider").ret == pytest.ExitCode.USAGE_ERROR
