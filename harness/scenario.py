"""A scenario: what it needs, which checks it serves, and its workload.

The workload is a generator. It yields operations (`harness.operations`), is sent their outcomes, and never awaits: the same scenario
runs on every bench.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from harness.bench.target import Platform, TargetDevice, TargetFile
from harness.errors import ScenarioError
from harness.wire.commands import DeviceKind, command_names
from harness.wire.files import FileType

Workload: TypeAlias = Generator[Any, Any, None]
Subject: TypeAlias = Literal["platform", "device"]

COMMANDABLE = tuple(kind for kind in DeviceKind if kind.takes_commands)


_LISTS = {
    "empty": "an empty list of allowed_commands",
    "restricted": "a restricted list of allowed_commands",
    "loose": "a list of allowed_commands with blanks or empty entries",
}


@dataclass(frozen=True, slots=True)
class DeviceNeed:
    """Which device of the target a role can be cast with.

    `commands` is "empty" (all allowed), "restricted" (a non-empty list), "loose" (one with blanks around names, or empty entries) or "any";
    `beside` names a role whose project it must share,
    `apart_from` one whose project it must not share.
    """

    kinds: tuple[DeviceKind, ...] = (DeviceKind.MQTT,)
    commands: str = "empty"
    beside: str = ""
    apart_from: str = ""
    disposable: bool = False

    def refuses(self, device: TargetDevice, cast: dict[str, TargetDevice]) -> bool:
        """Whether this device cannot play the role, given who plays the others."""
        restricted = bool(command_names(device.allowed_commands))
        entries = [entry for entry in device.allowed_commands.split(";") if entry.strip()]
        return (
            device.kind not in self.kinds
            or (self.commands == "empty" and restricted)
            or (self.commands in ("restricted", "loose") and not restricted)
            or (self.commands == "loose" and ";".join(map(str.strip, entries)).strip(";") == device.allowed_commands)
            or (self.disposable and not device.disposable)
            or (self.beside in cast and cast[self.beside].project_id != device.project_id)
            or (self.apart_from in cast and cast[self.apart_from].project_id == device.project_id)
        )

    def __str__(self) -> str:
        kinds = " or ".join(kind.value for kind in self.kinds)
        words = [f"kind {kinds}"]
        if self.commands != "any":
            words.append(_LISTS[self.commands])
        if self.disposable:
            words.append("disposable")
        if self.beside:
            words.append(f"in the project of {self.beside!r}")
        if self.apart_from:
            words.append(f"in another project than {self.apart_from!r}")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a scenario needs of the target file. `devices` and `files` map a role to what may play it, in casting order.

    `firmware_bytes_min` is for slow transfers: a firmware of that size must be stored in the devices' projects.
    """

    devices: dict[str, DeviceNeed] = field(default_factory=lambda: {"device": DeviceNeed()})
    files: dict[str, FileType] = field(default_factory=dict)
    api_keys: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    test_clock: bool = False
    firmware_bytes_min: int = 0


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays what in one run of a scenario."""

    platform: Platform
    devices: dict[str, TargetDevice]
    files: dict[str, TargetFile]
    seed: int = 0  # of the run: for workloads that draw

    @property
    def device(self) -> TargetDevice:
        """The device of a scenario with one device."""
        return self.devices["device"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named workload. `alone`: nothing else may run beside it; `duration_s`: about how long it takes, for `--plan`.

    `subject` says whom it questions: "platform" or "device".
    """

    name: str
    subject: Subject
    title: str
    serves: tuple[str, ...]
    needs: Any
    workload: Callable[[Any], Workload]
    alone: bool = False
    full_only: bool = False
    duration_s: float = 1.0


_registered: dict[str, Scenario] = {}


def scenario(
    *serves: str,
    needs: Any = None,
    subject: Subject = "platform",
    alone: bool = False,
    full_only: bool = False,
    duration_s: float = 1.0,
) -> Callable[[Callable[[Any], Workload]], Callable[[Any], Workload]]:
    """Registers a workload under its own name. `serves` names the checks for which it gives evidence.

    Raises ScenarioError for a name that is taken or a missing docstring.
    """

    def register(workload: Callable[[Any], Workload]) -> Callable[[Any], Workload]:
        name = workload.__name__
        title = (workload.__doc__ or "").strip().split("\n")[0].rstrip(".")
        if name in _registered:
            raise ScenarioError(f"two scenarios are named {name!r}")
        if not title or not serves:
            raise ScenarioError(f"scenario {name!r} has no docstring or serves no check")
        _registered[name] = Scenario(
            name, subject, title, serves, Needs() if needs is None else needs, workload, alone, full_only, duration_s
        )
        return workload

    return register


def all_scenarios(subject: Subject) -> MappingProxyType[str, Scenario]:
    """Every scenario of this installation that questions `subject` (entry point group `hil.scenarios`), by name."""
    for entry in entry_points(group="hil.scenarios"):
        entry.load()
    return MappingProxyType({name: found for name, found in _registered.items() if found.subject == subject})


def cast_roles(platform: Platform, needs: Needs, *, free: Callable[[TargetDevice], bool] = lambda device: True) -> Cast | None:
    """The first way to fill all roles with different devices that are free; None where there is none."""
    homes = _projects_with_large_files(platform, needs.firmware_bytes_min)
    devices = _cast_devices(platform, list(needs.devices.items()), {}, lambda device: device.project_id in homes and free(device))
    if devices is None:
        return None
    files: dict[str, TargetFile] = {}
    home = next(iter(devices.values())).project_id if devices else None
    for role, file_type in needs.files.items():
        candidates = (
            file for file in platform.files if file.type is file_type and home in (None, file.project_id) and file not in files.values()
        )
        found = next(candidates, None)
        if found is None:
            return None
        files[role] = found
    return Cast(platform, devices, files)


def _projects_with_large_files(platform: Platform, size_bytes_min: int) -> set[str]:
    """The projects that store a firmware of at least that size; all of them where none is asked for."""
    if not size_bytes_min:
        return {project.id for project in platform.projects}
    firmware = (file for file in platform.files if file.type is FileType.FIRMWARE)
    return {file.project_id for file in firmware if file.size_bytes >= size_bytes_min}


def _cast_devices(
    platform: Platform,
    open_roles: list[tuple[str, DeviceNeed]],
    cast: dict[str, TargetDevice],
    free: Callable[[TargetDevice], bool],
) -> dict[str, TargetDevice] | None:
    if not open_roles:
        return cast
    (role, need), *others = open_roles
    for device in platform.devices:
        if device in cast.values() or not free(device) or need.refuses(device, cast):
            continue
        whole = _cast_devices(platform, others, cast | {role: device}, free)
        if whole is not None:
            return whole
    return None


def rule_out(platform: Platform, needs: Needs) -> str | None:
    """Why the target file cannot serve these needs (the line that would change it), or None where it can."""
    for name in needs.api_keys:
        if getattr(platform.api_keys, name) is None:
            return f"the target file has no [platform.api_keys] {name}"
    for name in needs.hooks:
        if getattr(platform.hooks, name) is None:
            return f"the target file has no [platform.hooks] {name}"
    if needs.test_clock and platform.clock is None:
        return "the target file has no [platform.clock] advance_url"
    if cast_roles(platform, needs) is None:
        roles = [f"a device ({need})" for need in needs.devices.values()]
        roles += [f"a {file_type.value} file in the device's project" for file_type in needs.files.values()]
        roles += [f"a firmware of at least {needs.firmware_bytes_min} bytes there"] if needs.firmware_bytes_min else []
        return "the target file does not offer together: " + "; ".join(roles)
    return None
