"""Questions that take half an hour, for targets without a test clock and for what no test clock moves. All side by side, on two devices."""

from harness.operations import Announce, InOrder, Together, Wait
from harness.scenario import COMMANDABLE, Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import KEY_LIFETIME_S, TRANSFER_TIME_S_MAX
from harness.wire.files import FileType
from scenarios.platform.steps import LARGE_BYTES, fetch_call, largest_file, several_offered, slow_fetch_call, watch

_DEVICE = {"device": DeviceNeed(kinds=COMMANDABLE)}
_EARLY_S = KEY_LIFETIME_S / 180  # How long before the thirty minutes are over the key is tried: all that happens meanwhile must fit in.
_LATE_S = 3.0  # And how long after them.
_USED_AGAIN_AFTER_S = tuple(KEY_LIFETIME_S * minutes / 30 for minutes in (1, 5, 11, 24))
_EDGE_S = TRANSFER_TIME_S_MAX / 30


@scenario(
    "key_lives_thirty_minutes",
    "key_works_once",
    needs=Needs(devices=_DEVICE, files={"firmware": FileType.FIRMWARE}),
    full_only=True,
    duration_s=1_805.0,
)
def keys_through_thirty_real_minutes(cast: Cast) -> Workload:
    """Keys are used just before their thirty minutes are over and after, and a used one is tried again meanwhile."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    urls = yield from several_offered(platform, device, cast.files["firmware"], 3)
    if len(urls) < 3:
        return
    early, late, used = urls
    again = [InOrder((Wait(after_s), fetch_call(used, device))) for after_s in _USED_AGAIN_AFTER_S]
    yield fetch_call(used, device)
    yield Together(
        (
            InOrder((Wait(KEY_LIFETIME_S - _EARLY_S), fetch_call(early, device))),
            InOrder((Wait(KEY_LIFETIME_S + _LATE_S), fetch_call(late, device))),
            *again,
        )
    )


@scenario(
    "slow_transfer_completes_within_fifteen_minutes",
    "slow_transfer_is_cut_after_fifteen_minutes",
    "transfer_may_outlive_its_key",
    needs=Needs(devices=_DEVICE, firmware_bytes_min=LARGE_BYTES),
    full_only=True,
    duration_s=1_835.0,
)
def transfers_of_fifteen_real_minutes(cast: Cast) -> Workload:
    """Transfers of fourteen and a half minutes, of half an hour, and of one minute at the end of a key's life."""
    platform, device = cast.platform, cast.device
    file = largest_file(platform, device)
    yield from watch(device)
    urls = (yield from several_offered(platform, device, file, 3)) if file is not None else []
    if file is None or len(urls) < 3:
        return
    almost, beyond, outliving = urls
    yield Announce("stretching a transfer", {"device_id": device.id, "by_s": 0})
    yield Together(
        (
            slow_fetch_call(almost, device, file, takes_s=TRANSFER_TIME_S_MAX - _EDGE_S),
            # Half of the file is left at the fifteen minutes: more than a target's buffers may have taken already.
            slow_fetch_call(beyond, device, file, takes_s=2 * TRANSFER_TIME_S_MAX),
            InOrder((Wait(KEY_LIFETIME_S - _EDGE_S), slow_fetch_call(outliving, device, file, takes_s=2 * _EDGE_S))),
        )
    )
