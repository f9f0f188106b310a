"""Wrong platforms, by the rows of CMD: how commands are admitted, and how they are answered."""

import posixpath

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.wire.commands import STANDARD_COMMANDS, DeviceKind, command_names, permits
from harness.wire.files import FileType, has_extension_of
from simulators.platform.access import Device
from simulators.platform.commands import CommandAttempt, refuse_data, refuse_missing_file, refuse_unlisted
from simulators.platform.personality import Personality, answering, is_command
from simulators.platform.readings import READINGS
from simulators.platform.refusals import Refusal
from simulators.platform.rules import access_ruled, command_steps_ruled, commands_ruled
from simulators.platform.service import CommandRequest, Service


class _PublishesWhatItRefuses(Service):
    """Most refused commands are published all the same, under another name."""

    async def send_command(self, request: CommandRequest) -> Refusal | None:
        outcome = await super().send_command(request)
        if outcome is not None and outcome.status in (400, 403):
            await self._publisher.publish(f"{request.device_id}/control/configuration", b"{}")
        return outcome


def _by_prefix(allowed_commands: str, command: str) -> bool:
    names = command_names(allowed_commands)
    return not names or any(command.startswith(name) for name in names)


def _without_blanks(allowed_commands: str, command: str) -> bool:
    return not allowed_commands or command in allowed_commands.split(";")


def _empty_permits_standard_commands(allowed_commands: str, command: str) -> bool:
    return command in STANDARD_COMMANDS or command in command_names(allowed_commands)


def _any_case(allowed_commands: str, command: str) -> bool:
    return permits(allowed_commands.lower(), command.lower())


def _only_what_mqtt_forbids(name: str) -> str | None:
    """Separators and names of any length pass."""
    return "no topic" if set(name) & set("+#\0\n\t\x7f") or name.startswith("$") else None


def _no_wifi(device: Device) -> bool:
    return device.kind in (DeviceKind.MQTT, DeviceKind.INTEMO_CELLULAR)


def _no_hex(file_type: FileType, name: str) -> bool:
    return has_extension_of(file_type, name) and not name.endswith(".hex")


def _refuse_data_whatever_its_keys(attempt: CommandAttempt) -> Refusal | None:
    """Every fault of the data is found but those of `keys`."""
    refusal = refuse_data(attempt)
    return None if refusal and refusal.code == "invalid_keys" else refusal


async def _empty_body_breaks(request: web.Request, handler: Handler) -> web.StreamResponse:
    if is_command(request) and not request.content_length:
        return web.json_response({"success": False, "message": "EOF", "action": "send command"}, status=500)
    return await handler(request)


