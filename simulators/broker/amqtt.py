"""amqtt behind the port: the independent broker of this process, written by others, with its known defects.

It breaks BRK-01 to BRK-05, as `hil broker check --broker amqtt` shows: good for seeing that a check can fail and for tests between
implementations, not for judging devices. Logins and rights come from the same directory, through two plug-ins.
"""

import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any

from amqtt.broker import Action, Broker
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin

from harness.errors import BenchError
from simulators.broker.external import platform_publisher
from simulators.broker.port import AnyoneMayDoAnything, BrokerSettings, BrokerUnavailable, DeviceDirectory, Principal
from simulators.broker.publisher import Publisher
from simulators.network.addresses import free_port, host_in_url

# Every connection and every packet of a fleet would else be a line.
logging.getLogger("amqtt").setLevel(logging.CRITICAL)
logging.getLogger("transitions").setLevel(logging.CRITICAL)


@dataclass
class Rights:
    """The directory, and who has logged in: shared by the two plug-ins of one broker."""

    directory: DeviceDirectory = field(default_factory=AnyoneMayDoAnything)
    principals: dict[str, Principal] = field(default_factory=dict)


class DirectoryLogin(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is not typed
    """Asks the directory who may log in."""

    @dataclass
    class Config:
        rights: Any = None

    async def authenticate(self, *, session: Any) -> bool:
        rights: Rights = self.config.rights
        password = session.password.encode() if isinstance(session.password, str) else session.password
        principal = rights.directory.authenticate(session.client_id, session.username, password)
        if principal is not None:
            rights.principals[session.client_id] = principal
        return principal is not None


class DirectoryRights(BaseTopicPlugin):  # type: ignore[misc]
    """Asks the directory who may read and write what."""

    @dataclass
    class Config:
        rights: Any = None

    async def topic_filtering(self, *, session: Any = None, topic: str | None = None, action: Any = None) -> bool:
        rights: Rights = self.config.rights
        principal = rights.principals.get(session.client_id)
        if principal is None or topic is None:
            return False
        return principal.may_write(topic) if action is Action.PUBLISH else principal.may_read(topic)


class AmqttBroker:
    """amqtt's broker, in this process and on its event loop."""

    def __init__(self, settings: BrokerSettings, directory: DeviceDirectory) -> None:
        self._settings = settings
        self._rights = Rights(directory)
        self._port = settings.port
        self._broker: Any = None
        self._publisher: Publisher | None = None

    async def start(self) -> None:
        """Serves when it returns. Raises BenchError when it cannot."""
        self._port = free_port(self._settings.bind, self._port)
        self._broker = Broker(
            {
                "listeners": {
                    "default": {"type": "tcp", "bind": f"{host_in_url(self._settings.bind)}:{self._port}", "max_connections": 20_000}
                },
                "plugins": {
                    f"{__name__}.{DirectoryLogin.__name__}": {"rights": self._rights},
                    f"{__name__}.{DirectoryRights.__name__}": {"rights": self._rights},
                },
            }
        )
        try:
            await self._broker.start()
        except Exception as error:
            await self.stop()
            raise BenchError(f"amqtt does not start on port {self._port}: {error}") from error
        self._publisher = platform_publisher(self.mqtt_url, self._rights.directory)

    async def stop(self) -> None:
        """Closes listener and connections; harmless when it is not running."""
        if self._publisher is not None:
            await self._publisher.stop()
            self._publisher = None
        broker, self._broker = self._broker, None
        if broker is not None:
            with contextlib.suppress(Exception):  # it fails when clients vanish while it shuts down; it is down all the same
                await broker.shutdown()

    @property
    def mqtt_url(self) -> str:
        """`mqtt://host:port`, known after `start`."""
        return f"mqtt://{self._settings.url_host}:{self._port}"

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        """Returns when amqtt has acknowledged. Raises BrokerUnavailable."""
        if self._publisher is None:
            raise BrokerUnavailable("amqtt is not running")
        await self._publisher.publish(topic, payload, qos=qos, retain=retain)

    async def disconnect(self, client_id: str) -> bool:
        """amqtt offers no safe way to do it: False."""
        return False

    def connected_clients(self) -> frozenset[str] | None:
        """amqtt does not tell reliably: None."""
        return None
