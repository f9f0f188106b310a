"""The platforms that `hil platform --personality` knows, by name: all wrong in one decision, and the row that each breaks."""

from simulators.platform.personality import Personality
from simulators.platform.wrong_commands import WRONG_COMMANDS
from simulators.platform.wrong_deliveries import WRONG_DELIVERIES
from simulators.platform.wrong_downloads import WRONG_DOWNLOADS
from simulators.platform.wrong_keys import WRONG_KEYS
from simulators.platform.wrong_lists import WRONG_LISTS

REFERENCE = Personality("reference", "the correct platform", ())

WRONG_PLATFORMS: tuple[Personality, ...] = (*WRONG_COMMANDS, *WRONG_DELIVERIES, *WRONG_KEYS, *WRONG_DOWNLOADS, *WRONG_LISTS)
"""Certification must report what each `breaks`, and no other MUST but those of `also`."""

PERSONALITIES: dict[str, Personality] = {personality.name: personality for personality in (REFERENCE, *WRONG_PLATFORMS)}
