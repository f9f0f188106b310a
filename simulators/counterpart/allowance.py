"""How much a device may say in one scenario: one that answers on a topic to which it listens talks to itself without end.

What comes beyond the allowance is acknowledged and goes nowhere (MQTT 3.1.1 has no refusal, 3.3.5-2), so that the talk ends, the record
stays of a size that can be judged, and the next scenario begins in silence.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from simulators.broker.port import DeviceDirectory, Login, Principal

MESSAGES_MAX = 300
"""In one scenario. The most that any asks for is some forty commands, with a result each."""


@dataclass
class Allowance:
    """The messages that a device may still publish; `on_spent` is told when it has none left."""

    on_spent: Callable[[], None]
    left: int = MESSAGES_MAX

    def renew(self) -> None:
        """For the next scenario."""
        self.left = MESSAGES_MAX

    def take(self) -> bool:
        """Whether one message more goes on its way."""
        self.left -= 1
        if self.left == -1:
            self.on_spent()
        return self.left >= 0


@dataclass(frozen=True, slots=True)
class BoundedPrincipal:
    """A client whose messages count against an allowance."""

    principal: Principal
    allowance: Allowance

    @property
    def client_id(self) -> str:
        return self.principal.client_id

    def may_read(self, topic_filter: str) -> bool:
        return self.principal.may_read(topic_filter)

    def may_write(self, topic: str) -> bool:
        return self.principal.may_write(topic) and self.allowance.take()


@dataclass(frozen=True, slots=True)
class BoundedDirectory:
    """A directory whose clients share an allowance."""

    directory: DeviceDirectory
    allowance: Allowance

    def authenticate(self, client_id: str, username: str | None, password: bytes | None) -> Principal | None:
        principal = self.directory.authenticate(client_id, username, password)
        return None if principal is None else BoundedPrincipal(principal, self.allowance)

    def logins(self) -> Iterable[Login]:
        return self.directory.logins()
