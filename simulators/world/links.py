"""How a simulated host hangs on the network: rate, latency, jitter, loss; and the state of that access link while the world runs.

Rates are in bytes per second (0: no limit), times in seconds. Loss is a delay: TCP repeats what is lost, so a lost segment arrives late and
holds up what follows it.
"""

from dataclasses import dataclass
from enum import Enum

from harness.entropy import SeededEntropy


@dataclass(frozen=True, slots=True)
class LinkShape:
    """An access link, shared by all connections of its host."""

    up_bytes_per_s: float = 0.0
    down_bytes_per_s: float = 0.0
    latency_s: float = 0.0005
    jitter_s: float = 0.0005
    loss: float = 0.0  # share of deliveries that need a repetition, 0 to 1


LAN = LinkShape()
WIFI = LinkShape(up_bytes_per_s=1_250_000, down_bytes_per_s=1_250_000, latency_s=0.002, jitter_s=0.006)
LTE_M = LinkShape(up_bytes_per_s=37_500, down_bytes_per_s=50_000, latency_s=0.05, jitter_s=0.05)
# 20 kbit/s: what stretches a 2.25 MB image to 15 minutes (DLD-05).
SLOW = LinkShape(up_bytes_per_s=2_500, down_bytes_per_s=2_500, latency_s=0.05, jitter_s=0.05)
NB_IOT = LinkShape(up_bytes_per_s=2_500, down_bytes_per_s=3_000, latency_s=0.8, jitter_s=0.8, loss=0.01)


class LinkName(Enum):
    """The links that a plan can name."""

    LAN = "lan"
    WIFI = "wifi"
    LTE_M = "lte-m"
    SLOW = "slow"
    NB_IOT = "nb-iot"

    @property
    def shape(self) -> LinkShape:
        return _SHAPES[self]


_SHAPES = {LinkName.LAN: LAN, LinkName.WIFI: WIFI, LinkName.LTE_M: LTE_M, LinkName.SLOW: SLOW, LinkName.NB_IOT: NB_IOT}


class Host:
    """A machine of the world: its link, its clock error, whether it has power."""

    __slots__ = ("address", "down_free_s", "entropy", "extra_latency_s", "is_powered", "name", "shape", "skew_s", "up_free_s")

    def __init__(self, name: str, address: str, shape: LinkShape, entropy: SeededEntropy, *, skew_s: float = 0.0) -> None:
        self.name = name
        self.address = address  # from where its connections come
        self.shape = shape
        self.entropy = entropy
        self.skew_s = skew_s  # seconds by which this host's wall clock is ahead
        self.is_powered = True
        self.extra_latency_s = 0.0  # a fault's contribution
        self.up_free_s = 0.0  # when the link has sent what it has taken
        self.down_free_s = 0.0


def one_way_s(sender: Host, receiver: Host) -> float:
    """Time from one host to the other for a small packet, drawn from the sender's chance."""
    fixed_s = sender.shape.latency_s + receiver.shape.latency_s + sender.extra_latency_s + receiver.extra_latency_s
    jitter_s = sender.shape.jitter_s + receiver.shape.jitter_s
    return fixed_s + sender.entropy.uniform(0.0, jitter_s) if jitter_s else fixed_s


def repetition_delay_s(sender: Host, receiver: Host, *, timeout_s: float) -> float:
    """What losses add to a delivery: nothing mostly, else a retransmission timeout that doubles with each further loss."""
    loss = max(sender.shape.loss, receiver.shape.loss)
    delay_s = 0.0
    while loss and delay_s < 32 * timeout_s and sender.entropy.uniform(0.0, 1.0) < loss:
        delay_s = delay_s * 2 + timeout_s
    return delay_s


def book_transmission(sender: Host, receiver: Host, size_bytes: int, now_s: float, *, waits_its_turn: bool) -> float:
    """When the last of `size_bytes` has left both links. A packet that does not wait its turn still takes its share of the rate.

    Small packets do not wait: a link carries bulk data in chunks of seconds here, and nothing real would hold a PINGREQ up behind one.
    """
    departure_s = now_s
    if sender.shape.up_bytes_per_s:
        duration_s = size_bytes / sender.shape.up_bytes_per_s
        start_s = max(now_s, sender.up_free_s) if waits_its_turn else now_s
        sender.up_free_s = max(sender.up_free_s, start_s) + duration_s
        departure_s = start_s + duration_s
    if receiver.shape.down_bytes_per_s:
        duration_s = size_bytes / receiver.shape.down_bytes_per_s
        start_s = max(now_s, receiver.down_free_s) if waits_its_turn else now_s
        receiver.down_free_s = max(receiver.down_free_s, start_s) + duration_s
        departure_s = max(departure_s, start_s + duration_s)
    return departure_s


def bottleneck_bytes_per_s(sender: Host, receiver: Host) -> float:
    """The lower of both rates; 0 where neither link has a limit."""
    up, down = sender.shape.up_bytes_per_s, receiver.shape.down_bytes_per_s
    return min(up, down) if up and down else up or down
