"""Systems that are wrong by design, each by one race or one wrong order, to show that simulation finds such things.

Each changes one decision of the reference and names the rules of `invariants` that must catch it. A system on which no seed fails would
mean that the rules, the faults or the schedule are blind.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from harness.clock import Clock
from harness.wire.files import FileType
from simulators.device.flash import Flash, area_name
from simulators.device.personality import REFERENCE as REFERENCE_DEVICE
from simulators.device.wrong_exchanges import forget_ids_with_the_connection
from simulators.platform.access import secret_digest
from simulators.platform.keys import KeyEvent, KeyState
from simulators.platform.platform import ReferencePlatform
from simulators.platform.refusals import Refusal
from simulators.platform.service import Download, DownloadRequest
from simulators.world.run import REFERENCE
from simulators.world.system import Flashware, SystemKind

_SAVE_DELAY_S = 0.05
_WRITE_DELAY_S = 0.5
_LOOK_EVERY_S = 1.0


class _LateMark:
    """The store's claim as two steps: looks whether the key is unused, and marks it `delay_s` later (0: in the next step)."""

    def __init__(self, platform: ReferencePlatform, delay_s: float) -> None:
        self._store = platform.store
        self._change_key = platform.store.change_key
        self._delay_s = delay_s

    def __call__(self, key_id: int, event: KeyEvent) -> bool:
        if event is not KeyEvent.CLAIMED:
            return self._change_key(key_id, event)
        key = self._store.key_with_id(key_id)
        if key is None or key.state is not KeyState.ISSUED:
            return False
        loop = asyncio.get_running_loop()
        if self._delay_s:
            loop.call_later(self._delay_s, self._mark, key_id)
        else:
            loop.call_soon(self._mark, key_id)
        return True

    def _mark(self, key_id: int) -> None:
        with contextlib.suppress(sqlite3.ProgrammingError):  # the platform has stopped meanwhile
            self._change_key(key_id, KeyEvent.CLAIMED)


def _mark_late(delay_s: float) -> Callable[[ReferencePlatform], None]:
    def tamper(platform: ReferencePlatform) -> None:
        vars(platform.store)["change_key"] = _LateMark(platform, delay_s)

    return tamper


class _ConsumeBeforeRefusal:
    """Marks the key as used before it asks whose key it is."""

    def __init__(self, platform: ReferencePlatform) -> None:
        self._store = platform.store
        self._open_download = platform.service.open_download

    def __call__(self, request: DownloadRequest) -> Download | Refusal:
        outcome = self._open_download(request)
        if isinstance(outcome, Refusal) and outcome.status == 403:
            self._consume(request.key_values)
        return outcome

    def _consume(self, key_values: Sequence[str]) -> None:
        for value in key_values:
            key = self._store.key(secret_digest(value))
            if key is not None:
                self._store.change_key(key.id, KeyEvent.CLAIMED)


def _consume_before_refusal(platform: ReferencePlatform) -> None:
    vars(platform.service)["open_download"] = _ConsumeBeforeRefusal(platform)


class _WallClock:
    """Durations measured on the wall clock, which jumps."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def monotonic_s(self) -> float:
        return self._clock.utc_s()

    def utc_s(self) -> float:
        return self._clock.utc_s()


def _look_at_the_clock(platform: ReferencePlatform) -> None:
    """A platform that checks its deadlines every second, as cron-like timers do."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        platform.clock.advance(0.0)
        loop.call_later(_LOOK_EVERY_S, look)

    look()


class _CachingFlashware(Flashware):
    """A flash behind a cache that is lost with the power."""

    def __init__(self) -> None:
        super().__init__()
        self._lives = 0

    def power_lost(self) -> None:
        self._lives += 1

    def _later(self, delay_s: float, write: Callable[[], None]) -> None:
        """Calls `write` after so many seconds, unless the power goes first."""
        life = self._lives
        asyncio.get_running_loop().call_later(delay_s, lambda: write() if life == self._lives else None)


class _LateStorage(_CachingFlashware):
    """Acknowledges before it has saved: what is saved reaches the flash a moment later."""

    def save(self, flash: Flash) -> None:
        self._later(_SAVE_DELAY_S, partial(super().save, flash))


class _SlotFirstStorage(_CachingFlashware):
    """Marks an image as in use while its last bytes are still in the cache, and believes its record when it boots."""

    def append(self, area: str, data: bytes) -> None:
        self._later(_WRITE_DELAY_S, partial(super().append, area, data))

    def erase(self, area: str) -> None:
        self._later(_WRITE_DELAY_S, partial(super().erase, area))

    def sha256(self, area: str) -> str:
        for file_type in FileType:
            images = self.flash.shelf(file_type).images if self.flash else ()
            for number, image in enumerate(images):
                if image is not None and area_name(file_type, number) == area:
                    return image.sha256
        return super().sha256(area)


_FORGETFUL_DEVICE = replace(REFERENCE_DEVICE, name="forgets-ids", exchanges=forget_ids_with_the_connection)

PLANTED: dict[str, SystemKind] = {
    kind.name: kind
    for kind in (
        replace(
            REFERENCE,
            name="key-race-2ms",
            story="The platform looks whether a key is unused, and marks it 2 ms later.",
            finds=("a_key_serves_once",),
            tamper=_mark_late(0.002),
        ),
        replace(
            REFERENCE,
            name="key-race-no-delay",
            story="The platform looks whether a key is unused, and marks it in the next step of its loop.",
            finds=("a_key_serves_once",),
            tamper=_mark_late(0.0),
        ),
        replace(
            REFERENCE,
            name="key-consumed-before-403",
            story="The attempt of a foreign device uses the key up.",
            finds=("an_unused_key_works",),
            tamper=_consume_before_refusal,
        ),
        replace(
            REFERENCE,
            name="wall-clock-timer",
            story="The platform measures the 15 minutes of a transfer on the wall clock.",
            finds=("an_undisturbed_download_completes",),
            clock=_WallClock,
            tamper=_look_at_the_clock,
        ),
        replace(
            REFERENCE,
            name="pubrec-lost",
            story="The device forgets packet ids with its connection, so a lost PUBREC doubles the command.",
            finds=("no_command_has_two_effects",),
            personality=_FORGETFUL_DEVICE,
        ),
        replace(
            REFERENCE,
            name="session-saved-after-ack",
            story="The device acknowledges a command 50 ms before its flash knows of it.",
            finds=("no_command_has_two_effects", "the_last_configuration_is_in_force", "every_download_has_one_result"),
            storage=_LateStorage,
        ),
        replace(
            REFERENCE,
            name="slot-marked-before-written",
            story="The device marks an image as in use half a second before its last bytes are in the flash.",
            finds=("what_is_installed_is_what_was_offered",),
            storage=_SlotFirstStorage,
        ),
    )
}
"""By name. `hil simulate --personality NAME` runs one, `--hunt` measures how often each is found."""
