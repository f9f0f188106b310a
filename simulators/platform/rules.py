"""Every decision of the platform in one value; a wrong platform is the reference with one decision replaced.

`readings` names the choices that the rows of level READ leave.
"""

from dataclasses import dataclass, field

from simulators.platform.access import AccessRules
from simulators.platform.commands import COMMAND_STEPS, CommandRules, CommandStep
from simulators.platform.files import FileRules
from simulators.platform.keys import DOWNLOAD_STEPS, DownloadStep, KeyRules

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
