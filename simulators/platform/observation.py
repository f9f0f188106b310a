"""What a recorder may see of the platform's HTTP side: each exchange of the three endpoints, with its byte timeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Endpoint = Literal["command", "files", "download", "other"]
HeaderFields = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it came in; `device_id` is known for commands from the path, for downloads from the token."""

    endpoint: Endpoint
    method: str
    url: str
    headers: HeaderFields
    body: bytes = b""
    project_id: str = ""
    device_id: str = ""
    peer: str = ""


class HttpObserver(Protocol):
    """Called from the event loop, in order; must return at once. `exchange` numbers the exchanges of one platform from 1."""

    def request(self, exchange: int, request: SeenRequest) -> None: ...

    def response(self, exchange: int, status: int, headers: HeaderFields) -> None: ...

    def progress(self, exchange: int, sent_bytes: int) -> None:
        """So many bytes of the body have been handed to the network by now."""
        ...

    def ended(self, exchange: int, sent_bytes: int, *, complete: bool, body: bytes, problem: str) -> None:
        """The exchange is over. `body` holds answers of the API and error bodies, not files; `problem` says what ended it early."""
        ...
