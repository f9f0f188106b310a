"""The audit trail as it grows: each line is stored, and whoever listens is told at once."""

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from harness.clock import Clock
from simulators.platform.store import AuditEntry, Store

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Happening(Enum):
    """What a line of the trail is about."""

    COMMAND_SENT = "command sent"
    COMMAND_REFUSED = "command refused"
    KEY_ISSUED = "key issued"
    KEY_USED = "key used"
    KEY_EXPIRED = "key expired"
    KEY_WITHDRAWN = "key withdrawn"
    DOWNLOAD_REFUSED = "download refused"
    DOWNLOAD_STARTED = "download started"
    DOWNLOAD_ENDED = "download ended"
    FILE_UPLOADED = "file uploaded"
    FILE_DELETED = "file deleted"
    ALLOWED_COMMANDS_SET = "allowed commands set"
    LOGIN_REFUSED = "login refused"


def trace_id(traceparent: str) -> str:
    """The trace id of a `traceparent` header, or "" where it is malformed.   Source: W3C Trace Context 3.2."""
    match = _TRACEPARENT.fullmatch(traceparent)
    return match.group(1) if match else ""


class Trail:
    """Writes the audit trail. Facts hold no secrets: a key stands there by its number."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._listeners: list[Callable[[AuditEntry], None]] = []

    def add(self, kind: Happening, device_id: str = "", trace: str = "", facts: Mapping[str, Any] | None = None) -> None:
        """Records that `kind` happened now."""
        at_s = self._clock.utc_s()
        number = self._store.record(at_s, kind.value, device_id, trace, facts or {})
        if self._listeners:
            entry = AuditEntry(number, at_s, kind.value, device_id, trace, dict(facts or {}))
            for listener in list(self._listeners):
                listener(entry)

    def listen(self, listener: Callable[[AuditEntry], None]) -> Callable[[], None]:
        """Tells `listener` of each line from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
