"""Wrong devices whose mistake is in the download: what they ask, what they accept, when they give up.

Most replace one rule of `DownloadRules`; those about the result and about `expires_at` replace effects.
"""

import base64
from datetime import datetime
from urllib.parse import unquote

from harness.clock import SystemClock
from harness.wire.commands import KEY_LIFETIME_S
from simulators.device import firmware
from simulators.device.download_rules import Style
from simulators.device.firmware import PublishResult, StartDownload
from simulators.device.flash import DownloadJob, Flash
from simulators.device.personality import Cause, Effects, Notes, Personality, downloading, tuned
from simulators.device.settings import DeviceSettings

URL_BUFFER_BYTES = 128


def whatever_came(expected_bytes: int | None, received_bytes: int, *, ended_cleanly: bool) -> bool:
    """A body is as long as it is."""
    return received_bytes > 0


def without_zero_bytes(data: bytes) -> bytes:
    """Copied as C strings."""
    return data.replace(b"\0", b"")


def without_padding(data: bytes) -> bytes:
    """Written as text, or up to what looks like erased flash."""
    return data.rstrip(b"\0\xff\r\n ")


def stay_silent_about_failures(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """A failed download has no result."""
    if not isinstance(cause, DownloadJob):
        return effects
    return tuple(effect for effect in effects if not (isinstance(effect, PublishResult) and not effect.body["success"]))


def _refuse_keys_beyond(now_utc_s: float, effects: Effects) -> Effects:
    """Downloads whose key seems to live longer than a fresh one can, and so was issued in the future, are refused."""
    return tuple(
        firmware.failure(effect.command, "the key is not valid yet")
        if isinstance(effect, StartDownload) and _expires_utc_s(effect.expires_at, now_utc_s) > now_utc_s + KEY_LIFETIME_S + 60
        else effect
        for effect in effects
    )


def _expires_utc_s(expires_at: str, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(expires_at).timestamp()
    except ValueError:
        return otherwise


def trust_own_clock(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """Its clock is right, and the last word."""
    return _refuse_keys_beyond(SystemClock().utc_s(), effects)


def trust_unset_clock(notes: Notes, settings: DeviceSettings, flash: Flash, cause: Cause, effects: Effects) -> Effects:
    """Its clock stands at 1970, and is the last word."""
    return _refuse_keys_beyond(0.0, effects)


DOWNLOADS = ("DEV-11", "DEV-12a", "DEV-13", "DEV-14", "DEV-15", "DEV-16", "DEV-17", "DEV-18", "DEV-22", "DEV-23", "DEV-25")
"""Rows that need a download that works."""

WRONG_DOWNLOADS = (
    Personality(
        "base64-token",
        "Sends the token in base64, as RFC 7617 has it for user and password.",
        breaks=("DEV-11",),
        also=DOWNLOADS,
        tunes=downloading(authorization=lambda token: f"Basic {base64.b64encode(token.encode()).decode()}"),
    ),
    Personality(
        "bearer-token",
        "Sends the token as Bearer.",
        breaks=("DEV-11",),
        also=DOWNLOADS,
        tunes=downloading(authorization=lambda token: f"Bearer {token}"),
    ),
    Personality(
        "no-token",
        "Sends no Authorization: the key should do.",
        breaks=("DEV-11",),
        also=DOWNLOADS,
        tunes=downloading(authorization=lambda token: None),
    ),
    Personality(
        "decodes-the-url",
        "Decodes percent escapes before it sends the URL.",
        breaks=("DEV-11",),
        tunes=downloading(address=unquote),
    ),
    Personality(
        "cuts-long-urls",
        f"Keeps the first {URL_BUFFER_BYTES} bytes of a URL.",
        breaks=("DEV-11",),
        also=DOWNLOADS,
        tunes=downloading(address=lambda url: url[:URL_BUFFER_BYTES]),
    ),
    Personality(
        "ranges-undeclared",
        "Declares one GET and asks for parts.",
        breaks=("DEV-11",),
        also=DOWNLOADS,
        tunes=downloading(style=Style.RANGE, range_bytes=4096),
    ),
    Personality(
        "head-undeclared",
        "Declares one GET and asks HEAD first.",
        breaks=("DEV-11",),
        also=DOWNLOADS,
        tunes=downloading(style=Style.HEAD_GET),
    ),
    Personality(
        "installs-short-bodies",
        "Installs what came before the connection was cut.",
        breaks=("DEV-12a",),
        tunes=downloading(is_whole=whatever_came),
    ),
    Personality(
        "drops-zero-bytes",
        "Writes the body as C strings, without its zero bytes.",
        breaks=("DEV-12a",),
        tunes=downloading(alters=without_zero_bytes),
    ),
    Personality(
        "strips-padding",
        "Takes padding, line ends and blanks off the end of what it writes.",
        breaks=("DEV-12a",),
        tunes=downloading(alters=without_padding),
    ),
    Personality(
        "installs-error-bodies",
        "Installs the body of an error as the file.",
        breaks=("DEV-13",),
        also=("DEV-14", "DEV-17"),
        tunes=downloading(accepts=lambda status: True),
    ),
    Personality(
        "hammers-401",
        "Asks thirty times, five times a second, after a 401.",
        breaks=("DEV-14",),
        also=("DEV-11", "DEV-17"),
        tunes=downloading(refusal_waits_s=(0.2,) * 30),
    ),
    Personality(
        "hammers-errors",
        "Asks twelve times, five times a second, after any error but 401.",
        breaks=("DEV-14",),
        tunes=downloading(is_refusal=lambda status: status != 401, refusal_waits_s=(0.2,) * 12),
    ),
    Personality(
        "retries-401-at-once",
        "Asks three times without a wait after a 401.",
        breaks=("DEV-14",),
        also=("DEV-11", "DEV-17"),
        tunes=downloading(refusal_waits_s=(0.0, 0.0)),
    ),
    Personality(
        "failed-downloads-unanswered",
        "Publishes no result where a download failed.",
        breaks=("DEV-14", "DEV-17"),
        also=("DEV-12a", "DEV-13", "DEV-23", "DEV-25"),
        executes=stay_silent_about_failures,
    ),
    Personality(
        "token-follows-redirect",
        "Sends the token to whatever host a redirect names.",
        breaks=("DEV-18",),
        tunes=downloading(token_may_go=lambda first_url, url: True),
    ),
    Personality(
        "token-on-console",
        "Prints its token on the console when it boots.",
        breaks=("DEV-18",),
        tunes=tuned(prints=lambda token: f", token {token}"),
    ),
    Personality(
        "trusts-own-clock",
        "Refuses a key that expires later than its own clock thinks possible.",
        breaks=("DEV-22",),
        executes=trust_own_clock,
    ),
    Personality(
        "clock-of-1970",
        "Believes that it is 1970 and refuses every key as not valid yet.",
        breaks=("DEV-22",),
        also=DOWNLOADS,
        executes=trust_unset_clock,
    ),
)
