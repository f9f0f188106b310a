"""Carrying a download out: the downloader's actions done over HTTP, for every asyncio skin.

Decides nothing. `Tell` hands the machine what was seen and gives back what to do next. While an answer is read that is to write what came,
or nothing; anything else takes the place of the rest of it.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

from simulators.device.download_rules import DownloadRules
from simulators.device.downloader import Action, Begin, Erase, Event, Failed, Request, Wait, Waited, Write
from simulators.device.fetch import fetch
from simulators.device.flash import Storage

Tell: TypeAlias = Callable[[Event], list[Action]]


async def carry_out(
    rules: DownloadRules, tell: Tell, storage: Storage, area: str, *, tls: ssl.SSLContext | None, bytes_per_s: float | None = None
) -> None:
    """Runs one download to its end. `bytes_per_s` is the speed of the device's link; None: as fast as it comes."""
    transfer = _Transfer(rules, tell, storage, area, tls, bytes_per_s)
    try:
        async with asyncio.timeout(rules.total_s):
            actions = tell(Begin())
            while actions:
                actions = await transfer.follow(actions)
    except TimeoutError:
        tell(Failed(f"not complete after {rules.total_s:g} s"))
    except OSError as error:  # the storage's: those of the network are events
        tell(Failed(f"the file cannot be stored: {error.strerror or error}"))


@dataclass(frozen=True, slots=True)
class _Transfer:
    rules: DownloadRules
    tell: Tell
    storage: Storage
    area: str
    tls: ssl.SSLContext | None
    bytes_per_s: float | None

    async def follow(self, actions: list[Action]) -> list[Action]:
        """Does `actions`; returns those that follow from the last one."""
        for action in actions:
            match action:
                case Erase():
                    self.storage.erase(self.area)
                case Write(data):
                    self.storage.append(self.area, data)
                case Wait(duration_s):
                    await asyncio.sleep(duration_s)
                    return self.tell(Waited())
                case Request():
                    return await self._exchange(action)
        return []

    async def _exchange(self, request: Request) -> list[Action]:
        """Sends `request` and writes what is to be written of the answer; returns what is to be done in the place of the rest of it."""
        events = fetch(request, tls=self.tls, inactivity_s=self.rules.inactivity_s, bytes_per_s=self.bytes_per_s)
        async with aclosing(events):
            async for event in events:
                following = self.tell(event)
                if not all(isinstance(action, Write) for action in following):
                    return following
                await self.follow(following)
        return []
