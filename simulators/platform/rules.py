"""Every decision of the platform in one value; a wrong platform is the reference with one decision replaced.

`readings` names the choices that the rows of level READ leave, `personalities` the wrong ones. Both are told in the words below: a `Change`
is the rules with something else in one place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

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

# --- words in which other platforms are told -------------------------------------------------------------------------------------------

Change: TypeAlias = Callable[[Rules], Rules]
Step = TypeVar("Step", CommandStep, DownloadStep)


def same_rules(rules: Rules) -> Rules:
    """The reference's decisions."""
    return rules


def commands_ruled(**changes: Any) -> Change:
    """Rules with these decisions about commands replaced."""
    return lambda rules: replace(rules, commands=replace(rules.commands, **changes))


def keys_ruled(**changes: Any) -> Change:
    """Rules with these decisions about keys replaced."""
    return lambda rules: replace(rules, keys=replace(rules.keys, **changes))


def access_ruled(**changes: Any) -> Change:
    """Rules with these decisions about access replaced."""
    return lambda rules: replace(rules, access=replace(rules.access, **changes))


def files_ruled(**changes: Any) -> Change:
    """Rules with these decisions about files replaced."""
    return lambda rules: replace(rules, files=replace(rules.files, **changes))


def http_ruled(**changes: Any) -> Change:
    """Rules with these decisions about answers replaced."""
    return lambda rules: replace(rules, http=replace(rules.http, **changes))


def command_steps_ruled(changes: Mapping[CommandStep, tuple[CommandStep, ...]]) -> Change:
    """Rules in whose admission of commands each of these steps gives way to others, or to none."""
    return lambda rules: replace(rules, command_steps=_replaced(rules.command_steps, changes))


def download_steps_ruled(changes: Mapping[DownloadStep, tuple[DownloadStep, ...]]) -> Change:
    """Rules in whose judgement of downloads each of these steps gives way to others, or to none."""
    return lambda rules: replace(rules, download_steps=_replaced(rules.download_steps, changes))


def _replaced(steps: tuple[Step, ...], changes: Mapping[Step, tuple[Step, ...]]) -> tuple[Step, ...]:
    assert changes.keys() <= set(steps)
    return tuple(new for step in steps for new in changes.get(step, (step,)))
