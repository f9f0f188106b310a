"""Packet ids in use by one end of a session, and the next free one.

Ids go round through 1 to 65,535, so that an id rests as long as possible between two uses and a late answer is told from a
new one.   Source: MQTT-2.3.1-2, MQTT-2.3.1-3, MQTT-2.3.1-4.
"""

from collections.abc import Iterable

from harness.errors import LocalWireError

PACKET_ID_MAX = 0xFFFF


class PacketIdsExhausted(LocalWireError):
    """All 65,535 packet ids are in use: the caller must wait for an exchange to end."""


class PacketIds:
    """The ids of one end: those in use, and where the search goes on."""

    __slots__ = ("_in_use", "_last")

    def __init__(self, in_use: Iterable[int] = ()) -> None:
        self._in_use = set(in_use)
        self._last = max(self._in_use, default=0)

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._in_use)

    def take(self) -> int:
        """The next free id, from now on in use. Raises PacketIdsExhausted."""
        if len(self._in_use) == PACKET_ID_MAX:
            raise PacketIdsExhausted(f"all {PACKET_ID_MAX} packet ids are in use [MQTT-2.3.1-2]")
        candidate = self._last % PACKET_ID_MAX + 1
        while candidate in self._in_use:
            candidate = candidate % PACKET_ID_MAX + 1
        self._in_use.add(candidate)
        self._last = candidate
        return candidate

    def release(self, packet_id: int) -> None:
        """Free `packet_id`, which is in use."""
        self._in_use.remove(packet_id)
