"""The devices that `hil device --personality` knows, by name."""

from simulators.device.personality import REFERENCE, Personality

PERSONALITIES: dict[str, Personality] = {personality.name: personality for personality in (REFERENCE,)}
