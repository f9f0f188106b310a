"""The pace that a target bears: so many calls a second, so many connections a minute."""

import asyncio


class Pace:
    """Lets one thing pass at a time, so that no more than the target's limit happen in a second."""

    def __init__(self, per_s: float | None) -> None:
        self._interval_s = 1.0 / per_s if per_s else 0.0
        self._next_s = 0.0

    async def turn(self) -> None:
        """Returns when it is the caller's turn; at once where there is no limit."""
        if not self._interval_s:
            return
        now_s = asyncio.get_running_loop().time()
        at_s = max(now_s, self._next_s)
        self._next_s = at_s + self._interval_s
        await asyncio.sleep(at_s - now_s)
