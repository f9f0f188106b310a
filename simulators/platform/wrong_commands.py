"""Wrong platforms, first part: commands and who may send and hear them."""

import asyncio
import contextlib
import json
import posixpath
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.wire.commands import DOWNLOAD_LOGO, SEND_CONFIGURATION
from harness.wire.files import FileType, has_extension_of
from simulators.broker.port import BrokerPort, BrokerUnavailable, DeviceDirectory, DevicePrincipal, Login, Principal, TrustedPrincipal
from simulators.platform.access import Device
from simulators.platform.commands import CommandAttempt, CommandBody, CommandStep
from simulators.platform.personality import (
    Changed,
    Meddler,
    Personality,
    access_ruled,
    answering,
    command_step_left_out,
    commands_ruled,
    is_command,
    keys_ruled,
    publishing,
)
from simulators.platform.refusals import Refusal
from simulators.platform.rules import Rules
from simulators.platform.service import CommandRequest, Service


def _of_offers(change: Any) -> Any:
    """A change of the payload of download commands only."""

    def changed(message: Changed) -> list[Changed]:
        topic, payload, qos, retain = message
        if "/control/download_" in topic:
            payload = json.dumps(change(json.loads(payload)), separators=(",", ":")).encode()
        return [(topic, payload, qos, retain)]

    return publishing(changed)


def _without_z(offer: dict[str, Any]) -> dict[str, Any]:
    return offer | {"expires_at": offer["expires_at"].removesuffix("Z")}


def _same_key_for_all() -> Any:
    first: dict[str, Any] = {}
    return lambda offer: first.setdefault("offer", offer)


def _shared_key(broker: BrokerPort) -> BrokerPort:
    change = _same_key_for_all()
    made: BrokerPort = _of_offers(change)(broker)
    return made


def _dropping_every(count: int) -> Any:
    def publisher(broker: BrokerPort) -> BrokerPort:
        seen = [0]

        def changed(message: Changed) -> list[Changed]:
            seen[0] += 1
            return [] if seen[0] % count == 0 else [message]

        return Meddler(broker, changed)

    return publisher


class _Hopeful(Meddler):
    """Says yes to messages that no broker takes."""

    def __init__(self, broker: BrokerPort) -> None:
        super().__init__(broker, lambda message: [message])

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        with contextlib.suppress(BrokerUnavailable):
            await super().publish(topic, payload, qos=qos, retain=retain)


class _Hurried(Meddler):
    """Takes messages without waiting for the broker; every third takes longer on its way."""

    def __init__(self, broker: BrokerPort) -> None:
        super().__init__(broker, lambda message: [message])
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        self._count += 1
        task = asyncio.create_task(self._later(0.05 if self._count % 3 == 0 else 0.0, topic, payload, qos, retain))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, delay_s: float, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        await asyncio.sleep(delay_s)
        await super().publish(topic, payload, qos=qos, retain=retain)


class _TellsTheNeighbour(Service):
    """Publishes a command to another device of the project, too."""

    async def send_command(self, request: CommandRequest) -> Refusal | None:
        outcome = await super().send_command(request)
        neighbours = [device for device in self._store.devices(request.project_id) if device.id != request.device_id]
        if outcome is None:
            for device in neighbours:
                await self._publisher.publish(f"{device.id}/control/configuration", b'{"from": "next door"}')
        return outcome


class _PublishesFirst(Service):
    """Publishes every command, and looks afterwards whether it was allowed."""

    async def send_command(self, request: CommandRequest) -> Refusal | None:
        outcome = await super().send_command(request)
        if outcome is not None and outcome.status in (400, 403):
            await self._publisher.publish(f"{request.device_id}/control/configuration", b"{}")
        return outcome


class _Anyone:
    """Logins with any password."""

    def __init__(self, directory: DeviceDirectory) -> None:
        self._directory = directory

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        proper = self._directory.authenticate(client_id, username, password)
        return proper or (DevicePrincipal(client_id) if username == client_id else None)

    def logins(self) -> Iterable[Login]:
        return self._directory.logins()


class _NoWalls(_Anyone):
    """Proper logins only, but with all rights."""

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        proper = self._directory.authenticate(client_id, username, password)
        return TrustedPrincipal(client_id) if proper else None


def _stringified(body: CommandBody) -> bytes:
    return json.dumps({name: str(value) for name, value in body.data.items()}).encode()


