"""Brokers by name: the entry points of the group `hil.brokers`, and any URL."""

from importlib.metadata import entry_points
from urllib.parse import urlsplit

from harness.bench.streams import PORTS
from harness.errors import OptionError
from harness.extras import missing_extra
from simulators.broker.embedded import EmbeddedBroker
from simulators.broker.external import ExternalBroker
from simulators.broker.port import BrokerPort, BrokerSettings, DeviceDirectory, PacketObserver

GROUP = "hil.brokers"
EMBEDDED = "embedded"


def is_url(name: str) -> bool:
    """Whether `name` means a broker that runs already."""
    return "://" in name


def require_broker_url(url: str) -> None:
    """Raises ConfigurationError for a URL that no broker can have."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise OptionError("--broker", f"{url!r} is no URL of a broker: {', '.join(PORTS)}, a host, and a port to 65535")


def broker_named(name: str, settings: BrokerSettings, directory: DeviceDirectory, *, observer: PacketObserver | None = None) -> BrokerPort:
    """A broker that has not been started. Raises ConfigurationError for a name or URL that means nothing.

    `observer` sees the packets of the embedded one; no other can show them.
    """
    if is_url(name):
        require_broker_url(name)
        return ExternalBroker(settings, directory, url=name)
    if name == EMBEDDED:
        return EmbeddedBroker(settings, directory, observer=observer)
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise OptionError("--broker", f"there is no broker {name!r}; there is {', '.join(sorted(points))}, or a URL")
    try:
        broker: BrokerPort = points[name].load()(settings, directory)
    except ImportError as error:
        raise OptionError("--broker", f"{name!r} is not installed: {missing_extra(error) or error}") from error
    return broker
