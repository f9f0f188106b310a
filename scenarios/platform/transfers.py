"""Questions about slow transfers: the fifteen minutes, the end of a key meanwhile, and slow devices beside fast ones."""

from harness.operations import AdvanceClock, Announce, InOrder, RunHook, Together, Wait
from harness.scenario import Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import CONFIGURATION, KEY_LIFETIME_S, TRANSFER_TIME_S_MAX
from scenarios.platform.steps import (
    ENDS_WITHIN_S,
    LARGE_BYTES,
    command_call,
    fetch_call,
    largest_file,
    offered,
    several_offered,
    slow_fetch_call,
    watch,
)

# A transfer of some seconds, of which the target cannot have sent the end when the clock is moved.
_TRANSFER_S = 2.5
_MOVED_AFTER_S = 0.8
_EDGE_S = 15.0


_LARGE = Needs(firmware_bytes_min=LARGE_BYTES)
_CLOCK = Needs(test_clock=True, firmware_bytes_min=LARGE_BYTES)


@scenario("slow_transfer_completes_within_fifteen_minutes", needs=_CLOCK, alone=True, duration_s=3.0)
def transfer_of_almost_fifteen_minutes(cast: Cast) -> Workload:
    """The clock is moved during a slow transfer, to just under fifteen minutes."""
    yield from _one_stretched(cast, by_s=TRANSFER_TIME_S_MAX - _EDGE_S)


@scenario("slow_transfer_is_cut_after_fifteen_minutes", needs=_CLOCK, alone=True, duration_s=3.0)
def transfer_of_more_than_fifteen_minutes(cast: Cast) -> Workload:
    """The clock is moved during a slow transfer, beyond fifteen minutes."""
    yield from _one_stretched(cast, by_s=TRANSFER_TIME_S_MAX + _EDGE_S)


@scenario("transfer_may_outlive_its_key", needs=_CLOCK, alone=True, duration_s=3.0)
def transfer_that_outlives_its_key(cast: Cast) -> Workload:
    """A transfer starts just before its key's thirty minutes are over, and ends after them."""
    yield from _one_stretched(cast, after_s=KEY_LIFETIME_S - _EDGE_S, by_s=2 * _EDGE_S)


def _one_stretched(cast: Cast, *, by_s: float, after_s: float = 0.0) -> Workload:
    """A slow transfer during which the target's clock is moved by `by_s`; it starts when the key is `after_s` old."""
    platform, device = cast.platform, cast.device
    file = largest_file(platform, device)
    yield from watch(device)
    if file is None:
        return
    url = yield from offered(platform, device, file)
    if url is None:
        return
    if after_s:
        yield AdvanceClock(after_s)
    yield Announce("stretching a transfer", {"device_id": device.id, "by_s": by_s})
    yield Together(
        (
            slow_fetch_call(url, device, file, takes_s=_TRANSFER_S),
            InOrder((Wait(_MOVED_AFTER_S), Announce("moving the clock", {"seconds": by_s}), AdvanceClock(by_s))),
        )
    )


_PAUSE_S = 11.0  # longer than the usual idle time-outs of ten seconds
_LONG_PAUSE_S = 75.0  # and than those of a minute
_PAUSE_AFTER_BYTES = 65_536
_FLUENT_BYTES_PER_S = 4_000_000.0


@scenario("paused_transfer_goes_on", needs=_LARGE, duration_s=_PAUSE_S + 2.0)
def transfer_with_a_pause(cast: Cast) -> Workload:
    """A transfer is read fluently, but for a pause of eleven seconds."""
    yield from _paused(cast, _PAUSE_S)


@scenario("paused_transfer_goes_on", needs=_LARGE, full_only=True, duration_s=_LONG_PAUSE_S + 3.0)
def transfer_with_a_long_pause(cast: Cast) -> Workload:
    """A transfer is read fluently, but for a pause of more than a minute."""
    yield from _paused(cast, _LONG_PAUSE_S)


def _paused(cast: Cast, pause_s: float) -> Workload:
    platform, device = cast.platform, cast.device
    file = largest_file(platform, device)
    yield from watch(device)
    url = (yield from offered(platform, device, file)) if file is not None else None
    if url is None:
        return
    yield Announce("pausing a transfer", {"pause_s": pause_s})
    yield fetch_call(
        url,
        device,
        read_bytes_per_s=_FLUENT_BYTES_PER_S,
        pause_after_bytes=_PAUSE_AFTER_BYTES,
        pause_s=pause_s,
        within_s=pause_s + ENDS_WITHIN_S,
    )


_SLOW_ONES = 8
_CROWD = Needs(devices={"device": DeviceNeed(), "fast": DeviceNeed(beside="device")}, firmware_bytes_min=LARGE_BYTES)


@scenario("slow_downloads_do_not_slow_others", needs=_CROWD, duration_s=4.0)
def slow_downloads_beside_a_fast_one(cast: Cast) -> Workload:
    """A download and a command are timed alone, and while several slow downloads run."""
    platform, device, fast = cast.platform, cast.devices["device"], cast.devices["fast"]
    file = largest_file(platform, device)
    for each in (device, fast):
        yield from watch(each)
    if file is None:
        return
    urls = yield from several_offered(platform, device, file, _SLOW_ONES)
    alone, beside = (yield from offered(platform, fast, file)), (yield from offered(platform, fast, file))
    if len(urls) < _SLOW_ONES or alone is None or beside is None:
        return
    command = command_call(platform, fast, CONFIGURATION, {"timed": True})
    yield Announce("fast alone")
    yield command
    yield fetch_call(alone, fast)
    slow = [slow_fetch_call(url, device, file, takes_s=_TRANSFER_S) for url in urls]
    quick = InOrder((Wait(0.5), Announce("fast beside"), command, fetch_call(beside, fast)))
    yield Together((*slow, quick))
    yield Announce("beside slow downloads", {"slow": _SLOW_ONES})


@scenario(
    "memory_of_slow_downloads_is_bounded", needs=Needs(hooks=("memory_bytes",), firmware_bytes_min=LARGE_BYTES), alone=True, duration_s=10.0
)
def memory_beside_slow_downloads(cast: Cast) -> Workload:
    """The target's memory before and during many slow downloads."""
    platform, device = cast.platform, cast.device
    file = largest_file(platform, device)
    yield from watch(device)
    if file is None:
        return
    urls = yield from several_offered(platform, device, file, 3 * _SLOW_ONES)
    before = yield RunHook("memory_bytes")
    slow = tuple(slow_fetch_call(url, device, file, takes_s=_TRANSFER_S) for url in urls)
    outcomes = yield Together((*slow, InOrder((Wait(1.0), RunHook("memory_bytes")))))
    after = outcomes[-1][-1]
    facts = {"before_bytes": int(before), "after_bytes": int(after), "downloads": len(urls)}
    yield Announce("memory beside slow downloads", facts)
