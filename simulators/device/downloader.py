"""One download as a state machine: it says what to ask, judges what comes, and never touches a socket.

A skin does what the actions say and feeds back what it saw. Left to others: what a device decides about a download (`download_rules`),
sockets and timeouts (the skin), areas and the record of what is installed (`machine`).
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

from simulators.device.download_rules import DownloadRules, Style, origin_of
from simulators.device.flash import Image

# ---------------------------------------- what the skin does, and what it saw


@dataclass(frozen=True, slots=True)
class Request:
    """Send this over a fresh connection; do not follow redirects, do not repeat it by yourself."""

    method: str
    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Erase:
    """Empty the area that is written to."""


@dataclass(frozen=True, slots=True)
class Write:
    """Append to the area."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """Feed `Waited` after so many seconds."""

    duration_s: float


@dataclass(frozen=True, slots=True)
class Finish:
    """The download is over. `image` is what may be installed; None where it failed."""

    message: str
    image: Image | None = None


Action: TypeAlias = Request | Erase | Write | Wait | Finish


@dataclass(frozen=True, slots=True)
class Begin:
    """The download may start."""


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Body:
    """Some bytes of the answer's body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd:
    """The body ended where HTTP's framing said so."""


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer, or the connection was lost, stalled or closed inside the body."""

    reason: str


@dataclass(frozen=True, slots=True)
class Waited:
    """The wait is over."""


EventKind = TypeVar("EventKind")
Event: TypeAlias = Begin | Response | Body | BodyEnd | Failed | Waited


Phase = Enum("Phase", "IDLE SIZING ASKED READING WAITING DONE")

_REDIRECTS = (301, 302, 303, 307, 308)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


class Download:
    """The state of one download. Feed it events, do its actions in order; after `Finish` every event is ignored."""

    __slots__ = (
        "_digest", "_expected", "_file_name", "_first_url", "_leg_bytes", "_redirects", "_refusals",
        "_rules", "_size_bytes", "_token", "_total", "_url", "phase",
    )  # fmt: skip

    def __init__(self, rules: DownloadRules, *, url: str, token: str, file_name: str = "") -> None:
        """`file_name` is the command's, if it named one; otherwise the answer's header or the file's type gives it."""
        self.phase = Phase.IDLE
        self._rules = rules
        self._token = token
        self._file_name = file_name
        self._first_url = self._url = rules.address(url)
        self._redirects = 0
        self._refusals = 0
        self._size_bytes = 0  # written so far
        self._leg_bytes = 0  # of the answer that is being read
        self._expected: int | None = None  # Content-Length of that answer
        self._total: int | None = None  # of the whole file, where ranges told it
        self._digest = hashlib.sha256()

    def feed(self, event: Event) -> list[Action]:
        """What to do now. Raises ValueError for an event that cannot happen in this phase: the skin's mistake."""
        handler = _HANDLERS.get((self.phase, type(event)))
        if handler is None:
            raise ValueError(f"{type(event).__name__} cannot happen while a download is {self.phase.name}")
        return handler(self, event)

    # Handlers, one per legal pair of the table below.

    def _begin(self, event: Event) -> list[Action]:
        return [Erase(), self._ask()]

    def _sized(self, event: Event) -> list[Action]:
        """The answer to HEAD."""
        response = _as(Response, event)
        if (moved := self._redirected(response)) is not None:
            return moved
        if not self._rules.accepts(response.status):
            return self._refused(response.status)
        self._total = _content_length(response.headers)
        self.phase = Phase.ASKED
        return [self._request("GET")]

    def _answered(self, event: Event) -> list[Action]:
        response = _as(Response, event)
        if (moved := self._redirected(response)) is not None:
            return moved
        if not self._rules.accepts(response.status):
            return self._refused(response.status)
        if response.status == 206 and (problem := self._part_problem(response.headers)):
            return self._fail(problem)
        if response.status == 200 and self._size_bytes:
            return self._fail("the server ignored the range of a part")
        return self._start_reading(response)

    def _read(self, event: Event) -> list[Action]:
        data = _as(Body, event).data
        self._leg_bytes += len(data)
        written = self._rules.alters(data)
        if self._size_bytes + len(written) > self._rules.size_bytes_max:
            return self._fail(f"the file is larger than {self._rules.size_bytes_max} bytes")
        self._size_bytes += len(written)
        self._digest.update(written)
        return [Write(written)]

    def _ended(self, event: Event) -> list[Action]:
        ended_cleanly = isinstance(event, BodyEnd)
        if not self._rules.is_whole(self._expected, self._leg_bytes, ended_cleanly=ended_cleanly):
            why = event.reason if isinstance(event, Failed) else "the body ended early"
            return self._fail(f"{why}: {self._leg_bytes} of {self._expected} bytes")
        if ended_cleanly and self._total is not None and self._size_bytes < self._total and self._rules.style is Style.RANGE:
            return [self._ask()]
        return self._succeed()

    def _lost(self, event: Event) -> list[Action]:
        return self._fail(_as(Failed, event).reason)

    def _ask_again(self, event: Event) -> list[Action]:
        return [self._ask()]

    def _ignore(self, event: Event) -> list[Action]:
        return []

    # What the handlers share.

    def _ask(self) -> Request:
        if self._rules.style is Style.HEAD_GET and self._total is None:
            self.phase = Phase.SIZING
            return self._request("HEAD")
        self.phase = Phase.ASKED
        return self._request("GET")

    def _request(self, method: str) -> Request:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        authorization = self._rules.authorization(self._token)
        if authorization is not None and self._rules.token_may_go(self._first_url, self._url):
            headers["Authorization"] = authorization
        if self._rules.style is Style.RANGE and method == "GET":
            headers["Range"] = f"bytes={self._size_bytes}-{self._size_bytes + self._rules.range_bytes - 1}"
        return Request(method, self._url, headers)

    def _redirected(self, response: Response) -> list[Action] | None:
        """The request for the new place, or None where the answer is no redirect."""
        location = response.headers.get("location", "")
        if response.status not in _REDIRECTS or not location:
            return None
        self._redirects += 1
        if self._redirects > self._rules.redirects_max:
            return self._fail(f"more than {self._rules.redirects_max} redirects")
        problem = self._move_to(location)
        return self._fail(problem) if problem else [self._request("HEAD" if self.phase is Phase.SIZING else "GET")]

    def _move_to(self, location: str) -> str | None:
        """Makes `location` the place to ask; returns why not, where it cannot be."""
        try:
            target = urljoin(self._url, location)
            scheme, host, _ = origin_of(target)
        except ValueError:
            return "a redirect to no address"
        if scheme not in ("http", "https") or not host:
            return "a redirect leaves HTTP"
        if scheme == "http" and urlsplit(self._url).scheme == "https":
            return "a redirect leaves https"
        self._url = target
        return None

    def _refused(self, status: int) -> list[Action]:
        if not self._rules.is_refusal(status) or self._refusals >= len(self._rules.refusal_waits_s):
            return self._fail(f"HTTP status {status}")
        self._refusals += 1
        self.phase = Phase.WAITING
        return [Wait(self._rules.refusal_waits_s[self._refusals - 1])]

    def _part_problem(self, headers: Mapping[str, str]) -> str | None:
        """Why a 206 is not the part that was asked for; notes the total where it is."""
        if self._rules.style is not Style.RANGE:
            return "a part where the whole file was asked for"
        found = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if found is None or int(found[1]) != self._size_bytes:
            return f"a part with Content-Range {headers.get('content-range')!r} where byte {self._size_bytes} was asked for"
        self._total = int(found[3])
        return None

    def _start_reading(self, response: Response) -> list[Action]:
        self._expected = _content_length(response.headers)
        self._leg_bytes = 0
        if self._expected is None and "chunked" not in response.headers.get("transfer-encoding", "").lower():
            return self._fail("neither Content-Length nor chunked: a cut could not be seen")
        announced = self._size_bytes + (self._expected or 0)
        if announced > self._rules.size_bytes_max:
            return self._fail(f"the file of {announced} bytes is larger than {self._rules.size_bytes_max}")
        self._file_name = self._file_name or file_name_of(response.headers.get("content-disposition", ""))
        self.phase = Phase.READING
        return []

    def _succeed(self) -> list[Action]:
        if not self._size_bytes:
            return self._fail("the file is empty")
        if self._total is not None and self._size_bytes != self._total:
            return self._fail(f"{self._size_bytes} bytes of a file of {self._total}")
        self.phase = Phase.DONE
        return [Finish("downloaded", Image(self._file_name, self._size_bytes, self._digest.hexdigest()))]

    def _fail(self, message: str) -> list[Action]:
        self.phase = Phase.DONE
        return [Finish(message)]


