"""The plan: what travels in environment variables, and what is refused before anything starts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench.target import ApiKeys, Hooks, Limits, Platform, Project, TargetDevice, TargetFile
from harness.errors import ConfigurationError
from harness.wire.commands import DeviceKind
from harness.wire.files import FileType
from scenarios.load.plan import SCENARIOS, LoadPlan, able_devices, check, paced, plan_from
from scenarios.load.shapes import SHAPES

PLAN = LoadPlan(target=Path("target.toml"), users=2)


def platform(**changes):
    devices = tuple(TargetDevice(id=f"dev-{number}", project_id="p", token="t", kind=DeviceKind.MQTT) for number in range(3))
    found = Platform(
        name="x",
        api_url="http://127.0.0.1:1",
        mqtt_url="mqtt://127.0.0.1:1",
        api_keys=ApiKeys(full="k"),
        projects=(Project(id="p"),),
        devices=devices,
        files=(TargetFile(project_id="p", type=FileType.FIRMWARE, name="a.bin", path=Path("a.bin")),),
    )
    return found.model_copy(update=changes)


@given(
    st.builds(
        LoadPlan,
        target=st.just(Path("/tmp/target.toml")),
        scenario=st.sampled_from(list(SCENARIOS)),
        users=st.integers(1, 10**6),
        commands_per_s=st.floats(0, 10**4),
        shape=st.sampled_from(list(SHAPES)),
        rate=st.floats(0.1, 1000),
        seed=st.integers(0, 2**31),
        mix=st.sampled_from(["", "steady=1", "delivers-twice=1,flaky=3"]),
    )
)
def test_a_plan_comes_back_from_its_environment_variables(plan):
    assert plan_from(plan.to_environment(), plan.scenario) == plan


def test_a_worker_takes_over_what_the_master_says_and_keeps_its_own_files():
    own = LoadPlan(target=Path("/here/target.toml"), out="/here", users=1)
    agreed = own.agreed(replace(PLAN, seed=7, settle_s=5.0, out="/there").shared())
    assert (agreed.target, agreed.out, agreed.seed, agreed.settle_s, agreed.users) == (own.target, "/here", 7, 5.0, 2)


@pytest.mark.parametrize(("scenario", "connections"), [("commands", 102), ("mixed", 202)])
def test_a_device_that_downloads_needs_two_connections(scenario, connections):
    assert replace(PLAN, scenario=scenario, users=100, operators=2).connections() == connections


def test_a_missing_target_is_named():
    with pytest.raises(ConfigurationError, match="HIL_LOAD_TARGET"):
        plan_from({}, "mixed")


def test_a_variable_that_is_no_number_is_named():
    with pytest.raises(ConfigurationError, match="HIL_LOAD_USERS: 'many' is no number"):
        plan_from({"HIL_LOAD_TARGET": "t", "HIL_LOAD_USERS": "many"}, "mixed")


def test_the_devices_of_the_devices_file_are_taken_first():
    assert [device.id for device in able_devices(platform().devices)] == ["dev-2", "dev-1", "dev-0"]


def test_restricted_devices_and_those_without_mqtt_are_left_out():
    restricted = TargetDevice(id="r", project_id="p", token="t", kind=DeviceKind.MQTT, allowed_commands="reboot")
    http = TargetDevice(id="h", project_id="p", token="t", kind=DeviceKind.HTTP)
    assert able_devices((restricted, http)) == []


def test_a_plan_that_the_target_can_serve_is_accepted():
    check(PLAN, platform())


@pytest.mark.parametrize(
    ("plan", "changes", "problem"),
    [
        (replace(PLAN, users=4), {}, "3 devices take all commands, not 4"),
        (replace(PLAN, mix="nonsense=1"), {}, "nonsense"),
        (replace(PLAN, personality="nobody"), {}, "nobody"),
        (replace(PLAN, shape="round"), {}, "round"),
        (replace(PLAN, shape="reconnect-storm"), {}, "restart"),
        (PLAN, {"files": ()}, "names no firmware"),
    ],
)
def test_a_plan_that_the_target_cannot_serve_is_refused_with_the_reason(plan, changes, problem):
    with pytest.raises(ConfigurationError, match=problem):
        check(plan, platform(**changes))


def test_a_storm_needs_the_restart_hook_and_is_content_with_it():
    check(replace(PLAN, shape="reconnect-storm"), platform(hooks=Hooks(restart="true")))


def test_the_target_sets_the_pace():
    slowed = paced(replace(PLAN, rate=50.0), platform(limits=Limits(requests_per_s=20, connects_per_min=60)))
    assert (slowed.command_rate_per_s(), slowed.rate) == (20, 1.0)


def test_a_personality_is_put_on_every_behaviour():
    mix = replace(PLAN, personality="delivers-twice").devices_mix()
    assert {behaviour.personality.name for behaviour, _ in mix.parts} == {"delivers-twice"}
    assert {behaviour.name for behaviour, _ in mix.parts} == {"steady", "firmware", "cellular", "flaky"}


def test_the_command_never_imports_locust():
    """Importing Locust patches the sockets of the whole process."""
    code = "import sys, scenarios.load.cli; sys.exit(any(name.split('.')[0] in ('locust', 'gevent') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_locust_there_is_one_clear_line(tmp_path):
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'locust' else find(name, *rest)\n"
        "from harness.cli import run\n"
        "sys.exit(run(['load', 'mixed']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "hil[load]: make install-dev brings it" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
