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
from harness.wire.files import FileType, is_plain_name

Workload: TypeAlias = Generator[Any, Any, None]
Subject: TypeAlias = Literal["platform", "device"]

COMMANDABLE = tuple(kind for kind in DeviceKind if kind.takes_commands)

_LIST_IN_WORDS = {
    "empty": "an empty list of allowed_commands",
    "restricted": "a restricted list of allowed_commands",
    "loose": "a list of allowed_commands with blanks or empty entries",
}


@dataclass(frozen=True, slots=True)
class DeviceNeed:
    """Which device of the target a role can be cast with.

    `commands` is "empty" (all allowed), "restricted" (a non-empty list), "loose" (one with blanks around names, or empty entries) or "any".
    `beside` names a role whose project it must share, `apart_from` one whose project it must not share.
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
            words.append(_LIST_IN_WORDS[self.commands])
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

    The files are those of the first role's project. `firmware_bytes_min` is for slow transfers: a firmware of that size must be stored
    there; `unusual_file_name` asks for a file there whose name no header can hold as it is.
    """

    devices: dict[str, DeviceNeed] = field(default_factory=lambda: {"device": DeviceNeed()})
    files: dict[str, FileType] = field(default_factory=dict)
    api_keys: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    test_clock: bool = False
    firmware_bytes_min: int = 0
    unusual_file_name: bool = False


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
    devices = _cast_devices(platform, list(needs.devices.items()), {}, _homes(platform, needs), free)
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


def _homes(platform: Platform, needs: Needs) -> set[str]:
    """The projects that store what is asked for: files of each type, a firmware of that size, one with an unusual name."""
    return {project.id for project in platform.projects if _stores(platform, project.id, needs)}


def _stores(platform: Platform, project_id: str, needs: Needs) -> bool:
    stored = [file for file in platform.files if file.project_id == project_id]
    types = [file.type for file in stored]
    firmware = [file.size_bytes for file in stored if file.type is FileType.FIRMWARE]
    asked_for = list(needs.files.values())
    return (
        all(types.count(file_type) >= asked_for.count(file_type) for file_type in asked_for)
        and max(firmware, default=0) >= needs.firmware_bytes_min
        and (not needs.unusual_file_name or not all(is_plain_name(file.name) for file in stored))
    )


def _cast_devices(
    platform: Platform,
    open_roles: list[tuple[str, DeviceNeed]],
    cast: dict[str, TargetDevice],
    homes: set[str],
    free: Callable[[TargetDevice], bool],
) -> dict[str, TargetDevice] | None:
    """`homes` are the projects that the first role may be of: its project's files are used."""
    if not open_roles:
        return cast
    (role, need), *others = open_roles
    for device in platform.devices:
        is_homeless = not cast and device.project_id not in homes
        if is_homeless or device in cast.values() or not free(device) or need.refuses(device, cast):
            continue
        whole = _cast_devices(platform, others, cast | {role: device}, homes, free)
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
        roles += ["a file with an unusual name there"] if needs.unusual_file_name else []
        return "the target file does not offer together: " + "; ".join(roles)
    return None
