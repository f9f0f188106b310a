"""The error tree says whose fault it is, and a configuration error names file, table and key."""

import pytest

from harness import errors


@pytest.mark.parametrize(
    "error", [errors.BenchError, errors.LocalWireError, errors.ScenarioError, errors.JournalError, errors.TargetUnavailable]
)
def test_what_voids_a_run_is_a_harness_error(error):
    assert issubclass(error, errors.HarnessError)


@pytest.mark.parametrize("error", [errors.ResourceMissing, errors.DriverTimeout, errors.TargetUnavailable])
def test_equipment_trouble_is_a_bench_error(error):
    assert issubclass(error, errors.BenchError)


@pytest.mark.parametrize("error", [errors.ConfigurationError, errors.RemoteWireError])
def test_the_user_s_and_the_peer_s_faults_are_not_ours(error):
    assert not issubclass(error, errors.HarnessError)


@pytest.mark.parametrize(
    ("table", "key", "line"),
    [
        ("platform", "api_url", "t.toml: [platform] api_url: is missing"),
        ("platform", "", "t.toml: [platform]: is missing"),
        ("", "platform", "t.toml platform: is missing"),
        ("", "", "t.toml: is missing"),
    ],
)
def test_a_configuration_error_names_file_table_and_key(table, key, line):
    assert str(errors.ConfigurationError("t.toml", table, key, "is missing")) == line


def test_an_option_error_names_the_option_as_it_is_typed():
    error = errors.OptionError("--out", "'x' is not empty")
    assert isinstance(error, errors.ConfigurationError)
    assert str(error) == "command line --out: 'x' is not empty"


def test_a_wire_error_keeps_the_raw_bytes_and_names_the_statement():
    error = errors.RemoteWireError("reserved bits are set", raw=b"\x63\x00", statement="MQTT-3.6.1-1")
    assert str(error) == "reserved bits are set [MQTT-3.6.1-1]"
    assert (error.raw, error.problem) == (b"\x63\x00", "reserved bits are set")


def test_a_wire_error_without_a_statement_is_just_its_problem():
    assert str(errors.RemoteWireError("too long")) == "too long"
