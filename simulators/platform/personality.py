"""What a wrong platform is: the reference with one decision replaced, by name, with the row that it breaks.

Six seams carry every deviation: `rules` (the decisions of the cores), `service` (the use cases), `publisher` (what is handed to the
broker), `answers` (what HTTP says), `directory` (who may log in and reach what), and `faults` (the bytes of a download).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from simulators.broker.port import BrokerPort, DeviceDirectory
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind, DownloadFaultPlan
from simulators.platform.platform import PlatformSettings, ReferencePlatform
from simulators.platform.rules import Change, same_rules
from simulators.platform.service import Service

Answers: TypeAlias = Middleware
MakeBroker: TypeAlias = Callable[[DeviceDirectory], BrokerPort]
Publisher: TypeAlias = Callable[[BrokerPort], BrokerPort]


def same_publisher(broker: BrokerPort) -> BrokerPort:
    """The reference's way to the broker."""
    return broker


def same_directory(directory: DeviceDirectory) -> DeviceDirectory:
    """The reference's logins."""
    return directory


@dataclass(frozen=True, slots=True)
class Personality:
    """One wrong platform. `breaks` holds the rows that certification must find, `also` unavoidable companions with their reasons."""

    name: str
    about: str
    breaks: tuple[str, ...]
    also: Mapping[str, str] = field(default_factory=dict)
    rules: Change = same_rules
    service: type[Service] = Service
    publisher: Publisher = same_publisher
    directory: Callable[[DeviceDirectory], DeviceDirectory] = same_directory
    answers: Answers | None = None
    faults: DownloadFaultPlan | None = None

    def make(self, settings: PlatformSettings, make_broker: MakeBroker, **options: Any) -> ReferencePlatform:
        """A platform of this kind, not started yet; `options` are those of `ReferencePlatform`."""
        return ReferencePlatform(
            replace(settings, rules=self.rules(settings.rules)),
            lambda directory: self.publisher(make_broker(self.directory(directory))),
            service_type=self.service,
            middlewares=() if self.answers is None else (web.middleware(self.answers),),
            faults=self.faults,
            **options,
        )


# --- words in which personalities are told ---------------------------------------------------------------------------------------------


def every_download(kind: DownloadFaultKind, **fields: Any) -> DownloadFaultPlan:
    """A plan that strikes every download."""
    return lambda download: DownloadFault(kind, **fields)


class Message(NamedTuple):
    """What the platform hands to its broker."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


Meddling: TypeAlias = Callable[[Message], Iterable[Message]]
"""What becomes of a message: other ones, several, none."""


def as_it_is(message: Message) -> list[Message]:
    """The message, and nothing else."""
    return [message]


class Meddler:
    """A broker port that hands over something else than it was given; everything but `publish` is the real broker's."""

    def __init__(self, broker: BrokerPort, meddle: Meddling = as_it_is) -> None:
        self._broker = broker
        self._meddle = meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    @property
    def mqtt_url(self) -> str:
        return self._broker.mqtt_url

    async def start(self) -> None:
        await self._broker.start()

    async def stop(self) -> None:
        await self._broker.stop()

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        for message in self._meddle(Message(topic, payload, qos, retain)):
            await self._broker.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)

    async def disconnect(self, client_id: str) -> bool:
        return await self._broker.disconnect(client_id)

    def connected_clients(self) -> frozenset[str] | None:
        return self._broker.connected_clients()


def publishing(meddle: Meddling) -> Publisher:
    """A publisher that hands over what `meddle` makes of each message."""
    return lambda broker: Meddler(broker, meddle)


def is_command(request: web.Request) -> bool:
    """Whether a request is for the command endpoint."""
    return request.path.endswith("/communication/command")


def is_list(request: web.Request) -> bool:
    """Whether a request is for a file list."""
    return request.path.endswith("/files")


def is_download(request: web.Request) -> bool:
    """Whether a request is for a download."""
    return request.path.endswith("/device/download")


def answering(
    *, where: Callable[[web.Request], bool], status: int, as_status: int | None = None, text: bytes | None = None, media_type: str = ""
) -> Answers:
    """Answers of one status on some endpoint, with another status, body or media type."""

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = await handler(request)
        if not where(request) or given.status != status or not isinstance(given, web.Response):
            return given
        headers = {name: value for name, value in given.headers.items() if name.lower() not in ("content-length", "content-type")}
        content_type = media_type or given.content_type
        body = given.body if text is None else text
        return web.Response(status=as_status or status, body=body, headers=headers, content_type=content_type)

    return answer
