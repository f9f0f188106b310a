"""The name under which each call can be found in the target's own traces and logs.   Source: W3C Trace Context, `traceparent`."""

from harness.entropy import Entropy

_RUN_BYTES = 8


class Traces:
    """Trace ids that begin alike within a run and differ between runs; what follows is the number of the exchange in the history."""

    def __init__(self, entropy: Entropy) -> None:
        self._run = entropy.random_bytes(_RUN_BYTES).hex()

    def traceparent(self, exchange: int) -> str:
        """The header's value: version, trace id, parent id, sampled. `exchange` counts from 1, as an id of zeros is none."""
        return f"00-{self._run}{exchange:016x}-{exchange:016x}-01"
