"""What the platform does when it is asked: the cores' decisions carried out on the store, the contents and the broker.

No HTTP here, and no decision of its own: requests come in as values, refusals and results go out as values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote

from harness.clock import Clock, rfc3339
from harness.entropy import Entropy
from harness.wire.commands import DownloadOffer
from harness.wire.responses import DOWNLOAD_PATH
from simulators.broker.port import BrokerUnavailable
from simulators.platform.access import Caller, Device, secret_digest
from simulators.platform.commands import FILE_NOT_FOUND, Admitted, CommandAttempt, admit, parse_body, wanted_file
from simulators.platform.contents import Contents
from simulators.platform.files import StoredFile, list_of_foreign_project, refuse_list
from simulators.platform.keys import (
    DEAD_KEY,
    NEXT_STATE,
    DownloadAttempt,
    DownloadKey,
    KeyEvent,
    KeyState,
    UsePolicy,
    completes,
    judge_download,
    key_expires_at_s,
    with_part,
)
from simulators.platform.ranges import Unsatisfiable, requested_span
from simulators.platform.refusals import Refusal
from simulators.platform.rules import Rules
from simulators.platform.storage import Storage
from simulators.platform.store import Store
from simulators.platform.trail import Happening, Trail

SWEPT_AT_A_TIME = 200
"""Keys that are ended in one go: some 15 ms."""


class Publisher(Protocol):
    """The part of a broker that the service needs."""

    async def publish(self, topic: str, payload: bytes, *, qos: int = 2, retain: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A command request as it came in. `authorization` holds every such header field."""

    authorization: Sequence[str]
    project_id: str
    device_id: str
    body: bytes
    trace: str = ""


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """A download request as it came in. `key_values` holds the value of every `key` parameter, `ranges` every Range field."""

    authorization: Sequence[str]
    key_values: Sequence[str]
    ranges: Sequence[str]
    is_head: bool
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Download:
    """A download that is to be served: `first` to `end` (behind the last byte) of `copy`, which the receiver closes; None for HEAD."""

    key: DownloadKey
    copy: BinaryIO | None
    first: int
    end: int
    trace: str
    is_claimed_at_end: bool  # the key is claimed before the last byte goes out, and not before the first one

    @property
    def is_part(self) -> bool:
        return (self.first, self.end) != (0, self.key.size_bytes)


