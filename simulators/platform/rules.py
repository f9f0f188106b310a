"""Every decision of the platform in one value; a wrong platform is the reference with one decision replaced.

The readings of requirements.md (rows of level READ) stand here by their ids, so that a target can be set up to read a row otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from simulators.platform.access import AccessRules
from simulators.platform.commands import COMMAND_STEPS, CommandRules, CommandStep
from simulators.platform.files import FileRules
from simulators.platform.keys import DOWNLOAD_STEPS, DownloadStep, KeyRules, UsePolicy

OCTET_STREAM = "application/octet-stream"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class HttpRules:
    """How answers are dressed."""

    download_error_type: str = OCTET_STREAM  # DLD-08: what the contract says
    announces_challenge: bool = True  # DLD-15
    head_status: int = 200  # DLD-10: 405 is the other reading
    unavailable_status: int = 503  # CMD-31


@dataclass(frozen=True, slots=True)
class Rules:
    access: AccessRules = field(default_factory=AccessRules)
    commands: CommandRules = field(default_factory=CommandRules)
    command_steps: tuple[CommandStep, ...] = COMMAND_STEPS
    keys: KeyRules = field(default_factory=KeyRules)
    download_steps: tuple[DownloadStep, ...] = DOWNLOAD_STEPS
    files: FileRules = field(default_factory=FileRules)
    http: HttpRules = field(default_factory=HttpRules)

    def declared(self) -> dict[str, str]:
        """What a target file says of this platform under `[platform.declares]`."""
        return {"KEY-08": self.keys.use_policy.value}


REFERENCE = Rules()

READINGS: dict[
    str, dict[str, Callable[[Rules], Rules]]
] = {  # requirement id -> the words of its readings, ours first -> the rules under that reading
    "KEY-08": {
        "first-use": lambda rules: replace(rules, keys=replace(rules.keys, use_policy=UsePolicy.FIRST_USE)),
        "complete-delivery": lambda rules: replace(rules, keys=replace(rules.keys, use_policy=UsePolicy.COMPLETE_DELIVERY)),
    },
    "DLD-08": {
        "octet-stream": lambda rules: replace(rules, http=replace(rules.http, download_error_type=OCTET_STREAM)),
        "json": lambda rules: replace(rules, http=replace(rules.http, download_error_type=JSON)),
    },
    "DLD-10": {
        "head": lambda rules: replace(rules, http=replace(rules.http, head_status=200)),
        "405": lambda rules: replace(rules, http=replace(rules.http, head_status=405)),
    },
    "LST-10": {
        "empty": lambda rules: replace(rules, files=replace(rules.files, foreign_project_status=200)),
        "404": lambda rules: replace(rules, files=replace(rules.files, foreign_project_status=404)),
    },
}


def with_reading(rules: Rules, requirement: str, reading: str) -> Rules:
    """The rules with one READ row read as `reading`. Raises ValueError, naming the choices, for an unknown row or reading."""
    readings = READINGS.get(requirement)
    if readings is None:
        raise ValueError(f"{requirement!r} has no choice of readings; there is {', '.join(READINGS)}")
    if reading not in readings:
        raise ValueError(f"{requirement} is read as {' or '.join(readings)}, not {reading!r}")
    return readings[reading](rules)
