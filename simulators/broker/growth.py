"""How the cost of a command grows with the number of devices: the same broker twice, with few devices and with many, measured in turns.

Two measurements minutes apart compare two states of the machine: in six runs their ratio was 0.90 to 1.48, for a broker that had not
changed. So both sizes are up at the same time, and each pair of rounds, seconds apart, gives a ratio of its own: what the machine does
meanwhile falls on both sides. The median of the pairs is the figure; a single disturbed round does not move it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from simulators.broker.benchmark import PACES, Load, Pace, Ratio, loaded_broker

FEW = 100
PAIRS = 9
MANY = {"embedded": 9_500, "mosquitto": 9_500, "amqtt": 2_000}
"""The most devices of each broker; amqtt's cost grows with them, and so does the time to connect them."""

GROWTH_MAX = 1.2


@dataclass(frozen=True, slots=True)
class Growth:
    """One broker. `pairs`: microseconds of its processor time per command, with `few` devices and with `many`, round by round."""

    broker: str
    few: int
    many: int
    pairs: tuple[tuple[float, float], ...]

    @property
    def factor(self) -> float:
        """What a command costs with many devices, to what it costs with few."""
        return median(many_us / few_us for few_us, many_us in self.pairs)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of a pair."""
        factors = [many_us / few_us for few_us, many_us in self.pairs]
        return min(factors), max(factors)

    def promise(self) -> Ratio:
        """The limit for our broker."""
        return Ratio(f"CPU per command at {self.many:,} devices, to that at {self.few:,}", self.factor, GROWTH_MAX)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"factor": self.factor, "spread": self.spread}


async def measure_growth(
    broker: str, *, many: int | None = None, few: int = FEW, pairs: int = PAIRS, commands: int | None = None
) -> Growth:
    """Measures one broker at both sizes (`many`: as `MANY` says). Raises BenchError when something does not come up."""
    pace = PACES[broker] if commands is None else Pace(commands, PACES[broker].per_s)
    most = MANY[broker] if many is None else many
    async with AsyncExitStack() as stack:
        small, large = [await stack.enter_async_context(_with_devices(broker, devices, pace)) for devices in (few, most)]
        costs_us = []
        for number in range(pairs):
            # Who goes first changes from pair to pair: being second is no disadvantage of one side.
            turn = (small, large) if number % 2 else (large, small)
            cost_us = {load: (await load.round(pace)).cpu_per_command_us for load in turn}
            costs_us.append((cost_us[small], cost_us[large]))
    return Growth(broker, few, most, tuple(costs_us))


@asynccontextmanager
async def _with_devices(broker: str, devices: int, pace: Pace) -> AsyncIterator[Load]:
    async with loaded_broker(broker) as load:
        await load.connect(devices)
        await load.warm_up(pace)
        yield load