def _wrapped(body: CommandBody) -> bytes:
    return json.dumps({"command": body.command, "data": body.data}).encode()


def _by_prefix(allowed_commands: str, command: str) -> bool:
    names = [name.strip() for name in allowed_commands.split(";") if name.strip()]
    return not names or any(command.startswith(name) for name in names)


def _without_blanks(allowed_commands: str, command: str) -> bool:
    return not allowed_commands or command in allowed_commands.split(";")


def _empty_permits_none(allowed_commands: str, command: str) -> bool:
    return command in ("configuration", "send_configuration", "download_firmware", "download_logo", "reboot", "reset") or command in [
        name.strip() for name in allowed_commands.split(";")
    ]


def _any_case(allowed_commands: str, command: str) -> bool:
    names = [name.strip().lower() for name in allowed_commands.split(";") if name.strip()]
    return not names or command.lower() in names


def _deaf_to_repeats(broker: BrokerPort) -> BrokerPort:
    """Takes an equal message on the same topic for a repetition."""
    latest: dict[str, bytes] = {}

    def changed(message: Changed) -> list[Changed]:
        is_known = latest.get(message[0]) == message[1]
        latest[message[0]] = message[1]
        return [] if is_known else [message]

    return Meddler(broker, changed)


def _without_questions(body: CommandBody) -> bytes:
    return b"{}" if body.command == SEND_CONFIGURATION else json.dumps(body.data).encode()


def _retained_logos(message: Changed) -> list[Changed]:
    topic, payload, qos, _ = message
    return [(topic, payload, qos, topic.endswith(DOWNLOAD_LOGO))]


class _Unnamed(_Anyone):
    """Proper logins, and clients that say no name."""

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        proper = self._directory.authenticate(client_id, username, password)
        return DevicePrincipal(client_id) if username is None else proper


def _unprintable(name: str) -> str | None:
    """Only what MQTT itself forbids is refused."""
    return "no topic" if set(name) & set("+#\0\n\t\x7f") or name.startswith("$") else None


def _no_wifi(device: Device) -> bool:
    return device.kind.value in ("mqtt", "intemo-cellular")


def _no_hex(file_type: FileType, name: str) -> bool:
    return has_extension_of(file_type, name) and not name.endswith(".hex")


def _keys_unseen(rules: Rules) -> Rules:
    """Every other fault of the data is still found."""

    def lenient(step: CommandStep) -> CommandStep:
        def judged(attempt: CommandAttempt) -> Refusal | None:
            refusal = step(attempt)
            return None if refusal and refusal.code == "invalid_keys" else refusal

        return judged

    return replace(rules, command_steps=tuple(map(lenient, rules.command_steps)))


def _body_after_device(rules: Rules) -> Rules:
    steps = list(rules.command_steps)
    steps[3], steps[4] = steps[4], steps[3]
    return replace(rules, command_steps=tuple(steps))


async def _empty_body_breaks(request: web.Request, handler: Handler) -> web.StreamResponse:
    if is_command(request) and not request.content_length:
        return web.json_response({"success": False, "message": "EOF", "action": "send command"}, status=500)
    return await handler(request)


_NO_MATTER = "a malformed name is a body defect, too"
_LOST = {"CMD-20": "what goes elsewhere does not arrive", "CMD-03": "nor does it arrive once"}

