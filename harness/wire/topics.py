"""Control and result topics of a device. Source: CMD-02, CMD-18, CMD-27."""

from dataclasses import dataclass
from typing import Literal

COMMAND_NAME_BYTES_MAX = 64  # CMD-18 (H)


@dataclass(frozen=True, slots=True)
class ControlTopic:
    """A control topic or the result topic below it, taken apart."""

    device_id: str
    command: str
    role: Literal["control", "result"]


def control_topic(device_id: str, command: str) -> str:
    """Where a command is published: `{device_id}/control/{command}`."""
    return f"{device_id}/control/{command}"


def result_topic(device_id: str, command: str) -> str:
    """Where a device may answer: `{device_id}/control/{command}/result`."""
    return f"{control_topic(device_id, command)}/result"


def control_filter(device_id: str) -> str:
    """The filter that matches every control topic of one device, and none of its result topics."""
    return control_topic(device_id, "+")


def is_of_device(topic: str, device_id: str) -> bool:
    """Whether a topic, or a filter, is the device's own: its plain `{device_id}`, or below it. Source: CMD-23, DEV-01."""
    return topic == device_id or topic.startswith(f"{device_id}/")


def parse_control_topic(topic: str) -> ControlTopic | None:
    """What kind of control topic this is; None where it is neither `…/control/{command}` nor its result topic."""
    match topic.split("/"):
        case [device_id, "control", command] if device_id and command:
            return ControlTopic(device_id, command, "control")
        case [device_id, "control", command, "result"] if device_id and command:
            return ControlTopic(device_id, command, "result")
        case _:
            return None


def command_name_problem(command: str) -> str | None:
    """Why a name cannot be a level of a topic, or None where it can. Source: CMD-18, M 4.7.1, M 1.5.3."""
    if not command:
        return "the name is empty"
    for character in "/+#":
        if character in command:
            return f"the name holds {character!r}"
    if command.startswith("$"):
        return "the name starts with '$'"
    if any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in command):
        return "the name holds a control character"
    if any(0xD800 <= ord(character) < 0xE000 for character in command):
        return "the name is not valid Unicode"
    size_bytes = len(command.encode())
    if size_bytes > COMMAND_NAME_BYTES_MAX:
        return f"the name has {size_bytes} bytes of UTF-8, more than {COMMAND_NAME_BYTES_MAX}"
    return None
