"""Carrying a download out: the downloader's actions done over HTTP, for every asyncio skin.

Decides nothing. `Tell` hands the machine what was seen and gives back what to do next; an empty answer in the middle means that nothing
is left to do.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeAlias

from simulators.device import downloader
from simulators.device.downloader import DownloadRules
from simulators.device.fetch import fetch
from simulators.device.flash import Storage

Tell: TypeAlias = Callable[[downloader.Event], list[downloader.Action]]


async def carry_out(
    rules: DownloadRules, tell: Tell, storage: Storage, area: str, *, tls: ssl.SSLContext | None, bytes_per_s: float | None = None
) -> None:
    """Runs one download to its end. `bytes_per_s` is the speed of the device's link; None: as fast as it comes."""
    try:
        async with asyncio.timeout(rules.total_s):
            actions = tell(downloader.Begin())
            while actions:
                actions = await _follow(rules, tell, storage, area, tls, bytes_per_s, actions)
    except TimeoutError:
        tell(downloader.Failed(f"not complete after {rules.total_s:g} s"))


async def _follow(
    rules: DownloadRules,
    tell: Tell,
    storage: Storage,
    area: str,
    tls: ssl.SSLContext | None,
    bytes_per_s: float | None,
    actions: list[downloader.Action],
) -> list[downloader.Action]:
    """Does `actions`; returns those that follow from the last one."""
    for action in actions:
        match action:
            case downloader.Erase():
                storage.erase(area)
            case downloader.Write(data):
                storage.append(area, data)
            case downloader.Wait(duration_s):
                await asyncio.sleep(duration_s)
                return tell(downloader.Waited())
            case downloader.Request():
                events = fetch(action, tls=tls, inactivity_s=rules.inactivity_s, bytes_per_s=bytes_per_s)
                async with aclosing(events):
                    async for event in events:
                        following = tell(event)
                        if any(not isinstance(wanted, downloader.Write) for wanted in following):
                            return following
                        for wanted in following:
                            if isinstance(wanted, downloader.Write):
                                storage.append(area, wanted.data)
                return []
    return []
