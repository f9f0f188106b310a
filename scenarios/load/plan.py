"""What a load run does, as one value that travels in environment variables, so that plain `locust -f …` can be told the same.

Each field is the variable `HIL_LOAD_<FIELD>`; only the target file has no default. What workers must agree about is sent to them by the
master, so that a worker on another machine needs the target file and nothing else.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness.bench.target import Platform, TargetDevice
from harness.errors import ConfigurationError, OptionError
from harness.wire.commands import CONFIGURATION, DOWNLOAD_FIRMWARE, permits
from harness.wire.files import FileType
from scenarios.load.shapes import SHAPES, STEADY
from simulators.device.personalities import PERSONALITIES
from simulators.fleet.behaviour import Mix, parse_mix

PREFIX = "HIL_LOAD_"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of load: which devices there are, and how much they are asked."""

    name: str
    mix: str
    commands_per_s: float


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario("commands", "steady=1", 100.0),
        Scenario("devices", "flaky=1", 20.0),
        Scenario("downloads", "cellular=3,slow=1", 20.0),
        Scenario("mixed", "steady=60,firmware=20,cellular=10,flaky=10", 50.0),
    )
}


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """One run. `users` counts devices; `commands_per_s` is of all operators together; a `seed` of 0 is drawn."""

    target: Path
    scenario: str = "mixed"
    users: int = 100
    operators: int = 4
    commands_per_s: float = 0.0  # 0: the scenario's own
    mix: str = ""
    personality: str = ""  # of all devices, whatever else they do
    shape: str = STEADY
    run_time_s: float = 0.0  # 0: until it is ended
    rate: float = 50.0  # users started a second
    settle_s: float = 60.0
    late_after_s: float = 10.0
    keep_alive_s: int = 60
    seed: int = 0
    thresholds: str = ""
    out: str = ""

    def to_environment(self) -> dict[str, str]:
        """The variables that say this plan."""
        return {PREFIX + name.upper(): str(value) for name, value in asdict(self).items()}

    def shared(self) -> dict[str, Any]:
        """What all workers must agree about."""
        local = ("target", "thresholds", "out")
        return {name: value for name, value in asdict(self).items() if name not in local}

    def agreed(self, shared: Mapping[str, Any]) -> "LoadPlan":
        """This plan with what the master has said. Raises TypeError for a field that is none."""
        return replace(self, **shared)

    def devices_mix(self) -> Mix:
        """Raises ValueError for a mix or a personality that is none."""
        mix = parse_mix(self.mix or SCENARIOS[self.scenario].mix)
        if not self.personality:
            return mix
        if self.personality not in PERSONALITIES:
            raise ValueError(f"{self.personality!r} is no personality: {', '.join(PERSONALITIES)}")
        personality = PERSONALITIES[self.personality]
        return Mix(tuple((replace(behaviour, personality=personality), weight) for behaviour, weight in mix.parts))

    def connections(self) -> int:
        """How many there may be at once: those of the devices, and one for each operator."""
        return self.devices_mix().connections(self.users) + self.operators

    def command_rate_per_s(self) -> float:
        return self.commands_per_s or SCENARIOS[self.scenario].commands_per_s


def plan_from(environment: Mapping[str, str], scenario: str) -> LoadPlan:
    """The plan that environment variables describe. Raises ConfigurationError that names the variable."""
    values: dict[str, Any] = {"scenario": scenario}
    for field in fields(LoadPlan):
        name = PREFIX + field.name.upper()
        if field.name == "scenario" or name not in environment:
            continue
        kind = {"target": Path, "users": int, "operators": int, "keep_alive_s": int, "seed": int}
        read = kind.get(field.name, float if isinstance(field.default, float) else str)
        try:
            values[field.name] = read(environment[name])
        except ValueError as error:
            raise ConfigurationError(name, "", "", f"{environment[name]!r} is no number") from error
    if "target" not in values:
        raise ConfigurationError(PREFIX + "TARGET", "", "", "is not set; it names the target file")
    return LoadPlan(**values)


def paced(plan: LoadPlan, platform: Platform) -> LoadPlan:
    """The plan slowed down to what the target file says that the target tolerates."""
    limits = platform.limits
    commands_per_s = min(plan.command_rate_per_s(), limits.requests_per_s or float("inf"))
    rate = min(plan.rate, (limits.connects_per_min or float("inf")) / 60)
    return replace(plan, commands_per_s=commands_per_s, rate=rate)


def check(plan: LoadPlan, platform: Platform) -> None:
    """Raises ConfigurationError where the target cannot serve the plan."""
    try:
        mix = plan.devices_mix()
    except ValueError as error:
        raise OptionError("--mix, --personality", str(error)) from error
    if plan.shape not in SHAPES:
        raise OptionError("--shape", f"{plan.shape!r} is no shape: {', '.join(SHAPES)}")
    if SHAPES[plan.shape].restarts_at is not None and platform.hooks.restart is None:
        raise ConfigurationError(str(plan.target), "platform.hooks", "restart", f"is missing; the shape {plan.shape!r} needs it")
    found = len(able_devices(platform.devices))
    if found < plan.users:
        problem = f"{found} devices take all commands, not {plan.users}; `hil platform --provision N` makes more"
        raise ConfigurationError(str(plan.target), "platform", "devices", problem)
    if mix.is_downloading and not any(file.type is FileType.FIRMWARE for file in platform.files):
        raise ConfigurationError(str(plan.target), "platform", "files", "names no firmware, which the mix wants to download")


def able_devices(devices: Iterable[TargetDevice]) -> list[TargetDevice]:
    """The devices that take every command of a load run; those of a devices file first, as the others are for certification."""
    needed = (CONFIGURATION, DOWNLOAD_FIRMWARE)
    able = [
        device for device in devices if device.kind.takes_commands and all(permits(device.allowed_commands, command) for command in needed)
    ]
    return able[::-1]
