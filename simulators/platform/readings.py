"""The choices that rows of level READ leave, by requirement id: each reading is the rules with one decision replaced, ours comes first.

A device is certified against our reading; a team whose platform reads a row otherwise sets its counterpart up the same way
(`hil platform --read KEY-08=complete-delivery`).
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from harness.wire.commands import REBOOT, RESET
from simulators.platform.access import SEND_COMMANDS, device_token_of
from simulators.platform.commands import COMMAND_STEPS, CommandAttempt, CommandBody, CommandStep
from simulators.platform.keys import DOWNLOAD_STEPS, DownloadStep, UsePolicy
from simulators.platform.refusals import Refusal
from simulators.platform.rules import JSON, OCTET_STREAM, Rules

Reading = Callable[[Rules], Rules]


def _as_it_is(rules: Rules) -> Rules:
    return rules


def _use_policy(policy: UsePolicy) -> Reading:
    return lambda rules: replace(rules, keys=replace(rules.keys, use_policy=policy))


def _download_error_type(media_type: str) -> Reading:
    return lambda rules: replace(rules, http=replace(rules.http, download_error_type=media_type))


def _head_status(status: int) -> Reading:
    return lambda rules: replace(rules, http=replace(rules.http, head_status=status))


def _unavailable_status(status: int) -> Reading:
    return lambda rules: replace(rules, http=replace(rules.http, unavailable_status=status))


def _foreign_project_status(status: int) -> Reading:
    return lambda rules: replace(rules, files=replace(rules.files, foreign_project_status=status))


def _with_step(after: CommandStep, step: CommandStep) -> Reading:
    """One more reason to refuse a command, judged behind `after`."""

    def read(rules: Rules) -> Rules:
        place = rules.command_steps.index(after) + 1
        return replace(rules, command_steps=(*rules.command_steps[:place], step, *rules.command_steps[place:]))

    return read


def _refuse_unused_data(attempt: CommandAttempt) -> Refusal | None:
    if isinstance(attempt.body, CommandBody) and attempt.body.command in (REBOOT, RESET) and attempt.body.data:
        return Refusal(400, "unexpected_data", f"{attempt.body.command} takes no data")
    return None


def _refuse_ids_that_are_no_uuid(attempt: CommandAttempt) -> Refusal | None:
    try:
        UUID(attempt.project_id)
    except ValueError:
        return Refusal(400, "invalid_id", "The project id is no UUID")
    return None


def _swapped(steps: Sequence[CommandStep], first: CommandStep, second: CommandStep) -> tuple[CommandStep, ...]:
    other = {first: second, second: first}
    return tuple(other.get(step, step) for step in steps)


def _device_before_body(rules: Rules) -> Rules:
    _, _, _, body, device, *_ = COMMAND_STEPS
    return replace(rules, command_steps=_swapped(rules.command_steps, body, device))


def _key_before_token(rules: Rules) -> Rules:
    token, feature, key, other, file = DOWNLOAD_STEPS
    steps: tuple[DownloadStep, ...] = (key, token, feature, other, file)
    return replace(rules, download_steps=steps)


def raw_or_base64_token(authorization: Sequence[str]) -> str | None:
    """The device token, raw or as RFC 7617 has it: base64 of `user:token` or of the token alone."""
    raw = device_token_of(authorization)
    if raw is None:
        return None
    try:
        decoded = base64.b64decode(raw, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return raw
    token = decoded.rpartition(":")[2]
    return token if token.isprintable() and token else raw


def _base64_token(rules: Rules) -> Rules:
    return replace(rules, access=replace(rules.access, device_token_of=raw_or_base64_token))


def _scope_for_lists(rules: Rules) -> Rules:
    return replace(rules, access=replace(rules.access, may_list=lambda scopes: SEND_COMMANDS in scopes))


READINGS: dict[str, dict[str, Reading]] = {
    "CMD-25": {"body-first": _as_it_is, "device-first": _device_before_body},
    "CMD-29": {"accepted": _as_it_is, "refused": _with_step(COMMAND_STEPS[6], _refuse_unused_data)},
    "CMD-30": {"404": _as_it_is, "400": _with_step(COMMAND_STEPS[3], _refuse_ids_that_are_no_uuid)},
    "CMD-31": {"503": _unavailable_status(503), "502": _unavailable_status(502), "500": _unavailable_status(500)},
    "KEY-08": {
        "first-use": _use_policy(UsePolicy.FIRST_USE),
        "complete-delivery": _use_policy(UsePolicy.COMPLETE_DELIVERY),
    },
    "KEY-11": {"token-first": _as_it_is, "key-first": _key_before_token},
    "DLD-08": {"octet-stream": _download_error_type(OCTET_STREAM), "json": _download_error_type(JSON)},
    "DLD-10": {"head": _head_status(200), "405": _head_status(405)},
    "DLD-14": {"raw": _as_it_is, "base64-too": _base64_token},
    "LST-10": {"empty": _foreign_project_status(200), "404": _foreign_project_status(404)},
    "LST-11": {"any-key": _as_it_is, "scope": _scope_for_lists},
}


def with_reading(rules: Rules, requirement: str, reading: str) -> Rules:
    """The rules with one READ row read as `reading`. Raises ValueError, naming the choices, for an unknown row or reading."""
    readings = READINGS.get(requirement)
    if readings is None:
        raise ValueError(f"{requirement!r} has no choice of readings; there is {', '.join(READINGS)}")
    if reading not in readings:
        raise ValueError(f"{requirement} is read as {' or '.join(readings)}, not {reading!r}")
    return readings[reading](rules)
