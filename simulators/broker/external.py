"""Any broker that has a URL, behind the port: we can only publish to it."""

import ssl

from harness.errors import BenchError
from simulators.broker.port import BrokerSettings, DeviceDirectory
from simulators.broker.publisher import Publisher

PUBLISHER_ID = "hil-platform"


class ExternalBroker:
    """A broker that runs somewhere else; started and stopped by others, its logins are its own.

    The trusted login of the directory, if there is one, is the platform's; it must exist on the broker.
    """

    def __init__(self, settings: BrokerSettings, directory: DeviceDirectory, *, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._url = url
        self._publisher = platform_publisher(url, directory, tls=tls)

    async def start(self) -> None:
        """Connects once, to see that it is there. Raises BrokerUnavailable, and BenchError for a URL of another kind."""
        try:
            await self._publisher.connected()
        except ValueError as error:
            raise BenchError(str(error)) from error

    async def stop(self) -> None:
        """Ends our own connection."""
        await self._publisher.stop()

    @property
    def mqtt_url(self) -> str:
        """The URL that was given."""
        return self._url

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        """Returns when the broker has acknowledged. Raises BrokerUnavailable."""
        await self._publisher.publish(topic, payload, qos=qos, retain=retain)

    async def disconnect(self, client_id: str) -> bool:
        """Not ours to do: False."""
        return False

    def connected_clients(self) -> frozenset[str] | None:
        """Not ours to know: None."""
        return None


def platform_publisher(url: str, directory: DeviceDirectory, *, tls: ssl.SSLContext | None = None) -> Publisher:
    """A publisher with the first login of the directory that may do everything; without a login, if there is none."""
    for login in directory.logins():
        if login.is_trusted:
            return Publisher(url, login.client_id, username=login.username, password=login.password, tls=tls)
    return Publisher(url, PUBLISHER_ID, tls=tls)
