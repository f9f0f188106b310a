"""How often one address may fail to log in: a sliding minute per peer. Pure; the clock's instants come in."""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 60.0
PEERS_MAX = 10_000  # addresses remembered at a time; the longest silent one goes first


@dataclass(slots=True)
class LoginLimit:
    """At most `failures_max` refused credentials of one peer within a minute; after that it waits."""

    failures_max: int
    _failures: dict[str, deque[float]] = field(default_factory=dict)

    def failed(self, peer: str, now_s: float) -> None:
        """Counts a refused credential."""
        failures = self._failures.pop(peer, None) or deque(maxlen=self.failures_max)
        failures.append(now_s)
        self._failures[peer] = failures
        if len(self._failures) > PEERS_MAX:
            del self._failures[next(iter(self._failures))]

    def wait_s(self, peer: str, now_s: float) -> float:
        """How long the peer must wait before it is heard again; 0 if it need not."""
        failures = self._failures.get(peer)
        if failures is None or len(failures) < self.failures_max:
            return 0.0
        return max(0.0, failures[0] + WINDOW_S - now_s)
