"""What the bench does for a device for as long as it has power: start it again, read its console, stand in for its network.

That goes on beside the scenarios. When it breaks, what is then seen of the device says nothing about the device.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from harness.errors import BenchError


class Attendance:
    """One task at a time that attends to a device."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def is_under_way(self) -> bool:
        return self._task is not None and not self._task.done()

    def begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Begins it anew; nothing is under way."""
        self._task = asyncio.create_task(work)
        return self._task

    async def end(self, *, grace_s: float = 0.0) -> None:
        """Ends it in the middle of what it does, unless it ends by itself within `grace_s`."""
        task, self._task = self._task, None
        if task is None:
            return
        if grace_s:
            await asyncio.wait({task}, timeout=grace_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def raise_if_broken(self) -> None:
        """Raises BenchError, from what broke it, where it ended otherwise than by itself or by `end`."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return
        error = self._task.exception()
        if error is not None:
            raise BenchError(f"what attends to the device broke: {_first_cause(error)!r}") from error


def _first_cause(error: BaseException) -> BaseException:
    """What a task group met first, of all that it gathered."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