class Service:
    """The platform's use cases. `public_url` is known once the HTTP server listens."""

    def __init__(
        self, store: Store, contents: Contents, publisher: Publisher, clock: Clock, entropy: Entropy, rules: Rules, trail: Trail
    ) -> None:
        self._store = store
        self._contents = contents
        self._publisher = publisher
        self._clock = clock
        self._entropy = entropy
        self.rules = rules
        self._trail = trail
        self.storage = Storage(store, contents, clock, trail)
        self.public_url = ""

    def caller(self, authorization: Sequence[str]) -> Caller | None:
        """Who sends a request with these `Authorization` fields.   Source: CMD-13."""
        api_key = self.rules.access.api_key_of(authorization)
        return self._store.caller(secret_digest(api_key)) if api_key is not None else None

    # --- commands ---

    async def send_command(self, request: CommandRequest) -> Refusal | None:
        """Publishes the command, or says why not. None means that the broker has taken it (CMD-20)."""
        admitted = self._admit(request)
        if isinstance(admitted, Refusal):
            return self._refused(admitted, request)
        offer = self._offer(admitted, admitted.file, request.trace) if admitted.file else (admitted.payload, None)
        if isinstance(offer, Refusal):
            return self._refused(offer, request, admitted.device.id)
        payload, key_id = offer
        facts: dict[str, Any] = {"command": admitted.command, "payload_bytes": len(payload)}
        try:
            await self._publisher.publish(admitted.topic, payload, qos=admitted.qos, retain=admitted.retain)
        except BrokerUnavailable:
            if key_id is not None:
                self._end_key(key_id, KeyEvent.PUBLISH_FAILED, Happening.KEY_WITHDRAWN, admitted.device.id)
            status = self.rules.http.unavailable_status
            refusal = Refusal(status, "broker_unavailable", "The command could not be handed to the MQTT broker")
            return self._refused(refusal, request, admitted.device.id, **facts)
        self._trail.add(Happening.COMMAND_SENT, admitted.device.id, request.trace, facts)
        return None

    def _refused(self, refusal: Refusal, request: CommandRequest, device_id: str = "", **facts: Any) -> Refusal:
        self._trail.add(Happening.COMMAND_REFUSED, device_id, request.trace, {**facts, "status": refusal.status, "code": refusal.code})
        return refusal

    def _admit(self, request: CommandRequest) -> Admitted | Refusal:
        body = parse_body(request.body, self.rules.commands)
        wanted = wanted_file(body)
        attempt = CommandAttempt(
            caller=self.caller(request.authorization),
            project_id=request.project_id,
            device=self._store.device(request.device_id),
            body=body,
            file=self._store.file(request.project_id, *wanted) if wanted else None,
            rules=self.rules.commands,
            access=self.rules.access,
        )
        return admit(attempt, self.rules.command_steps)

    def _offer(self, admitted: Admitted, file: StoredFile, trace: str) -> tuple[bytes, int] | Refusal:
        """Issues a key for the admitted download and makes its copy, both before anybody can use it."""
        device = admitted.device
        rules = self.rules.keys
        issued_at_s = self._clock.utc_s()
        secret = rules.mint(self._entropy)
        try:
            with self._store.transaction():
                fresh = _fresh_key(file, device.id, issued_at_s, key_expires_at_s(issued_at_s, lifetime_s=rules.lifetime_s))
                key_id = self._store.issue_key(secret_digest(secret), fresh)
                self._contents.make_copy(key_id, file.sha256)
        except FileNotFoundError:  # another process has deleted the file since it was looked up
            return FILE_NOT_FOUND
        self._trail.add(Happening.KEY_ISSUED, device.id, trace, {"key": key_id, "file_name": file.name, "size": file.size_bytes})
        url = f"{self.public_url}{DOWNLOAD_PATH}?key={quote(secret, safe='')}"
        expires_at = rfc3339(key_expires_at_s(issued_at_s, lifetime_s=rules.announced_lifetime_s))
        return DownloadOffer(url, expires_at).payload(), key_id

    # --- lists ---

    def list_files(self, authorization: Sequence[str], type_values: Sequence[str], project_id: str | None) -> Refusal | list[StoredFile]:
        """The files of one project, or with None of the caller's organisation.   Source: LST-01, LST-02, LST-10."""
        caller = self.caller(authorization)
        file_type = self.rules.files.file_type_of(type_values)
        if refusal := refuse_list(caller, file_type, self.rules.access):
            return refusal
        assert caller is not None
        assert file_type is not None
        if project_id is None:
            organisation = None if self.rules.files.crosses_organisations else caller.organisation.id
            return self._store.organisation_files(organisation, file_type)
        project = self._store.project(project_id)
        if project is not None and project.organisation_id == caller.organisation.id:
            return self._store.project_files(project_id, file_type)
        return list_of_foreign_project(self.rules.files)

    # --- downloads ---

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        """Judges a download request and, under `first-use`, claims its key, all in one go without giving way to another request."""
        opened = self._judge_download(request)
        if isinstance(opened, Refusal):
            return opened
        if not request.is_head and not opened.is_claimed_at_end and not self.claim(opened):
            self.release_copy(opened)
            return DEAD_KEY
        return opened

    def _judge_download(self, request: DownloadRequest) -> Download | Refusal:
        device = self._device(request.authorization)
        key = self._store.key(secret_digest(request.key_values[0])) if len(request.key_values) == 1 else None
        attempt = DownloadAttempt(
            device=device,
            organisation=self._store.organisation(device.organisation_id) if device else None,
            key=key,
            file_exists=key is not None and self._store.file(key.project_id, key.file_type, key.file_name) is not None,
            now_s=self._clock.utc_s(),
            rules=self.rules.keys,
            access=self.rules.access,
        )
        refusal = judge_download(attempt, self.rules.download_steps)
        if refusal:
            facts = {"status": refusal.status, "code": refusal.code, "key": key.id if key else None}
            self._trail.add(Happening.DOWNLOAD_REFUSED, device.id if device else "", request.trace, facts)
            return refusal
        assert key is not None
        return self._open(key, request)

    def _open(self, key: DownloadKey, request: DownloadRequest) -> Download | Refusal:
        serves_parts = self.rules.keys.use_policy is UsePolicy.COMPLETE_DELIVERY
        try:
            span = requested_span(request.ranges, key.size_bytes) if serves_parts else None
        except Unsatisfiable:
            return Refusal(416, "range_not_satisfiable", f"The file has {key.size_bytes} bytes")
        first, end = span or (0, key.size_bytes)
        if request.is_head:
            return Download(key, None, first, end, request.trace, is_claimed_at_end=False)
        copy = self._contents.open_copy(key.id)
        if copy is None:
            return DEAD_KEY
        return Download(key, copy, first, end, request.trace, is_claimed_at_end=serves_parts)

    def claim(self, download: Download) -> bool:
        """Makes the key used; False where somebody else was faster, or its life ended.   Source: KEY-02, KEY-03."""
        event = KeyEvent.COMPLETED if download.is_claimed_at_end else KeyEvent.CLAIMED
        if not self._store.change_key(download.key.id, event):
            return False
        self._trail.add(Happening.KEY_USED, download.key.device_id, download.trace, {"key": download.key.id})
        return True

    def claim_if_complete(self, download: Download) -> bool:
        """Before the last byte of a transfer under `complete-delivery`: claims the key if this byte completes the file.

        False where the transfer must not go on, because the file was delivered completely elsewhere meanwhile.   Source: KEY-03, KEY-08.
        """
        now = self._store.key_with_id(download.key.id)
        if now is None or (now.state, KeyEvent.COMPLETED) not in NEXT_STATE:
            return False
        if completes(now, (download.first, download.end)):
            return self.claim(download)
        self._store.set_covered(now.id, with_part(now.covered, (download.first, download.end)))
        return True

    def unclaim(self, download: Download) -> None:
        """Makes a claimed key unused again: for faults that are to leave it alone. No correct path leads here."""
        self._store.reissue_key(download.key.id)

    @property
    def accept_ranges(self) -> str:
        """Source: DLD-10."""
        return "bytes" if self.rules.keys.use_policy is UsePolicy.COMPLETE_DELIVERY else "none"

    def device_id_of(self, authorization: Sequence[str]) -> str:
        """The device whose token a request carries, or ""."""
        device = self._device(authorization)
        return device.id if device else ""

    def _device(self, authorization: Sequence[str]) -> Device | None:
        token = self.rules.access.device_token_of(authorization)
        return self._store.device_with_token(secret_digest(token)) if token is not None else None

    def download_started(self, download: Download) -> None:
        facts = {"key": download.key.id, "file_name": download.key.file_name, "size": download.end - download.first}
        self._trail.add(Happening.DOWNLOAD_STARTED, download.key.device_id, download.trace, facts)

    def download_ended(self, download: Download, sent_bytes: int, problem: str) -> None:
        """Closes the download; `problem` is empty, or what cut it short."""
        facts = {"key": download.key.id, "sent_bytes": sent_bytes, "complete": not problem, "problem": problem}
        self._trail.add(Happening.DOWNLOAD_ENDED, download.key.device_id, download.trace, facts)
        self.release_copy(download)

    def release_copy(self, download: Download) -> None:
        """Closes the copy, and deletes it if nobody can use the key any more.   Source: DLD-06."""
        if download.copy is not None:
            download.copy.close()
        key = self._store.key_with_id(download.key.id)
        if key is None or key.state is not KeyState.ISSUED:
            self._contents.remove_copy(download.key.id)

    # --- keys that nobody used ---

    def sweep(self) -> float | None:
        """Ends keys whose life is over and deletes their copies; returns when the next one ends, in seconds UTC.   Source: DLD-06.

        Not more than `SWEPT_AT_A_TIME`, as everybody waits meanwhile: the next one may have ended already.
        """
        for key in self._store.keys_ending_by(self._clock.utc_s(), limit=SWEPT_AT_A_TIME):
            self._end_key(key.id, KeyEvent.LIFE_ENDED, Happening.KEY_EXPIRED, key.device_id)
        return self._store.next_key_end_s()

    def remove_orphans(self) -> None:
        """Deletes what a killed process left behind: bytes that no file has, and copies for keys that are used or over."""
        self.storage.remove_orphans()
        with self._store.transaction():  # so that no other process is between a copy and its key's record
            for key_id in list(self._contents.copies()):
                key = self._store.key_with_id(key_id)
                if key is None or key.state is not KeyState.ISSUED:
                    self._contents.remove_copy(key_id)

    def _end_key(self, key_id: int, event: KeyEvent, happening: Happening, device_id: str) -> None:
        if self._store.change_key(key_id, event):
            self._trail.add(happening, device_id, "", {"key": key_id})
            self._contents.remove_copy(key_id)


def _fresh_key(file: StoredFile, device_id: str, issued_at_s: float, expires_at_s: float) -> DownloadKey:
    return DownloadKey(0, device_id, file.project_id, file.type, file.name, file.size_bytes, issued_at_s, expires_at_s, KeyState.ISSUED)
