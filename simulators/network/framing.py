"""Where one MQTT packet ends and the next begins, without understanding them: a proxy must hand on what it cannot read."""


class PacketFramer:
    """Cuts a byte stream into raw packets. A length that no packet can have ends the cutting: from there on bytes come as they are."""

    __slots__ = ("_rest", "is_lost")

    def __init__(self) -> None:
        self._rest = b""
        self.is_lost = False

    def feed(self, data: bytes) -> list[bytes]:
        """The raw packets that `data` completes; after `is_lost`, the bytes themselves."""
        data = self._rest + data
        self._rest = b""
        frames = []
        at = 0
        while at < len(data) and not self.is_lost:
            size_bytes = self._size(data, at)
            if size_bytes is None or at + size_bytes > len(data):
                break
            frames.append(data[at : at + size_bytes])
            at += size_bytes
        if self.is_lost and at < len(data):
            frames.append(data[at:])
        elif not self.is_lost:
            self._rest = data[at:]
        return frames

    def _size(self, data: bytes, at: int) -> int | None:
        """The size of the packet at `at` with its header; None while the length is not there.   Source: 2.2.3."""
        length = 0
        for place in range(4):
            if at + 1 + place >= len(data):
                return None
            octet = data[at + 1 + place]
            length |= (octet & 127) << 7 * place
            if octet < 128:
                return 2 + place + length
        self.is_lost = True
        return None
