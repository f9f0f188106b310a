"""The life of a download key, and who may use it.

A key is issued with a command, bound to one device and one file, and ends by its use, after thirty minutes, or with its command where that
cannot be published. What counts as a use is a policy (KEY-08): under `first-use` the first GET that passes every check claims the key
before its first body byte; under `complete-delivery` the transfer that is about to hand out the last missing byte claims it, so that an
aborted transfer or a part does not. Either way the claim is one atomic step of the store; this core says which steps exist and when they
are legal.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from harness.entropy import Entropy
from harness.wire import commands
from harness.wire.commands import KEY_LIFETIME_S, TRANSFER_TIME_S_MAX
from harness.wire.files import FileType
from simulators.platform import access
from simulators.platform.access import AccessRules, Device, Organisation
from simulators.platform.refusals import Refusal

KEY_RANDOM_BYTES = 16  # 128 bits in 22 characters: KEY-07 within the 256 bytes of CMD-24


class KeyState(Enum):
    ISSUED = "issued"
    USED = "used"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class KeyEvent(Enum):
    CLAIMED = "claimed"  # before the first byte (`first-use`)
    COMPLETED = "completed"  # before the last missing byte (`complete-delivery`)
    LIFE_ENDED = "life ended"
    PUBLISH_FAILED = "publish failed"


# A pair that is missing here is refused. A transfer that began in time may end after its key's life (KEY-09): hence the way out of EXPIRED.
NEXT_STATE = {
    (KeyState.ISSUED, KeyEvent.CLAIMED): KeyState.USED,
    (KeyState.ISSUED, KeyEvent.COMPLETED): KeyState.USED,
    (KeyState.EXPIRED, KeyEvent.COMPLETED): KeyState.USED,
    (KeyState.ISSUED, KeyEvent.LIFE_ENDED): KeyState.EXPIRED,
    (KeyState.ISSUED, KeyEvent.PUBLISH_FAILED): KeyState.WITHDRAWN,
}


class UsePolicy(Enum):
    """What consumes a key; the value is the word of the target file's declaration.   Source: KEY-08."""

    FIRST_USE = commands.FIRST_USE
    COMPLETE_DELIVERY = commands.COMPLETE_DELIVERY


Span = tuple[int, int]
"""First byte and the byte after the last one."""


@dataclass(frozen=True, slots=True)
class DownloadKey:
    """An issued key without its secret. Instants in seconds UTC; `covered` are the parts delivered so far (`complete-delivery` only)."""

    id: int
    device_id: str
    project_id: str
    file_type: FileType
    file_name: str
    size_bytes: int
    issued_at_s: float
    expires_at_s: float
    state: KeyState
    covered: tuple[Span, ...] = ()


def mint_key(entropy: Entropy) -> str:
    """A fresh key of 22 characters `A-Z a-z 0-9 _ -`.   Source: KEY-07, CMD-08."""
    return base64.urlsafe_b64encode(entropy.random_bytes(KEY_RANDOM_BYTES)).rstrip(b"=").decode()


def key_expires_at_s(issued_at_s: float, *, lifetime_s: float = KEY_LIFETIME_S) -> float:
    """End of a key's life, in seconds UTC. At that very instant the key is dead.   Source: KEY-01."""
    return issued_at_s + lifetime_s


def is_alive(key: DownloadKey, now_s: float) -> bool:
    """Whether the key can still be used at `now_s`.   Source: KEY-01, KEY-02."""
    return key.state is KeyState.ISSUED and now_s < key.expires_at_s


def is_of(key: DownloadKey, device: Device) -> bool:
    """Whether the key was issued to this device.   Source: KEY-04."""
    return key.device_id == device.id


@dataclass(frozen=True, slots=True)
class KeyRules:
    """The decisions of this core; a wrong platform replaces one."""

    mint: Callable[[Entropy], str] = mint_key
    lifetime_s: float = KEY_LIFETIME_S
    announced_lifetime_s: float = KEY_LIFETIME_S
    transfer_time_s_max: float = TRANSFER_TIME_S_MAX
    use_policy: UsePolicy = UsePolicy.FIRST_USE
    is_alive: Callable[[DownloadKey, float], bool] = is_alive
    is_of: Callable[[DownloadKey, Device], bool] = is_of


@dataclass(frozen=True, slots=True)
class DownloadAttempt:
    """What is known of a download request: the device that its token names, the key that its parameter names, at which instant."""

    device: Device | None
    organisation: Organisation | None
    key: DownloadKey | None
    file_exists: bool
    now_s: float
    rules: KeyRules
    access: AccessRules


def refuse_bad_token(attempt: DownloadAttempt) -> Refusal | None:
    """Source: DLD-02, DLD-03."""
    return None if attempt.device else Refusal(401, "invalid_device_token", "Invalid or missing device token")


def refuse_without_feature(attempt: DownloadAttempt) -> Refusal | None:
    """Source: CMD-22."""
    return access.refuse_without_feature(attempt.organisation, attempt.access) if attempt.organisation else None


def refuse_dead_key(attempt: DownloadAttempt) -> Refusal | None:
    """Unknown, used and expired keys get one answer: it tells nobody which keys exist.   Source: KEY-01, KEY-02, KEY-06."""
    if attempt.key is not None and attempt.rules.is_alive(attempt.key, attempt.now_s):
        return None
    return DEAD_KEY


def refuse_other_device(attempt: DownloadAttempt) -> Refusal | None:
    """Source: KEY-04."""
    if attempt.key is None or attempt.device is None or attempt.rules.is_of(attempt.key, attempt.device):
        return None
    return Refusal(403, "foreign_key", "Download key does not match device ID")


def refuse_missing_file(attempt: DownloadAttempt) -> Refusal | None:
    """Source: DLD-04."""
    if attempt.file_exists:
        return None
    return Refusal(404, "file_not_found", "File not found: it may have been deleted or moved")


DEAD_KEY = Refusal(401, "invalid_download_key", "Expired or invalid download key")

DownloadStep = Callable[[DownloadAttempt], Refusal | None]

DOWNLOAD_STEPS: tuple[DownloadStep, ...] = (  # The order is KEY-11.
    refuse_bad_token,
    refuse_without_feature,
    refuse_dead_key,
    refuse_other_device,
    refuse_missing_file,
)


def judge_download(attempt: DownloadAttempt, steps: Sequence[DownloadStep] = DOWNLOAD_STEPS) -> Refusal | None:
    """The first reason not to serve a download, or None.   Source: KEY-11."""
    return next((refusal for step in steps if (refusal := step(attempt))), None)


def with_part(covered: Sequence[Span], part: Span) -> tuple[Span, ...]:
    """`covered` and `part` together, as few ordered spans as possible."""
    merged: list[Span] = []
    for first, end in sorted([*covered, part]):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((first, end))
    return tuple(merged)


def completes(key: DownloadKey, part: Span) -> bool:
    """Whether delivering `part` leaves no byte of the key's file undelivered."""
    return with_part(key.covered, part) == ((0, key.size_bytes),) or key.size_bytes == 0