WRONG_COMMANDS: tuple[Personality, ...] = (
    Personality(
        "says-ok-without-success",
        "the 200's body lacks success",
        ("CMD-01",),
        answers=answering(where=is_command, status=200, text=b'{"message": "ok", "action": "send"}'),
    ),
    Personality(
        "says-success-in-a-word",
        'success is the string "true"',
        ("CMD-01",),
        answers=answering(where=is_command, status=200, text=b'{"success": "true", "message": "ok", "action": "send"}'),
    ),
    Personality(
        "answers-created",
        "commands answer 201",
        ("CMD-01",),
        {"CMD-15": "201 is no 200", "CMD-11": "201 is no 200", "CMD-19": "201 is no 200", "LST-08": "201 is no 200"},
        answers=answering(where=is_command, status=200, as_status=201),
    ),
    Personality(
        "takes-any-keys",
        "keys of send_configuration are not looked at",
        ("CMD-09",),
        rules=command_steps_ruled({refuse_data: (_refuse_data_whatever_its_keys,)}),
    ),
    Personality(
        "answers-422",
        "malformed bodies answer 422",
        ("CMD-10",),
        {
            "CMD-09": "its 400 is a 422, too",
            "CMD-11": "its 400 is a 422, too",
            "CMD-18": "a malformed name is a body defect, too",
            "CMD-25": "its 400 is a 422, too",
            "CMD-32": "so does the empty body",
        },
        answers=answering(where=is_command, status=400, as_status=422),
    ),
    Personality(
        "publishes-before-it-looks",
        "refused commands are published, too",
        ("CMD-10",),
        {
            row: "it is published for every refusal"
            for row in ("CMD-02", "CMD-03", "CMD-05", "CMD-09", "CMD-11", "CMD-12", "CMD-14", "CMD-15", "CMD-18", "CMD-25", "CMD-32")
        },
        service=_PublishesWhatItRefuses,
    ),
    Personality(
        "refuses-hex",
        "firmware in .hex is refused",
        ("CMD-11",),
        {"LST-08": "a listed .hex is refused"},
        rules=commands_ruled(has_extension_of=_no_hex),
    ),
    Personality(
        "sends-files-that-are-not-there", "a missing file is not noticed", ("CMD-12",), rules=command_steps_ruled({refuse_missing_file: ()})
    ),
    Personality(
        "forbids-strangers",
        "an unknown API key answers 403",
        ("CMD-13",),
        {"CMD-25": "401 is a 403"},
        answers=answering(where=is_command, status=401, as_status=403),
    ),
    Personality(
        "forgets-scopes",
        "a read-only key may send",
        ("CMD-14",),
        {"CMD-25": "nobody lacks the scope"},
        rules=access_ruled(may_send=lambda scopes: True),
    ),
    Personality("allows-by-prefix", "allowed_commands are prefixes", ("CMD-15",), rules=commands_ruled(permits=_by_prefix)),
    Personality("allows-in-any-case", "allowed_commands are compared without case", ("CMD-15",), rules=commands_ruled(permits=_any_case)),
    Personality("keeps-blanks", "blanks in allowed_commands count", ("CMD-15",), rules=commands_ruled(permits=_without_blanks)),
    Personality(
        "knows-standard-commands-only",
        "custom commands are refused although the list is empty",
        ("CMD-15",),
        {"CMD-25": "what is unlisted is another command"},
        rules=commands_ruled(permits=_empty_permits_standard_commands),
    ),
    Personality(
        "ignores-the-list",
        "allowed_commands are not looked at",
        ("CMD-15",),
        {"CMD-25": "nothing is unlisted"},
        rules=command_steps_ruled({refuse_unlisted: ()}),
    ),
    Personality(
        "commands-http-devices", "HTTP-only devices take commands", ("CMD-16",), rules=commands_ruled(takes_commands=lambda device: True)
    ),
    Personality(
        "forbids-unknown-devices",
        "an unknown device answers 403",
        ("CMD-16",),
        {"CMD-12": "its 404 is a 403, too", "CMD-25": "404 is a 403", "CMD-30": "404 is a 403"},
        answers=answering(where=is_command, status=404, as_status=403),
    ),
    Personality(
        "apologises-in-words",
        "errors are plain text",
        ("CMD-17",),
        {"CMD-32": "so they are no JSON"},
        answers=answering(where=is_command, status=400, text=b"Bad Request", media_type="text/plain"),
    ),
    Personality(
        "succeeds-in-errors",
        "error bodies hold success true",
        ("CMD-17",),
        answers=answering(where=is_command, status=404, text=b'{"success": true, "message": "no", "action": "x"}'),
    ),
    Personality(
        "takes-any-name", "names with separators are published", ("CMD-18",), rules=commands_ruled(name_problem=_only_what_mqtt_forbids)
    ),
    Personality(
        "walks-up-the-topic",
        "`..` in a name climbs",
        ("CMD-18",),
        rules=commands_ruled(
            name_problem=_only_what_mqtt_forbids, topic_of=lambda device_id, name: posixpath.normpath(f"{device_id}/control/{name}")
        ),
    ),
    Personality("does-not-know-wifi", "Intemo WiFi devices take no commands", ("CMD-19",), rules=commands_ruled(takes_commands=_no_wifi)),
    Personality(
        "serves-without-the-feature",
        "organisations without the feature are served",
        ("CMD-22",),
        rules=access_ruled(is_enabled=lambda organisation: True),
    ),
    Personality("looks-for-the-device-first", "404 comes before 400", ("CMD-25",), rules=READINGS["CMD-25"]["device-first"]),
    Personality(
        "answers-in-html", "the 200 is text/html", ("CMD-32",), answers=answering(where=is_command, status=200, media_type="text/html")
    ),
    Personality("breaks-on-nothing", "an empty body is a 500", ("CMD-32",), answers=_empty_body_breaks),
)
