"""The family CMD, third part: what a download command tells the device."""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from harness.checks.admission import Defect, TargetView, defects
from harness.checks.deliveries import offers
from harness.checks.registry import Observation, broken, check, kept
from harness.checks.target_time import windows_s
from harness.history.timeline import Delivery, History
from harness.wire.commands import KEY_LIFETIME_S, download_key
from harness.wire.responses import DOWNLOAD_PATH

_RFC3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
_EXPIRY_TOLERANCE_S = 2.0  # CMD-07
_EXPIRY_MUST_S = 10.0  # Beyond this it is not a matter of rounding.
_SMALL_BUFFER_BYTES = 256  # CMD-24


@check(
    "CMD-06",
    unseen="no download command reached a device",
    hint="the host in the URL comes from the platform's configuration: it must be the name by which devices reach it",
)
def download_command_carries_url_and_expiry(history: History) -> Iterator[Observation]:
    """A download command carries `url`, at which somebody answers, and `expires_at`."""
    for seen in history.stimuli("nobody at the URL"):
        yield broken(f"nobody takes connections at {seen.fact.facts['origin']}, where the url points: {seen.fact.facts['problem']}", seen)
    target = TargetView.of(history)
    for sent, delivery in offers(history):
        if Defect.FILE_MISSING in defects(target, sent.call):
            continue  # That it was accepted at all is CMD-12's question.
        offer = delivery.offer
        shown = delivery.message.payload[:160]
        if offer is None:
            yield broken(f"the payload is {shown!r}, allowed: an object with the strings url and expires_at", delivery)
        elif not _is_download_url(offer.url):
            yield broken(f"url is {offer.url!r}, allowed: <base>{DOWNLOAD_PATH}?key=…", delivery)
        elif read_utc_s(offer.expires_at) is None:
            yield broken(f"expires_at is {offer.expires_at!r}, allowed: RFC 3339 in UTC with Z", delivery)
        else:
            yield kept(delivery)


def _is_download_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and parts.path.endswith(DOWNLOAD_PATH) and bool(download_key(url))


def read_utc_s(text: str) -> float | None:
    """An RFC 3339 instant in UTC with `Z`, in seconds since 1970; None where it is none (CMD-06)."""
    if not _RFC3339_UTC.match(text):
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


@check("CMD-07a", "CMD-07b", unseen="no download command with a readable expires_at reached a device")
def expiry_is_thirty_minutes_ahead(history: History) -> Iterator[Observation]:
    """`expires_at` is the time of issue plus thirty minutes."""
    for sent, delivery in offers(history):
        expires_s = read_utc_s(delivery.offer.expires_at) if delivery.offer else None
        if expires_s is None:
            continue
        off_s = min((_off_s(expires_s, window) for window in windows_s(history, sent.call, delivery.seen)), key=abs, default=None)
        if off_s is None:
            continue
        if abs(off_s) <= _EXPIRY_TOLERANCE_S:
            yield kept(sent.call, delivery)
            continue
        yield broken(
            f"expires_at {delivery.offer.expires_at if delivery.offer else ''} is {KEY_LIFETIME_S + off_s:.0f} s after the command, "
            "allowed: 1800 s ± 2 s",
            sent.call,
            delivery,
            requirement="CMD-07a" if abs(off_s) > _EXPIRY_MUST_S else "CMD-07b",
            hint="compare the clocks of target and harness first: a skewed clock looks the same",
        )


def _off_s(expires_s: float, issued: tuple[float, float]) -> float:
    """By how much an expiry misses thirty minutes after an issue that lies within a window; 0 inside."""
    earliest_s, latest_s = (instant + KEY_LIFETIME_S for instant in issued)
    return min(0.0, expires_s - earliest_s) + max(0.0, expires_s - latest_s)


@check("CMD-08", unseen="fewer than two download commands reached devices")
def every_download_command_has_its_own_key(history: History) -> Iterator[Observation]:
    """Every download command carries a fresh key."""
    by_url: dict[str, list[Delivery]] = defaultdict(list)
    for _, delivery in offers(history):
        if delivery.offer is not None:
            by_url[delivery.offer.url].append(delivery)
    for url, found in by_url.items():
        if len(found) > 1:
            yield broken(f"{len(found)} download commands share the URL {url}", *found)
    if len(by_url) > 1:
        yield kept(*(found[0] for found in by_url.values()))


@check(
    "CMD-24",
    unseen="no download command reached a device",
    hint="a key of 22 characters holds 128 bits; blanks in the JSON and a long host name cost bytes, too",
)
def download_command_fits_in_a_small_buffer(history: History) -> Iterator[Observation]:
    """The whole PUBLISH of a download command fits in 256 bytes."""
    published = {(delivery.message.connection, delivery.message.topic, delivery.message.payload) for _, delivery in offers(history)}
    for seen in history.packets("PUBLISH"):
        packet = seen.fact
        if packet.sent_by == "client" or (packet.connection, packet.topic, packet.payload) not in published:
            continue
        if packet.size_bytes <= _SMALL_BUFFER_BYTES:
            yield kept(seen)
        else:
            yield broken(f"the PUBLISH has {packet.size_bytes} bytes, allowed: {_SMALL_BUFFER_BYTES}", seen)
