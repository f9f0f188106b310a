"""How the devices of a fleet differ: link, what they are asked, how reliable they are; and how many of each kind there are.

`--mix firmware=70,slow=25,flaky=5` deals behaviours out by weight, the same ones to the same devices for the same seed. A personality's
name is a behaviour too, so a fleet can hold a few wrong devices.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from harness.entropy import Entropy
from harness.wire.commands import CONFIGURATION, DOWNLOAD_FIRMWARE, DOWNLOADS
from simulators.device.personalities import PERSONALITIES
from simulators.device.personality import REFERENCE, Personality

LINKS_BYTES_PER_S: dict[str, float | None] = {
    "lan": None,
    "wifi": 1_250_000.0,
    "lte-m": 50_000.0,
    "2g": 5_000.0,
    "nb-iot": 3_000.0,
    "slow": 2_500.0,  # 20 kbit/s: what stretches 2.25 MB to 15 minutes
}
"""The speed at which a device on such a link reads a download's body; None: as fast as it comes."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One kind of device in a fleet. `drops_every_s`: the mean time between connections that it loses; None: it loses none."""

    name: str
    command: str = CONFIGURATION
    link: str = "lan"
    drops_every_s: float | None = None
    personality: Personality = REFERENCE

    @property
    def bytes_per_s(self) -> float | None:
        return LINKS_BYTES_PER_S[self.link]


STEADY = Behaviour("steady")

BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.name: behaviour
    for behaviour in (
        STEADY,
        Behaviour("firmware", DOWNLOAD_FIRMWARE, "wifi"),
        Behaviour("slow", DOWNLOAD_FIRMWARE, "slow"),
        Behaviour("cellular", DOWNLOAD_FIRMWARE, "lte-m"),
        Behaviour("flaky", drops_every_s=20.0),
    )
}


@dataclass(frozen=True, slots=True)
class Mix:
    """Behaviours with their weights."""

    parts: tuple[tuple[Behaviour, int], ...] = ((STEADY, 1),)

    @property
    def is_downloading(self) -> bool:
        """Whether some devices are asked to download."""
        return any(behaviour.command in DOWNLOADS for behaviour, _ in self.parts)

    def connections(self, devices: int) -> int:
        """How many there may be at once: each device's, and one more where it may have a download under way."""
        return devices * (2 if self.is_downloading else 1)

    def deal(self, entropy: Entropy) -> Iterator[Behaviour]:
        """An endless stream of behaviours, each as often as its weight says on average."""
        cards = [behaviour for behaviour, weight in self.parts for _ in range(weight)]
        while True:
            yield entropy.choice(cards)


def parse_mix(text: str, *, link: str = "") -> Mix:
    """The mix that `text` describes, as `name=weight,…`; `link` overrides every link. Raises ValueError for what it does not know."""
    parts = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, weight = entry.partition("=")
        if not (weight or "1").isdecimal() or int(weight or "1") not in range(1, 1001):
            raise ValueError(f"weight {weight!r} of {name!r} is no whole number from 1 to 1000")
        parts.append((_behaviour(name.strip(), link), int(weight or "1")))
    return Mix(tuple(parts)) if parts else Mix(((_behaviour(STEADY.name, link), 1),))


def ensure_link(link: str) -> None:
    """Raises ValueError for a name that is no link's; an empty one is none."""
    if link and link not in LINKS_BYTES_PER_S:
        raise ValueError(f"{link!r} is no link: {', '.join(LINKS_BYTES_PER_S)}")


def _behaviour(name: str, link: str) -> Behaviour:
    ensure_link(link)
    if name in BEHAVIOURS:
        found = BEHAVIOURS[name]
    elif name in PERSONALITIES:
        found = Behaviour(name, personality=PERSONALITIES[name])
    else:
        raise ValueError(f"{name!r} is neither a behaviour ({', '.join(BEHAVIOURS)}) nor a personality")
    return replace(found, link=link) if link else found
