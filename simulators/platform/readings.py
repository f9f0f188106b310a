"""The choices that rows of level READ leave, by requirement id: each reading is the rules with one decision replaced, ours comes first.

A device is certified against our reading; a team whose platform reads a row otherwise sets its counterpart up the same way
(`hil platform --read KEY-08=complete-delivery`).
"""

import base64
import binascii
from collections.abc import Sequence
from uuid import UUID

from harness.wire.commands import REBOOT, RESET
from simulators.platform.access import SEND_COMMANDS, device_token_of
from simulators.platform.commands import CommandAttempt, CommandBody, refuse_body, refuse_data, refuse_device
from simulators.platform.keys import UsePolicy, refuse_bad_token, refuse_dead_key
from simulators.platform.refusals import Refusal
from simulators.platform.rules import (
    JSON,
    OCTET_STREAM,
    Change,
    Rules,
    access_ruled,
    command_steps_ruled,
    download_steps_ruled,
    files_ruled,
    http_ruled,
    keys_ruled,
    same_rules,
)


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


def _raw_or_base64_token(authorization: Sequence[str]) -> str | None:
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


READINGS: dict[str, dict[str, Change]] = {
    "CMD-25": {
        "body-first": same_rules,
        "device-first": command_steps_ruled({refuse_body: (refuse_device,), refuse_device: (refuse_body,)}),
    },
    "CMD-29": {"accepted": same_rules, "refused": command_steps_ruled({refuse_data: (refuse_data, _refuse_unused_data)})},
    "CMD-30": {"404": same_rules, "400": command_steps_ruled({refuse_body: (refuse_body, _refuse_ids_that_are_no_uuid)})},
    "CMD-31": {str(status): http_ruled(unavailable_status=status) for status in (503, 502, 500)},
    "KEY-08": {policy.value: keys_ruled(use_policy=policy) for policy in UsePolicy},
    "KEY-11": {
        "token-first": same_rules,
        "key-first": download_steps_ruled({refuse_bad_token: (refuse_dead_key, refuse_bad_token), refuse_dead_key: ()}),
    },
    "DLD-08": {"octet-stream": http_ruled(download_error_type=OCTET_STREAM), "json": http_ruled(download_error_type=JSON)},
    "DLD-10": {"head": http_ruled(head_status=200), "405": http_ruled(head_status=405)},
    "DLD-14": {"raw": same_rules, "base64-too": access_ruled(device_token_of=_raw_or_base64_token)},
    "LST-10": {"empty": files_ruled(foreign_project_status=200), "404": files_ruled(foreign_project_status=404)},
    "LST-11": {"any-key": same_rules, "scope": access_ruled(may_list=lambda scopes: SEND_COMMANDS in scopes)},
}


def with_reading(rules: Rules, requirement: str, reading: str) -> Rules:
    """The rules with one READ row read as `reading`. Raises ValueError, naming the choices, for an unknown row or reading."""
    readings = READINGS.get(requirement)
    if readings is None:
        raise ValueError(f"{requirement!r} has no choice of readings; there is {', '.join(READINGS)}")
    if reading not in readings:
        raise ValueError(f"{requirement} is read as {' or '.join(readings)}, not {reading!r}")
    return readings[reading](rules)
