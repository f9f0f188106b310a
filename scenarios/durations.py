"""How long something may take, as users type it: 90, 90s, 15m, 1h30m."""

import re

from harness.errors import OptionError

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", re.ASCII)


def duration_s(option: str, text: str) -> float:
    """What a time option says, in seconds. Raises OptionError for anything else."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise OptionError(option, f"{text!r} is no time; write it like 90s, 15m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(hours * 3600 + minutes * 60 + seconds)