_HANDLERS: dict[tuple[Phase, type[Event]], Callable[[Download, Event], list[Action]]] = {
    # A pair that is missing here is refused; the tests try every missing pair.
    (Phase.IDLE, Begin): Download._begin,
    (Phase.SIZING, Response): Download._sized,
    (Phase.SIZING, Failed): Download._lost,
    (Phase.ASKED, Response): Download._answered,
    (Phase.ASKED, Failed): Download._lost,
    (Phase.READING, Body): Download._read,
    (Phase.READING, BodyEnd): Download._ended,
    (Phase.READING, Failed): Download._ended,
    (Phase.WAITING, Waited): Download._ask_again,
    (Phase.WAITING, Failed): Download._lost,  # its time was over
    # A skin may have seen one more thing before it learnt that the download is over.
    (Phase.DONE, Body): Download._ignore,
    (Phase.DONE, BodyEnd): Download._ignore,
    (Phase.DONE, Failed): Download._ignore,
    (Phase.DONE, Waited): Download._ignore,
}


def file_name_of(content_disposition: str) -> str:
    """The file name in a Content-Disposition header, as a label only: path parts are cut off."""
    found = re.search(r'filename="?([^";]+)', content_disposition)
    return found[1].strip().replace("\\", "/").rpartition("/")[2] if found else ""


def _as(kind: type[EventKind], event: Event) -> EventKind:
    """`event`, known to be of `kind` by the table above."""
    assert isinstance(event, kind)
    return event


def _content_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text) else None
