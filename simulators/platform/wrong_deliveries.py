"""Wrong platforms, by the rows of CMD: what is handed to the broker, and who may log in there."""

import asyncio
import contextlib
import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from harness.wire.commands import DOWNLOAD_LOGO, DOWNLOADS, SEND_CONFIGURATION
from harness.wire.topics import control_topic, parse_control_topic
from simulators.broker.port import BrokerPort, BrokerUnavailable, DeviceDirectory, DevicePrincipal, Login, Principal, TrustedPrincipal
from simulators.platform.commands import CommandBody
from simulators.platform.personality import Meddler, Message, Personality, Publisher, publishing
from simulators.platform.refusals import Refusal
from simulators.platform.rules import commands_ruled, keys_ruled
from simulators.platform.service import CommandRequest, Service


def _offering(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Publisher:
    """A publisher that changes download commands, and hands over all others as they are."""

    def meddle(message: Message) -> list[Message]:
        topic = parse_control_topic(message.topic)
        if topic is None or topic.command not in DOWNLOADS:
            return [message]
        return [message._replace(payload=json.dumps(change(json.loads(message.payload)), separators=(",", ":")).encode())]

    return publishing(meddle)


def _one_offer_for_all(broker: BrokerPort) -> BrokerPort:
    """Every download command carries the first one's offer."""
    first: dict[str, Any] = {}

    def again(offer: dict[str, Any]) -> dict[str, Any]:
        first.update({} if first else offer)
        return first

    return _offering(again)(broker)


def _dropping_each_tenth(broker: BrokerPort) -> BrokerPort:
    numbers = itertools.count(1)
    return Meddler(broker, lambda message: [message] if next(numbers) % 10 else [])


def _deaf_to_repeats(broker: BrokerPort) -> BrokerPort:
    """Takes an equal message on the same topic for a repetition."""
    latest: dict[str, bytes] = {}

    def meddle(message: Message) -> list[Message]:
        is_known = latest.get(message.topic) == message.payload
        latest[message.topic] = message.payload
        return [] if is_known else [message]

    return Meddler(broker, meddle)


def _retained_logos(message: Message) -> list[Message]:
    return [message._replace(retain=message.topic.endswith(DOWNLOAD_LOGO))]


class _Hopeful(Meddler):
    """Says yes to messages that no broker takes."""

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        with contextlib.suppress(BrokerUnavailable):
            await super().publish(topic, payload, qos=qos, retain=retain)


class _Hurried(Meddler):
    """Takes messages without waiting for the broker; every third takes longer on its way."""

    def __init__(self, broker: BrokerPort) -> None:
        super().__init__(broker)
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


class _TellsTheNeighbours(Service):
    """Publishes something to every other device of the project, too."""

    async def send_command(self, request: CommandRequest) -> Refusal | None:
        outcome = await super().send_command(request)
        neighbours = [device for device in self._store.devices(request.project_id) if device.id != request.device_id]
        for device in neighbours if outcome is None else ():
            await self._publisher.publish(f"{device.id}/control/configuration", b'{"from": "next door"}')
        return outcome


def _stringified(body: CommandBody) -> bytes:
    return json.dumps({name: str(value) for name, value in body.data.items()}).encode()


def _wrapped(body: CommandBody) -> bytes:
    return json.dumps({"command": body.command, "data": body.data}).encode()


def _with_plain_line_ends(body: CommandBody) -> bytes:
    return body.data_text.replace(r"\r\n", r"\n").encode()


def _under_its_composed_name(device_id: str, name: str) -> str:
    return control_topic(device_id, unicodedata.normalize("NFC", name))


def _without_questions(body: CommandBody) -> bytes:
    return b"{}" if body.command == SEND_CONFIGURATION else json.dumps(body.data).encode()


class _Anyone:
    """A device's name will do: its password is not looked at."""

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


class _Unnamed(_Anyone):
    """Proper logins, and clients that say no name."""

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        proper = self._directory.authenticate(client_id, username, password)
        return DevicePrincipal(client_id) if username is None else proper


class _Passwordless(_Anyone):
    """Proper logins, and devices that say no password."""

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        proper = self._directory.authenticate(client_id, username, password)
        return DevicePrincipal(client_id) if password is None and username == client_id else proper


class _UnderAnyName(_Anyone):
    """Proper logins, of which each is the device that its client id names."""

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        is_proper = username is not None and self._directory.authenticate(username, username, password) is not None
        return DevicePrincipal(client_id) if is_proper else None


def _without_z(offer: dict[str, Any]) -> dict[str, Any]:
    return offer | {"expires_at": offer["expires_at"].removesuffix("Z")}


_LOST = {"CMD-20": "what goes elsewhere does not arrive", "CMD-03": "nor does it arrive once"}

WRONG_DELIVERIES: tuple[Personality, ...] = (
    Personality(
        "publishes-beside-the-topic",
        "commands go to {device_id}/command/{name}",
        ("CMD-02",),
        _LOST,
        rules=commands_ruled(topic_of=lambda device_id, name: f"{device_id}/command/{name}"),
    ),
    Personality(
        "composes-names",
        "a name's accents are composed with their letters",
        ("CMD-02",),
        rules=commands_ruled(topic_of=_under_its_composed_name),
    ),
    Personality(
        "tells-the-neighbours",
        "every device of the project hears a command",
        ("CMD-02",),
        {
            row: "so many strangers' messages hide what is owed"
            for row in ("CMD-03", "CMD-05", "CMD-10", "CMD-13", "CMD-14", "CMD-20", "CMD-32")
        },
        service=_TellsTheNeighbours,
    ),
    Personality(
        "publishes-with-qos-1",
        "commands go out with QoS 1",
        ("CMD-03",),
        {
            "CMD-20": "a QoS 1 message is lost where the device cut in",
        },
        rules=commands_ruled(qos=1),
    ),
    Personality(
        "publishes-with-qos-0",
        "commands go out with QoS 0",
        ("CMD-03",),
        {"CMD-02": "QoS 0 is lost with a connection"},
        rules=commands_ruled(qos=0),
    ),
    Personality(
        "publishes-twice", "each command is published twice", ("CMD-03",), publisher=publishing(lambda message: [message, message])
    ),
    Personality(
        "takes-equal-commands-for-one",
        "the same command once more is not published",
        ("CMD-02",),
        {row: "what is not published does not arrive" for row in ("CMD-03", "CMD-20")},
        publisher=_deaf_to_repeats,
    ),
    Personality("retains-logos", "download_logo is retained", ("CMD-04",), publisher=publishing(_retained_logos)),
    Personality(
        "asks-for-everything", "the keys of send_configuration are lost", ("CMD-05",), rules=commands_ruled(payload_of=_without_questions)
    ),
    Personality("tidies-line-ends", "CR LF in texts becomes LF", ("CMD-05",), rules=commands_ruled(payload_of=_with_plain_line_ends)),
    Personality("publishes-retained", "commands are retained", ("CMD-04",), rules=commands_ruled(retain=True)),
    Personality("wraps-the-data", "the payload holds command and data", ("CMD-05",), rules=commands_ruled(payload_of=_wrapped)),
    Personality(
        "turns-values-into-text", "the payload's numbers become strings", ("CMD-05",), rules=commands_ruled(payload_of=_stringified)
    ),
    Personality(
        "names-the-key-token",
        "the URL's parameter is token",
        ("CMD-06",),
        publisher=_offering(lambda offer: offer | {"url": offer["url"].replace("?key=", "?token=")}),
    ),
    Personality(
        "sends-devices-to-nobody",
        "the URL's port is one where nobody listens",
        ("CMD-06",),
        publisher=_offering(lambda offer: offer | {"url": re.sub(r"//[^/]*", "//127.0.0.1:9", offer["url"])}),
    ),
    Personality("leaves-the-zone-out", "expires_at has no Z", ("CMD-06",), publisher=_offering(_without_z)),
    Personality("announces-an-hour", "expires_at is an hour ahead", ("CMD-07",), rules=keys_ruled(announced_lifetime_s=3600.0)),
    Personality(
        "hands-out-one-key",
        "all download commands carry the first one's key",
        ("CMD-08",),
        {
            "CMD-03": "an equal message looks like a copy",
            "CMD-07": "and the first one's expiry",
            "KEY-07": "nothing varies",
        },
        publisher=_one_offer_for_all,
    ),
    Personality(
        "loses-every-tenth",
        "each tenth command answers 200 and is not published",
        ("CMD-20",),
        {"CMD-02": "it arrives nowhere", "CMD-03": "not even once"},
        publisher=_dropping_each_tenth,
    ),
    Personality(
        "overtakes-itself",
        "each third command comes later than the next",
        ("CMD-21",),
        {"CMD-20": "a 200 does not mean that the broker has it"},
        publisher=_Hurried,
    ),
    Personality("asks-for-no-password", "a device without a password is let in", ("CMD-23",), directory=_Passwordless),
    Personality("knows-no-names", "a client without name and password is let in", ("CMD-23",), directory=_Unnamed),
    Personality("takes-any-password", "any password opens MQTT", ("CMD-23",), directory=_Anyone),
    Personality("believes-client-ids", "a device may call itself by another one's client id", ("CMD-23",), directory=_UnderAnyName),
    Personality("has-no-walls", "a device reads and writes every topic", ("CMD-23",), directory=_NoWalls),
    Personality(
        "writes-long-keys",
        "the download command does not fit into 256 bytes",
        ("CMD-24",),
        rules=keys_ruled(mint=lambda entropy: entropy.random_bytes(80).hex()),
    ),
    Personality("hopes-for-a-broker", "without a broker commands answer 200", ("CMD-31",), publisher=_Hopeful),
)
