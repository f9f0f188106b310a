"""Wrong devices whose mistake is in executing commands and answering them.

Each replaces one decision. Functions of the seam `executes` take the effects that the firmware decided and give back what this device
does.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from harness.wire.commands import CONFIGURATION, REBOOT, RESET, SEND_CONFIGURATION, STANDARD_COMMANDS
from harness.wire.topics import control_filter, parse_control_topic
from simulators.device import firmware
from simulators.device.firmware import (
    ApplyConfiguration,
    Crash,
    Effect,
    Keeps,
    Message,
    PublishResult,
    Reboot,
    RestoreFactory,
    StartDownload,
)
from simulators.device.flash import Flash
from simulators.device.personality import Cause, Effects, Notes, Personality, tuned
from simulators.device.settings import FACTORY_CONFIGURATION, DeviceSettings

Execution: TypeAlias = Callable[[Notes, DeviceSettings, Flash, Cause, Effects], Effects]


def command_of(cause: Cause) -> str:
    """The command that caused the effects."""
    if isinstance(cause, Message):
        topic = parse_control_topic(cause.topic)
        return topic.command if topic is not None else ""
    return cause.command


def each(rewritten: Callable[[Effect], tuple[Effect, ...]]) -> Execution:
    """An execution that replaces each effect on its own."""

    def execution(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
        return tuple(new for effect in effects for new in rewritten(effect))

    return execution


def without(kind: type[Any]) -> Execution:
    """An execution that lacks effects of `kind`."""
    return each(lambda effect: () if isinstance(effect, kind) else (effect,))


def crashing_where(is_fatal: Callable[[DeviceSettings, Message], bool], reason: str) -> Execution:
    """An execution that acknowledges some messages and dies of them."""

    def execution(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
        if isinstance(cause, Message) and is_fatal(settings, cause):
            return (Crash(reason, Keeps.SENT),)
        return effects

    return execution


def is_json(payload: bytes) -> bool:
    """Whether the firmware could read `payload`."""
    try:
        firmware.read_data(payload)
    except firmware.Refusal:
        return False
    return True


def merge_configuration(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """New values are laid over the old ones."""
    return tuple(
        ApplyConfiguration(flash.configuration | effect.configuration) if isinstance(effect, ApplyConfiguration) else effect
        for effect in effects
    )


def flattened(effect: Effect) -> Effects:
    """A configuration loses its objects and lists."""
    if not isinstance(effect, ApplyConfiguration):
        return (effect,)
    return (ApplyConfiguration({key: value for key, value in effect.configuration.items() if not isinstance(value, dict | list)}),)


def first_of_two_configurations(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """A configuration that directly follows another is acknowledged and dropped."""
    is_second = notes.get("last") == CONFIGURATION == command_of(cause)
    notes["last"] = command_of(cause)
    return tuple(effect for effect in effects if not (is_second and isinstance(effect, ApplyConfiguration)))


def report(configuration: Callable[[Flash], dict[str, Any]]) -> Execution:
    """An execution that reports something else than what was asked for."""

    def execution(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
        return tuple(
            replace(effect, body=effect.body | {"configuration": configuration(flash)})
            if isinstance(effect, PublishResult) and effect.command == SEND_CONFIGURATION and effect.body["success"]
            else effect
            for effect in effects
        )

    return execution


def execute_retained(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """RETAIN is not looked at."""
    if isinstance(cause, Message) and cause.retain:
        return firmware.decide(settings.firmware, flash, replace(cause, retain=False))
    return effects


def execute_retained_reboots(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """RETAIN is looked at behind the branch of `reboot`."""
    return execute_retained(notes, settings, flash, cause, effects) if command_of(cause) == REBOOT else effects


def execute_own_results(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """The topic is cut at the command: a result counts as the command itself, which gets no further result."""
    if isinstance(cause, Message) and cause.topic.endswith("/result") and not effects:
        command = replace(cause, topic=cause.topic.removesuffix("/result"))
        decided = firmware.decide(settings.firmware, flash, command)
        return tuple(effect for effect in decided if not isinstance(effect, PublishResult))
    return effects


def apply_unknown_commands(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """The last branch of its if-chain is `configuration`."""
    command = command_of(cause)
    if not isinstance(cause, Message) or not command or command in STANDARD_COMMANDS or not effects or not is_json(cause.payload):
        return effects
    return ApplyConfiguration(firmware.read_data(cause.payload) or {}), firmware.success(command, "done")


def ignore_unknown_commands(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """No refusal, no word."""
    return effects if command_of(cause) in STANDARD_COMMANDS else ()


def send_results_elsewhere(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """All results go to one topic of its own."""
    return tuple(
        replace(effect, topic=f"{settings.device_id}/result") if isinstance(effect, PublishResult) else effect for effect in effects
    )


def drop_second_download(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """A download command during a download is lost."""
    return tuple(effect for effect in effects if not (flash.jobs and isinstance(effect, StartDownload)))


def refuse_and_queue_second_download(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """A download command during a download is refused, and executed later all the same."""
    if flash.jobs and any(isinstance(effect, StartDownload) for effect in effects):
        return *effects, firmware.failure(command_of(cause), "busy")
    return effects


CONFIGURING = ("DEV-04", "DEV-05", "DEV-06", "DEV-07", "DEV-08a", "DEV-08b", "DEV-09", "DEV-10", "DEV-16", "DEV-21", "DEV-29")
"""Rows that are often made visible by configuring and reading back."""

DYING = (*CONFIGURING, "DEV-03", "DEV-19", "DEV-20a", "DEV-24", "DEV-25", "DEV-26", "DEV-27", "DEV-30")
"""Rows that a device may break while it is down."""

WRONG_COMMANDS = (
    Personality(
        "reboots-before-acking",
        "Reboots inside the message callback: no PUBREC leaves, so the command comes again after each boot.",
        breaks=("DEV-07",),
        also=DYING,
        executes=each(lambda effect: (Crash("rebooting on the spot", is_reboot=True),) if isinstance(effect, Reboot) else (effect,)),
    ),
    Personality(
        "never-reboots",
        "Answers `reboot` with success and does not reboot.",
        breaks=("DEV-07",),
        executes=without(Reboot),
    ),
    Personality(
        "configuration-ignored",
        "Answers `configuration` with success and does not apply it.",
        breaks=("DEV-08a",),
        also=CONFIGURING,
        executes=without(ApplyConfiguration),
    ),
    Personality(
        "stores-flat-values",
        "Stores numbers and texts; objects and lists in a configuration are lost.",
        breaks=("DEV-08a",),
        also=CONFIGURING,
        executes=each(flattened),
    ),
    Personality(
        "ignores-keys",
        "Reports all values although `keys` names some.",
        breaks=("DEV-08a",),
        also=("DEV-08b",),
        executes=report(lambda flash: flash.configuration),
    ),
    Personality(
        "reports-factory-configuration",
        "Reports the factory configuration, whatever was applied.",
        breaks=("DEV-08a",),
        also=CONFIGURING,
        executes=report(lambda flash: FACTORY_CONFIGURATION),
    ),
    Personality(
        "first-configuration-wins",
        "Drops a configuration that directly follows another, and answers success.",
        breaks=("DEV-09",),
        also=CONFIGURING,
        executes=first_of_two_configurations,
    ),
    Personality(
        "reset-ignored",
        "Answers `reset` with success and keeps its configuration.",
        breaks=("DEV-10",),
        executes=without(RestoreFactory),
    ),
    Personality(
        "merges-configuration",
        "Lays a configuration over the old one instead of replacing it.",
        breaks=("DEV-29",),
        also=CONFIGURING,
        executes=merge_configuration,
    ),
    Personality(
        "executes-retained",
        "Executes a command with RETAIN=1.",
        breaks=("DEV-21",),
        executes=execute_retained,
    ),
    Personality(
        "reboots-when-retained",
        "Looks at RETAIN everywhere but at `reboot`.",
        breaks=("DEV-21",),
        executes=execute_retained_reboots,
    ),
    Personality(
        "applies-unknown-commands",
        "Takes every command that it does not know for `configuration`.",
        breaks=("DEV-24",),
        also=("DEV-19",),
        executes=apply_unknown_commands,
    ),
    Personality(
        "unlisted-unanswered",
        "Gives no result for a command that it does not know.",
        breaks=("DEV-24",),
        also=("DEV-19", "DEV-25"),
        executes=ignore_unknown_commands,
    ),
    Personality(
        "crashes-on-malformed-json",
        "Dies of a payload that is no JSON.",
        breaks=("DEV-19",),
        also=DYING,
        executes=crashing_where(lambda settings, message: bool(message.payload) and not is_json(message.payload), "JSON parser failed"),
    ),
    Personality(
        "crashes-on-empty-payload",
        "Dies of an empty payload.",
        breaks=("DEV-19",),
        also=DYING,
        executes=crashing_where(lambda settings, message: not message.payload, "read from a null pointer"),
    ),
    Personality(
        "crashes-on-unknown-command",
        "Dies of a command that it does not know.",
        breaks=("DEV-19",),
        also=DYING,
        executes=crashing_where(lambda settings, message: command_of(message) not in STANDARD_COMMANDS, "no handler in the table"),
    ),
    Personality(
        "crashes-on-big-payload",
        "Dies of a payload above its declared size.",
        breaks=("DEV-19",),
        also=DYING,
        executes=crashing_where(lambda settings, message: len(message.payload) > settings.firmware.payload_bytes_max, "buffer overrun"),
    ),
    Personality(
        "executes-own-result",
        "Subscribes to all below its control topics and takes a result for the command.",
        breaks=("DEV-28",),
        also=(*CONFIGURING, "DEV-24", "DEV-25"),
        tunes=tuned(subscriptions=lambda device_id: ((control_filter(device_id).replace("+", "#"), 2),)),
        executes=execute_own_results,
    ),
    Personality(
        "reset-unanswered",
        "Gives a result for every command but `reset`.",
        breaks=("DEV-25",),
        also=("DEV-10",),
        executes=each(lambda effect: () if isinstance(effect, PublishResult) and effect.command == RESET else (effect,)),
    ),
    Personality(
        "results-missing",
        "Declares results and publishes none.",
        breaks=("DEV-25",),
        also=(*CONFIGURING, "DEV-12a", "DEV-13", "DEV-14", "DEV-17", "DEV-19", "DEV-23", "DEV-24"),
        executes=without(PublishResult),
    ),
    Personality(
        "results-elsewhere",
        "Publishes its results on a topic of its own.",
        breaks=("DEV-25",),
        also=(*CONFIGURING, "DEV-12a", "DEV-13", "DEV-14", "DEV-17", "DEV-19", "DEV-23", "DEV-24"),
        executes=send_results_elsewhere,
    ),
    Personality(
        "results-twice",
        "Publishes each result twice.",
        breaks=("DEV-25",),
        also=("DEV-04", "DEV-05", "DEV-10", "DEV-23"),
        executes=each(lambda effect: (effect, effect) if isinstance(effect, PublishResult) else (effect,)),
    ),
    Personality(
        "results-retained",
        "Publishes its results with RETAIN=1.",
        breaks=("CMD-28",),
        executes=each(lambda effect: (replace(effect, is_retained=True),) if isinstance(effect, PublishResult) else (effect,)),
    ),
    Personality(
        "second-download-unanswered",
        "Loses a download command that comes during a download.",
        breaks=("DEV-23",),
        also=("DEV-25",),
        executes=drop_second_download,
    ),
    Personality(
        "second-download-answered-twice",
        "Refuses a download command that comes during a download, and executes it later all the same.",
        breaks=("DEV-23",),
        also=("DEV-25",),
        executes=refuse_and_queue_second_download,
    ),
)
