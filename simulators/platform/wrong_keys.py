"""Wrong platforms, by the rows of KEY: how long a key lives, what uses it up, who may use it, what it looks like."""

import itertools
import json
from dataclasses import replace
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from harness.wire.commands import KEY_LIFETIME_S, DeviceKind
from simulators.platform.access import Device, secret_digest
from simulators.platform.commands import Admitted
from simulators.platform.files import StoredFile
from simulators.platform.keys import (
    DEAD_KEY,
    DownloadAttempt,
    DownloadKey,
    KeyEvent,
    KeyState,
    is_of,
    refuse_bad_token,
    refuse_dead_key,
    refuse_other_device,
)
from simulators.platform.personality import Personality, is_download
from simulators.platform.refusals import Refusal
from simulators.platform.rules import Rules, download_steps_ruled, keys_ruled
from simulators.platform.service import Download, DownloadRequest, Service

FOREVER_S = 10.0**9
KEY_CHARACTERS = 22


class _MarksAfterwards(Service):
    """Looks whether a key is unused, and marks it when the transfer is over: whoever comes meanwhile gets the file, too."""

    def claim(self, download: Download) -> bool:
        return True

    def download_ended(self, download: Download, sent_bytes: int, problem: str) -> None:
        self._store.change_key(download.key.id, KeyEvent.CLAIMED)
        super().download_ended(download, sent_bytes, problem)


class _MarksWholeTransfers(_MarksAfterwards):
    """Declares `first-use`, and marks a key as used when its file has been delivered completely."""

    def download_ended(self, download: Download, sent_bytes: int, problem: str) -> None:
        if problem:
            Service.download_ended(self, download, sent_bytes, problem)
        else:
            super().download_ended(download, sent_bytes, problem)


class _ServesTwice(Service):
    """A key is good for two uses."""

    def claim(self, download: Download) -> bool:
        key = self._store.key_with_id(download.key.id)
        if key is not None and key.state is KeyState.ISSUED and not key.covered:
            self._store.set_covered(key.id, ((0, 1),))  # only a mark: it was used once
            return True
        return super().claim(download)


class _LengthensLives(Service):
    """Keys live thirty minutes from the last command of their device. Needs rules under which the store ends no key."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._commanded_at_s: dict[str, float] = {}
        self.rules = keys_ruled(is_alive=self._is_alive)(self.rules)

    def _offer(self, admitted: Admitted, file: StoredFile, trace: str) -> tuple[bytes, int] | Refusal:
        self._commanded_at_s[admitted.device.id] = self._clock.utc_s()
        return super()._offer(admitted, file, trace)

    def _is_alive(self, key: DownloadKey, now_s: float) -> bool:
        return key.state is KeyState.ISSUED and now_s < self._commanded_at_s.get(key.device_id, key.issued_at_s) + KEY_LIFETIME_S


class _ReplacesKeys(Service):
    """A download command ends the key of the device's download command before."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._latest: dict[str, int] = {}

    def _offer(self, admitted: Admitted, file: StoredFile, trace: str) -> tuple[bytes, int] | Refusal:
        offer = super()._offer(admitted, file, trace)
        if not isinstance(offer, Refusal):
            self._store.change_key(self._latest.get(admitted.device.id, 0), KeyEvent.CLAIMED)
            self._latest[admitted.device.id] = offer[1]
        return offer


class _SpendsNoKeysOfWifi(Service):
    """Keys of one kind of device can be used again and again."""

    def claim(self, download: Download) -> bool:
        device = self._store.device(download.key.device_id)
        return (device is not None and device.kind is DeviceKind.INTEMO_WIFI) or super().claim(download)


class _SpendsOnRefusal(Service):
    """Every attempt uses a key up, refused or not."""

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        outcome = super().open_download(request)
        if isinstance(outcome, Refusal) and len(request.key_values) == 1:
            key = self._store.key(secret_digest(request.key_values[0]))
            if key is not None:
                self._store.change_key(key.id, KeyEvent.CLAIMED)
        return outcome


class _SpendsOnHead(Service):
    """HEAD uses a key up like GET."""

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        outcome = super().open_download(request)
        if request.is_head and not isinstance(outcome, Refusal):
            self.claim(outcome)
        return outcome


class _ReadsKeysLoosely(Service):
    """Keys are compared without case."""

    def open_download(self, request: DownloadRequest) -> Download | Refusal:
        return super().open_download(replace(request, key_values=[value.lower() for value in request.key_values]))


def _in_the_first_half_of_each_hour(key: DownloadKey, now_s: float) -> bool:
    return key.state is KeyState.ISSUED and (now_s - key.issued_at_s) % 3_600 < KEY_LIFETIME_S


def _also_of_http_devices(key: DownloadKey, device: Device) -> bool:
    return device.kind is DeviceKind.HTTP or is_of(key, device)


def _of_anybody(key: DownloadKey, device: Device) -> bool:
    return True


def _hide_from_other_device(attempt: DownloadAttempt) -> Refusal | None:
    return DEAD_KEY if refuse_other_device(attempt) else None


def _counted(rules: Rules) -> Rules:
    numbers = itertools.count(1_700_000_000_000_000_001)
    return keys_ruled(mint=lambda entropy: f"{next(numbers):032d}")(rules)