WRONG_COMMANDS: tuple[Personality, ...] = (
    Personality(
        "says_ok_without_success",
        "the 200's body lacks success",
        ("CMD-01",),
        answers=answering(where=is_command, status=200, text=b'{"message": "ok", "action": "send"}'),
    ),
    Personality(
        "says_success_in_a_word",
        'success is the string "true"',
        ("CMD-01",),
        answers=answering(where=is_command, status=200, text=b'{"success": "true", "message": "ok", "action": "send"}'),
    ),
    Personality(
        "answers_created",
        "commands answer 201",
        ("CMD-01",),
        {"CMD-15": "201 is no 200", "CMD-11": "201 is no 200", "CMD-19": "201 is no 200", "LST-08": "201 is no 200"},
        answers=answering(where=is_command, status=200, as_status=201),
    ),
    Personality(
        "publishes_beside_the_topic",
        "commands go to {device_id}/command/{name}",
        ("CMD-02",),
        _LOST,
        rules=commands_ruled(topic_of=lambda device_id, name: f"{device_id}/command/{name}"),
    ),
    Personality(
        "tells_the_neighbours",
        "every device of the project hears a command",
        ("CMD-02",),
        {row: "so many strangers' messages hide what is owed" for row in ("CMD-03", "CMD-05", "CMD-13", "CMD-20", "CMD-32")},
        service=_TellsTheNeighbour,
    ),
    Personality(
        "publishes_with_qos_1",
        "commands go out with QoS 1",
        ("CMD-03",),
        {
            "CMD-20": "a QoS 1 message is lost where the device cut in",
        },
        rules=commands_ruled(qos=1),
    ),
    Personality(
        "publishes_with_qos_0",
        "commands go out with QoS 0",
        ("CMD-03",),
        {"CMD-02": "QoS 0 is lost with a connection"},
        rules=commands_ruled(qos=0),
    ),
    Personality(
        "publishes_twice", "each command is published twice", ("CMD-03",), publisher=publishing(lambda message: [message, message])
    ),
    Personality(
        "takes_equal_commands_for_one",
        "the same command once more is not published",
        ("CMD-02",),
        {row: "what is not published does not arrive" for row in ("CMD-03", "CMD-20")},
        publisher=_deaf_to_repeats,
    ),
    Personality("retains_logos", "download_logo is retained", ("CMD-04",), publisher=publishing(_retained_logos)),
    Personality(
        "asks_for_everything", "the keys of send_configuration are lost", ("CMD-05",), rules=commands_ruled(payload_of=_without_questions)
    ),
    Personality("publishes_retained", "commands are retained", ("CMD-04",), rules=commands_ruled(retain=True)),
    Personality("wraps_the_data", "the payload holds command and data", ("CMD-05",), rules=commands_ruled(payload_of=_wrapped)),
    Personality(
        "turns_values_into_text", "the payload's numbers become strings", ("CMD-05",), rules=commands_ruled(payload_of=_stringified)
    ),
    Personality(
        "names_the_key_token",
        "the URL's parameter is token",
        ("CMD-06",),
        publisher=_of_offers(lambda offer: offer | {"url": offer["url"].replace("?key=", "?token=")}),
    ),
    Personality("leaves_the_zone_out", "expires_at has no Z", ("CMD-06",), publisher=_of_offers(_without_z)),
    Personality("announces_an_hour", "expires_at is an hour ahead", ("CMD-07",), rules=keys_ruled(announced_lifetime_s=3600.0)),
    Personality(
        "hands_out_one_key",
        "all download commands carry the first one's key",
        ("CMD-08",),
        {
            "CMD-03": "an equal message looks like a copy",
            "KEY-02": "a used key is handed out",
            "CMD-07": "and the first one's expiry",
            "KEY-07": "nothing varies",
        },
        publisher=_shared_key,
    ),
    Personality("takes_any_keys", "keys of send_configuration are not looked at", ("CMD-09",), rules=_keys_unseen),
    Personality(
        "answers_422",
        "malformed bodies answer 422",
        ("CMD-10",),
        {
            "CMD-09": "its 400 is a 422, too",
            "CMD-11": "its 400 is a 422, too",
            "CMD-18": _NO_MATTER,
            "CMD-25": "its 400 is a 422, too",
            "CMD-32": "so does the empty body",
        },
        answers=answering(where=is_command, status=400, as_status=422),
    ),
    Personality(
        "publishes_before_it_looks",
        "refused commands are published, too",
        ("CMD-10",),
        {
            row: "it is published for every refusal"
            for row in ("CMD-02", "CMD-03", "CMD-05", "CMD-09", "CMD-11", "CMD-12", "CMD-14", "CMD-15", "CMD-18", "CMD-25", "CMD-32")
        },
        service=_PublishesFirst,
    ),
    Personality(
        "refuses_hex",
        "firmware in .hex is refused",
        ("CMD-11",),
        {"LST-08": "a listed .hex is refused"},
        rules=commands_ruled(has_extension_of=_no_hex),
    ),
    Personality(
        "sends_files_that_are_not_there", "a missing file is not noticed", ("CMD-12",), rules=command_step_left_out("_refuse_missing_file")
    ),
    Personality(
        "forbids_strangers",
        "an unknown API key answers 403",
        ("CMD-13",),
        {"CMD-25": "401 is a 403"},
        answers=answering(where=is_command, status=401, as_status=403),
    ),
    Personality(
        "forgets_scopes",
        "a read-only key may send",
        ("CMD-14",),
        {"CMD-25": "nobody lacks the scope"},
        rules=access_ruled(may_send=lambda scopes: True),
    ),
    Personality("allows_by_prefix", "allowed_commands are prefixes", ("CMD-15",), rules=commands_ruled(permits=_by_prefix)),
    Personality("allows_in_any_case", "allowed_commands are compared without case", ("CMD-15",), rules=commands_ruled(permits=_any_case)),
    Personality("keeps_blanks", "blanks in allowed_commands count", ("CMD-15",), rules=commands_ruled(permits=_without_blanks)),
    Personality(
        "knows_standard_commands_only",
        "custom commands are refused although the list is empty",
        ("CMD-15",),
        {"CMD-25": "what is unlisted is another command"},
        rules=commands_ruled(permits=_empty_permits_none),
    ),
    Personality(
        "ignores_the_list",
        "allowed_commands are not looked at",
        ("CMD-15",),
        {"CMD-25": "nothing is unlisted"},
        rules=command_step_left_out("_refuse_unlisted"),
    ),
    Personality(
        "commands_http_devices", "HTTP-only devices take commands", ("CMD-16",), rules=commands_ruled(takes_commands=lambda device: True)
    ),
    Personality(
        "forbids_unknown_devices",
        "an unknown device answers 403",
        ("CMD-16",),
        {"CMD-12": "its 404 is a 403, too", "CMD-25": "404 is a 403", "CMD-30": "404 is a 403"},
        answers=answering(where=is_command, status=404, as_status=403),
    ),
    Personality(
        "apologises_in_words",
        "errors are plain text",
        ("CMD-17",),
        {"CMD-32": "so they are no JSON"},
        answers=answering(where=is_command, status=400, text=b"Bad Request", media_type="text/plain"),
    ),
    Personality(
        "succeeds_in_errors",
        "error bodies hold success true",
        ("CMD-17",),
        answers=answering(where=is_command, status=404, text=b'{"success": true, "message": "no", "action": "x"}'),
    ),
    Personality("takes_any_name", "names with separators are published", ("CMD-18",), rules=commands_ruled(name_problem=_unprintable)),
    Personality(
        "walks_up_the_topic",
        "`..` in a name climbs",
        ("CMD-18",),
        rules=commands_ruled(name_problem=_unprintable, topic_of=lambda device_id, name: posixpath.normpath(f"{device_id}/control/{name}")),
    ),
    Personality("does_not_know_wifi", "Intemo WiFi devices take no commands", ("CMD-19",), rules=commands_ruled(takes_commands=_no_wifi)),
    Personality(
        "loses_every_tenth",
        "each tenth command answers 200 and is not published",
        ("CMD-20",),
        {"CMD-02": "it arrives nowhere", "CMD-03": "not even once"},
        publisher=_dropping_every(10),
    ),
    Personality(
        "overtakes_itself",
        "each third command comes later than the next",
        ("CMD-21",),
        {"CMD-20": "a 200 does not mean that the broker has it"},
        publisher=_Hurried,
    ),
    Personality(
        "serves_without_the_feature",
        "organisations without the feature are served",
        ("CMD-22",),
        rules=access_ruled(is_enabled=lambda organisation: True),
    ),
    Personality("knows_no_names", "a client without name and password is let in", ("CMD-23",), directory=_Unnamed),
    Personality("takes_any_password", "any password opens MQTT", ("CMD-23",), directory=_Anyone),
    Personality("has_no_walls", "a device reads and writes every topic", ("CMD-23",), directory=_NoWalls),
    Personality(
        "writes_long_keys",
        "the download command does not fit into 256 bytes",
        ("CMD-24",),
        rules=keys_ruled(mint=lambda entropy: entropy.random_bytes(80).hex()),
    ),
    Personality("looks_for_the_device_first", "404 comes before 400", ("CMD-25",), rules=_body_after_device),
    Personality("hopes_for_a_broker", "without a broker commands answer 200", ("CMD-31",), publisher=_Hopeful),
    Personality(
        "answers_in_html", "the 200 is text/html", ("CMD-32",), answers=answering(where=is_command, status=200, media_type="text/html")
    ),
    Personality("breaks_on_nothing", "an empty body is a 500", ("CMD-32",), answers=_empty_body_breaks),
)
