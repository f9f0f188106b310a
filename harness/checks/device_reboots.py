"""DEV-07: reboots, and what shows them: the exit of a program, or a connection that the device left and followed by another."""

import math
from collections.abc import Iterator

from harness.checks.device_view import ReceivedMessage, commands_received, crashes, declares, in_lines, reboots, unexplained_connects
from harness.checks.registry import Observation, broken, check, kept
from harness.history.events import DeviceExited
from harness.history.timeline import History
from harness.wire.commands import REBOOT

_POISON = "poison message: the command is executed before it is acknowledged, so each boot gets it again"
_STATUS_0 = "a program that reboots ends with status 0; another status is a crash"
_SLOW_BOOT = "reboot_s in [device.declares] is the longest time from the command to the next CONNECT: declare what the device needs"
BOOT_GRACE_S = 3.0  # what starting a program adds to its reboot


@check("DEV-07", unseen="the device was not told to reboot, or a reboot of it cannot be seen", hint=_POISON)
def reboot_happens_once(history: History) -> Iterator[Observation]:
    """One reboot per command, also when the command is delivered again."""
    for message in commands_received(history):
        if message.command != REBOOT:
            continue
        booted = reboots_behind(history, message)
        crashed = [line for line in crashes(history, message.device_id) if line > message.first.line]
        if not booted and not crashed:  # A program may restart without an exit that we see.
            booted = _behind(history, message, unexplained_connects(history, message.device_id))
        if len(booted) == 1:
            yield _back_in_time(history, message, booted[0])
        elif not booted and crashed:
            yield broken(f"the device was told to reboot and crashed (line {crashed[0]})", message.first, hint=_STATUS_0)
        elif not booted and message.lost_connection and not _exits_show(history):
            continue  # It may have rebooted while we had cut it off: then its return tells nothing.
        elif not booted:
            yield broken("the device was told to reboot and did not", message.first, hint="a result alone is no reboot")
        else:
            yield broken(f"one command caused {len(booted)} reboots ({in_lines(booted)}), allowed: 1", message.first)


def _exits_show(history: History) -> bool:
    """Whether the device's reboots are exits of its program, and so are seen whatever its connection does."""
    return any(seen.fact.status == 0 and not seen.fact.by_us for seen in history.of(DeviceExited))


def _back_in_time(history: History, message: ReceivedMessage, booted_line: int) -> Observation:
    """Whether the reboot ended within the declared time, in the next CONNECT."""
    limit_s = float(declares(history).get("reboot_s", 10))
    connect = next((seen for seen in history.packets("CONNECT", device_id=message.device_id) if seen.line > booted_line), None)
    # Over a connection that was lost, the command reached it with its last copy or its release.
    told_s = max(seen.at_s for seen in (message.first, *message.copies, *message.pubrels) if seen.line < booted_line)
    if connect is None or (took_s := connect.at_s - told_s) <= limit_s + BOOT_GRACE_S:
        return kept(message.first)
    detail = f"{took_s:.1f} s from the reboot command to the next CONNECT, declared: {limit_s:g} s"
    return broken(detail, message.first, connect, hint=_SLOW_BOOT)


def reboots_behind(history: History, message: ReceivedMessage) -> list[int]:
    """The lines of the device's reboots after a message, up to its next `reboot`."""
    return _behind(history, message, reboots(history, message.device_id))


def _behind(history: History, message: ReceivedMessage, lines: list[int]) -> list[int]:
    later = [other.first.line for other in commands_received(history) if other.is_after(message) and other.command == REBOOT]
    return [line for line in lines if message.first.line < line < min(later, default=math.inf)]