async def _tells_the_key(request: web.Request, handler: Handler) -> web.StreamResponse:
    answer = await handler(request)
    if is_download(request) and answer.status in (401, 403) and isinstance(answer, web.Response):
        body = {"success": False, "message": f"key {request.query.get('key', '')} refused", "action": "download file"}
        return web.Response(
            status=answer.status, body=json.dumps(body), headers={"WWW-Authenticate": "Basic"}, content_type="application/json"
        )
    return answer


async def _breaks_on_odd_lengths(request: web.Request, handler: Handler) -> web.StreamResponse:
    if is_download(request) and len(request.query.get("key", "")) not in (0, KEY_CHARACTERS):
        return web.json_response({"success": False, "message": "index out of range", "action": "download file"}, status=500)
    return await handler(request)


_COPY_LIVES_ON = "the copy stays as long as its key lives"
_USED = "what is used twice is used again after a broken transfer, and by others at once"

WRONG_KEYS: tuple[Personality, ...] = (
    Personality(
        "keys-live-31-minutes",
        "a key dies a minute late",
        ("KEY-01",),
        {"KEY-11": "an expired key is alive"},
        rules=keys_ruled(lifetime_s=1_860.0),
    ),
    Personality(
        "keys-live-29-minutes",
        "a key dies a minute early",
        ("KEY-01",),
        {"KEY-09": "the key is dead at 29:45"},
        rules=keys_ruled(lifetime_s=1_740.0),
    ),
    Personality(
        "keys-live-for-ever",
        "keys do not expire",
        ("KEY-01",),
        {"KEY-11": "an expired key is alive", "DLD-06": _COPY_LIVES_ON},
        rules=keys_ruled(lifetime_s=FOREVER_S),
    ),
    Personality(
        "lengthens-lives",
        "a command lengthens the lives of its device's older keys",
        ("KEY-01",),
        {"DLD-06": _COPY_LIVES_ON},
        rules=keys_ruled(lifetime_s=FOREVER_S),
        service=_LengthensLives,
    ),
    Personality(
        "revives-keys",
        "a key's age is read without its hours",
        ("KEY-01",),
        {"DLD-06": _COPY_LIVES_ON},
        rules=keys_ruled(lifetime_s=FOREVER_S, is_alive=_in_the_first_half_of_each_hour),
    ),
    Personality("replaces-keys", "a device's newer key ends its older one", ("KEY-01",), {"KEY-05": "it is dead"}, service=_ReplacesKeys),
    Personality(
        "spends-no-keys-of-wifi", "an Intemo WiFi device can use its key again and again", ("KEY-02",), service=_SpendsNoKeysOfWifi
    ),
    Personality(
        "keys-work-twice",
        "a key is good for two uses",
        ("KEY-02",),
        {"KEY-03": _USED, "KEY-11": _USED, "KEY-08": _USED, "DLD-06": "the copy stays as long as the key works"},
        service=_ServesTwice,
    ),
    Personality(
        "marks-keys-afterwards",
        "a key is marked as used after its transfer",
        ("KEY-03",),
        {row: "who comes before the mark gets it, too" for row in ("KEY-02", "KEY-11")},
        service=_MarksAfterwards,
    ),
    Personality("takes-foreign-tokens", "any device may use a key", ("KEY-04",), rules=keys_ruled(is_of=_of_anybody)),
    Personality(
        "takes-tokens-of-http-devices", "an HTTP device may use any key", ("KEY-04",), rules=keys_ruled(is_of=_also_of_http_devices)
    ),
    Personality(
        "hides-foreign-keys",
        "another device's token gets 401",
        ("KEY-04",),
        rules=download_steps_ruled({refuse_bad_token: (refuse_bad_token, _hide_from_other_device)}),
    ),
    Personality("spends-keys-on-refusals", "a refused attempt uses the key up", ("KEY-05",), service=_SpendsOnRefusal),
    Personality("spends-keys-on-head", "HEAD uses the key up", ("KEY-05",), service=_SpendsOnHead),
    Personality(
        "breaks-on-odd-keys",
        "a key of another length is a 500",
        ("KEY-06",),
        {"KEY-11": "a bad token with it, too"},
        answers=_breaks_on_odd_lengths,
    ),
    Personality(
        "reads-keys-loosely",
        "a case-changed key works",
        ("KEY-06",),
        rules=keys_ruled(mint=lambda entropy: entropy.random_bytes(22).hex()),
        service=_ReadsKeysLoosely,
    ),
    Personality("draws-short-keys", "a key has 32 bits", ("KEY-07",), rules=keys_ruled(mint=lambda entropy: entropy.random_bytes(4).hex())),
    Personality("counts-keys", "keys are counted", ("KEY-07",), rules=_counted),
    Personality(
        "uses-keys-up-at-the-end",
        "declares first-use and follows complete-delivery",
        ("KEY-08",),
        {
            "KEY-03": "several are answered 200",
            "KEY-02": "and so is who comes before the mark",
            "DLD-06": "a key whose transfer looked broken keeps its copy",
        },
        service=_MarksWholeTransfers,
    ),
    Personality("tells-keys-in-errors", "the key stands in error bodies", ("KEY-10",), answers=_tells_the_key),
    Personality(
        "looks-at-the-device-first",
        "403 comes before 401 for a dead key",
        ("KEY-11",),
        rules=download_steps_ruled({refuse_dead_key: (refuse_other_device,), refuse_other_device: (refuse_dead_key,)}),
    ),
)
