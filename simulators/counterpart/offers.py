"""A broker that may alter the download command on its way: what a stale, a clumsy or a wordy platform would have sent.

The key stays the platform's own, so that the device's request is answered as usual.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from harness.wire.commands import DOWNLOADS, KEY_LIFETIME_S
from harness.wire.topics import parse_control_topic
from simulators.broker.embedded import EmbeddedBroker


@dataclass(frozen=True, slots=True)
class OfferChange:
    """`query` is appended to the URL, `port` replaces its port; `expires_in_s` replaces the time until `expires_at`, negative: the past.

    `spelled_otherwise`: see `spelled_otherwise` below.
    """

    query: str = ""
    port: int | None = None
    expires_in_s: float | None = None
    spelled_otherwise: bool = False

    def apply(self, payload: bytes) -> bytes:
        """The payload of a download command, changed."""
        body = json.loads(payload)
        body["url"] += self.query
        if self.port is not None:
            body["url"] = _at_port(body["url"], self.port)
        if self.expires_in_s is not None:
            issued_at = datetime.fromisoformat(body["expires_at"]) - timedelta(seconds=KEY_LIFETIME_S)
            expires_at = issued_at + timedelta(seconds=self.expires_in_s)
            body["expires_at"] = expires_at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
        return spelled_otherwise(body) if self.spelled_otherwise else json.dumps(body, separators=(",", ":")).encode()


def spelled_otherwise(body: dict[str, str]) -> bytes:
    """The same offer as another platform's JSON library may write it: members that nobody asked for, before the others (CMD-06 allows
    them), blanks between the tokens, and every slash escaped, as PHP does by itself (RFC 8259, 7)."""
    wordy = {"hil": {"note": "\u00e9", "list": [1, None]}} | dict(reversed(body.items()))
    return json.dumps(wordy, indent=1).replace("/", r"\/").encode()


def _at_port(url: str, port: int) -> str:
    """The URL with another port, and not a character else changed."""
    scheme, _, rest = url.partition("://")
    authority, slash, target = rest.partition("/")
    host = authority[: authority.index("]") + 1] if authority.startswith("[") else authority.partition(":")[0]
    return f"{scheme}://{host}:{port}{slash}{target}"


class OfferAlteringBroker(EmbeddedBroker):
    """The embedded broker; `change` concerns the next download command."""

    change: OfferChange | None = None

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None:
        parsed = parse_control_topic(topic)
        if self.change is not None and parsed is not None and parsed.command in DOWNLOADS:
            change, self.change = self.change, None
            payload = change.apply(payload)
        await super().publish(topic, payload, qos=qos, retain=retain)
