"""The error tree: the type of an error says whose fault it is.

A broken promise of the platform or device under test is never an exception but a finding (`harness.checks`). What stands here is
everything else: our equipment failed, we were asked for something impossible, or a peer sent bytes that are no protocol.
"""

from dataclasses import dataclass


class HarnessError(Exception):
    """The run is void: never a verdict on the product under test."""


class BenchError(HarnessError):
    """Equipment trouble: a port, process, relay or server of the bench did not do its part."""


class ResourceMissing(BenchError):
    """A resource that the inventory names, or that a driver needs, does not exist on this machine."""


class DriverTimeout(BenchError):
    """A driver waited for its equipment until the deadline and nothing came."""


class TargetUnavailable(BenchError):
    """The system under test is unreachable, refuses connections, or bans us (429): nothing can be said about its promises."""


class LocalWireError(HarnessError):
    """We were about to send something that the protocol forbids: our own bug, found before it left."""


class ScenarioError(HarnessError):
    """A scenario was written against the rules of the runner."""


class JournalError(HarnessError):
    """A recorded history cannot be read."""


@dataclass
class ConfigurationError(Exception):
    """The user's input is wrong; the command line prints one line and exits with status 2.

    `file` is the path as the user gave it, `table` and `key` the place in it ("" when the file as a whole is meant).
    """

    file: str
    table: str
    key: str
    problem: str

    def __str__(self) -> str:
        table = f": [{self.table}]" if self.table else ""
        key = f" {self.key}" if self.key else ""
        return f"{self.file}{table}{key}: {self.problem}"


class OptionError(ConfigurationError):
    """An option of the command line, or an argument, is wrong. `option` is its name as `--help` shows it."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__("command line", "", option, problem)


class RemoteWireError(Exception):
    """The peer sent what the protocol forbids. Recorded as an event with the raw bytes, then judged; never a crash of ours.

    `raw` holds the offending bytes as far as they were read; `statement` the normative statement that was broken, if one names it.
    """

    def __init__(self, problem: str, *, raw: bytes = b"", statement: str = "") -> None:
        super().__init__(f"{problem} [{statement}]" if statement else problem)
        self.problem = problem
        self.raw = raw
        self.statement = statement
