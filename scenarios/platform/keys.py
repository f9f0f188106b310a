"""Questions about download keys: how long they live, how often they work, and for whom."""

from datetime import datetime

from harness.bench.target import TargetDevice
from harness.entropy import SeededEntropy
from harness.history.events import FULL_API_KEY
from harness.operations import AdvanceClock, Announce, Call, RunHook, Volley, Wait
from harness.scenario import COMMANDABLE, Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import FIRST_USE, KEY_LIFETIME_S, DeviceKind, download_key
from scenarios.platform.key_guesses import recipe_of
from scenarios.platform.key_sample import sample_facts
from scenarios.platform.steps import (
    LARGE_BYTES,
    REFUSED_DOWNLOAD_CHECKS,
    WITH_A_STRANGER,
    WITH_FIRMWARE,
    basic,
    fetch_call,
    largest_file,
    offered,
    several_offered,
    stored_logo,
    watch,
    whole_offer,
)

_RACERS = 16
_EARLY_S = 5.0  # How long before the thirty minutes are over the key is tried: all that happens meanwhile must fit in.
_EARLIER_S = 30.0  # And before that, so that a slow target is asked in time, too.
_LATE_S = 3.0  # And how long after them.
_LONG_AFTER_S = (3_600.0, 86_400.0)  # Clocks that are read without their hours or days come round again.
_SLOW_BYTES_PER_S = 200_000.0


@scenario(
    "key_lives_thirty_minutes",
    "fresh_key_is_accepted",
    "key_defects_are_answered_in_order",
    "expiry_is_thirty_minutes_ahead",
    needs=Needs(devices=WITH_A_STRANGER.devices, files=WITH_FIRMWARE.files, test_clock=True),
    alone=True,
)
def key_around_thirty_minutes(cast: Cast) -> Workload:
    """Keys are used at once, just before their thirty minutes are over, and after; what is refused meanwhile lengthens no life."""
    platform, device, other = cast.platform, cast.devices["device"], cast.devices["other"]
    yield from watch(device)
    urls = yield from several_offered(platform, device, cast.files["firmware"], 6)
    logo = stored_logo(platform, device)
    logos = (yield from several_offered(platform, device, logo, 2)) if logo is not None else []
    if len(urls) < 6:
        return
    fresh, late, foreign, earlier, early, tried = urls
    yield fetch_call(fresh, device)
    yield AdvanceClock(KEY_LIFETIME_S / 2)
    younger = yield from offered(platform, device, cast.files["firmware"])  # must not lengthen the lives of the others
    yield fetch_call(tried, device, method="HEAD")
    yield fetch_call(tried, device, headers=(), credential="none")
    yield fetch_call(tried, other)
    yield AdvanceClock(KEY_LIFETIME_S / 2 - _EARLIER_S)
    yield fetch_call(earlier, device)
    yield AdvanceClock(_EARLIER_S - _EARLY_S)
    for url in (early, *logos[:1]):
        yield fetch_call(url, device)
    yield AdvanceClock(_EARLY_S + _LATE_S)
    for url in (late, *logos[1:], tried):
        yield fetch_call(url, device)
    yield fetch_call(foreign, other)
    yield fetch_call(early, device)
    if younger is not None:
        yield fetch_call(younger, device)
    for later_s in _LONG_AFTER_S:
        yield AdvanceClock(later_s - KEY_LIFETIME_S)
        yield fetch_call(late, device)


@scenario("key_works_once", "one_token_serves_mqtt_and_http", *REFUSED_DOWNLOAD_CHECKS, needs=WITH_FIRMWARE, duration_s=12.0)
def key_used_again(cast: Cast) -> Workload:
    """A key is used, and tried again several times."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    url = yield from offered(platform, device, cast.files["firmware"])
    if url is None:
        return
    for _ in range(4):
        yield fetch_call(url, device)
    yield fetch_call(url, device, method="HEAD")
    for ranges in ("bytes=0-", "bytes=0-9"):
        yield fetch_call(url, device, headers=(*basic(device), ("Range", ranges)))
    newer = yield from offered(platform, device, cast.files["firmware"])
    yield fetch_call(url, device)  # A newer key of the device is out,
    if newer is not None:
        yield fetch_call(newer, device)
        yield fetch_call(url, device)  # and used.
    for pause_s in (1.0, 4.0, 6.0):  # whatever remembers used keys for a moment only
        yield Wait(pause_s)
        yield fetch_call(url, device)


@scenario("key_works_once", needs=Needs(files=WITH_FIRMWARE.files, test_clock=True), alone=True)
def key_used_again_later(cast: Cast) -> Workload:
    """A used key is tried again minutes later, within and beyond its thirty minutes."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    url = yield from offered(platform, device, cast.files["firmware"])
    if url is None:
        return
    yield fetch_call(url, device)
    for minutes in (1, 10, 15, 10):
        yield AdvanceClock(minutes * 60.0)
        yield fetch_call(url, device)


@scenario("key_works_once", "fresh_key_is_accepted", needs=Needs(files=WITH_FIRMWARE.files, hooks=("restart",)), alone=True, duration_s=5.0)
def key_used_across_a_restart(cast: Cast) -> Workload:
    """A used key is tried again after a restart of the platform, and an unused one for the first time."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    urls = yield from several_offered(platform, device, cast.files["firmware"], 2)
    if len(urls) < 2:
        return
    used, unused = urls
    yield fetch_call(used, device)
    yield RunHook("restart")
    yield fetch_call(used, device)
    yield fetch_call(unused, device)


@scenario("concurrent_uses_deliver_once", needs=WITH_FIRMWARE)
def key_raced_for(cast: Cast) -> Workload:
    """Many connections send the last byte of the same request together, for firmware, large and small, and for a logo."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    others = [file for file in (stored_logo(platform, device), largest_file(platform, device)) if file is not None]
    for file in (*[cast.files["firmware"]] * 4, *others):
        url = yield from offered(platform, device, file)
        if url is not None:
            yield Volley(tuple(fetch_call(url, device) for _ in range(_RACERS)))


def _other_kind(kind: DeviceKind, *, test_clock: bool = False) -> Needs:
    return Needs(devices={"device": DeviceNeed(kinds=(kind,))}, files=WITH_FIRMWARE.files, test_clock=test_clock)


@scenario("key_lives_thirty_minutes", needs=_other_kind(DeviceKind.INTEMO_WIFI, test_clock=True), alone=True)
def keys_of_a_wifi_device_around_thirty_minutes(cast: Cast) -> Workload:
    """Keys of an Intemo WiFi device are used just before their thirty minutes are over, and after."""
    yield from _around_thirty_minutes(cast)


@scenario("key_lives_thirty_minutes", needs=_other_kind(DeviceKind.INTEMO_CELLULAR, test_clock=True), alone=True)
def keys_of_a_cellular_device_around_thirty_minutes(cast: Cast) -> Workload:
    """Keys of an Intemo Cellular device are used just before their thirty minutes are over, and after."""
    yield from _around_thirty_minutes(cast)


_APART = {"usual": DeviceNeed(kinds=tuple(DeviceKind), commands="any"), "device": DeviceNeed(kinds=COMMANDABLE, apart_from="usual")}


@scenario("key_lives_thirty_minutes", needs=Needs(devices=_APART, test_clock=True), alone=True)
def keys_of_another_project_around_thirty_minutes(cast: Cast) -> Workload:
    """Keys of a device of another project than most are used just before their thirty minutes are over, and after."""
    yield from _around_thirty_minutes(cast)


def _around_thirty_minutes(cast: Cast) -> Workload:
    """Two keys for the largest firmware of the device's project: one is used just in time, one too late."""
    platform, device = cast.platform, cast.device
    file = largest_file(platform, device)
    yield from watch(device)
    urls = (yield from several_offered(platform, device, file, 2)) if file is not None else []
    yield AdvanceClock(KEY_LIFETIME_S - _EARLY_S)
    for url in urls[:1]:
        yield fetch_call(url, device)
    yield AdvanceClock(_EARLY_S + _LATE_S)
    for url in urls[1:]:
        yield fetch_call(url, device)


@scenario("key_works_once", *REFUSED_DOWNLOAD_CHECKS, needs=_other_kind(DeviceKind.INTEMO_WIFI))
def key_of_a_wifi_device_used_again(cast: Cast) -> Workload:
    """The key of an Intemo WiFi device is used, and tried again."""
    yield from _used_twice(cast)


@scenario("key_works_once", *REFUSED_DOWNLOAD_CHECKS, needs=_other_kind(DeviceKind.INTEMO_CELLULAR))
def key_of_a_cellular_device_used_again(cast: Cast) -> Workload:
    """The key of an Intemo Cellular device is used, and tried again."""
    yield from _used_twice(cast)


def _used_twice(cast: Cast) -> Workload:
    yield from watch(cast.device)
    url = yield from offered(cast.platform, cast.device, cast.files["firmware"])
    if url is not None:
        for _ in range(2):
            yield fetch_call(url, cast.device)


@scenario("key_is_used_as_declared", "key_works_once", needs=Needs(firmware_bytes_min=LARGE_BYTES), duration_s=2.0)
def transfers_that_break_off(cast: Cast) -> Workload:
    """A transfer is broken off after the header, the first byte, and some more; then the key is tried again."""
    yield from _break_off(cast, (0, 1, 60_000))


@scenario("key_is_used_as_declared", "key_works_once", needs=WITH_FIRMWARE)
def small_transfers_that_break_off(cast: Cast) -> Workload:
    """The same with whatever file there is, unless the target may rightly take a small one for delivered."""
    if cast.platform.declares.get("KEY-08", FIRST_USE) == FIRST_USE:
        yield from _break_off(cast, (0, 1))


def _break_off(cast: Cast, after_bytes: tuple[int, ...]) -> Workload:
    platform, device = cast.platform, cast.device
    file = largest_file(platform, device)
    yield from watch(device)
    for bytes_read in after_bytes:
        url = yield from offered(platform, device, file)
        if url is not None:
            yield fetch_call(url, device, abort_after_bytes=bytes_read, read_bytes_per_s=_SLOW_BYTES_PER_S)
            yield Wait(0.2)
            yield fetch_call(url, device)
            yield fetch_call(url, device)


@scenario("head_and_range_follow_the_reading", "key_is_used_as_declared", needs=WITH_FIRMWARE)
def ranges_of_a_file(cast: Cast) -> Workload:
    """A part of the file is asked for, then the whole."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for ranges in ("bytes=0-9", "bytes=0-", "bytes=5-5,7-9"):
        url = yield from offered(platform, device, cast.files["firmware"])
        if url is not None:
            yield fetch_call(url, device, headers=(*basic(device), ("Range", ranges)))
            yield fetch_call(url, device)


_WALKS = 10
_STEPS_MAX = 6


@scenario(
    "key_works_once",
    "key_is_bound_to_its_device",
    "refused_attempt_does_not_use_up_the_key",
    "key_is_used_as_declared",
    "download_needs_the_raw_device_token",
    "api_key_is_no_device_token",
    needs=WITH_A_STRANGER,
    duration_s=3.0,
)
def key_tried_in_any_order(cast: Cast) -> Workload:
    """Keys are tried in sequences that the run's seed draws: HEAD, parts, broken transfers, strangers, nobody, and proper uses."""
    platform, device, other = cast.platform, cast.devices["device"], cast.devices["other"]
    entropy = SeededEntropy(cast.seed).stream("key walks")
    file = largest_file(platform, device)
    yield from watch(device)
    for _ in range(_WALKS):
        url = yield from offered(platform, device, file)
        if url is None or file is None:
            return
        steps = _steps(url, device, other, full=platform.api_keys.full, can_break=file.size_bytes >= LARGE_BYTES)
        for _ in range(entropy.integer(3, _STEPS_MAX)):
            yield entropy.choice(steps)
        yield fetch_call(url, device)


def _steps(url: str, device: TargetDevice, other: TargetDevice, *, full: str, can_break: bool) -> list[Call]:
    use = fetch_call(url, device)
    steps: list[Call] = [
        use,
        fetch_call(url, device, method="HEAD"),
        fetch_call(url, other, credential=f"token:{other.id}"),
        fetch_call(url, device, headers=(), credential="none"),
        fetch_call(url, device, headers=(("Authorization", "Basic hil-token-of-nobody"),), credential="unknown"),
        fetch_call(url, device, headers=(("Authorization", f"Basic {full}"),), credential=FULL_API_KEY),
        fetch_call(url, device, headers=(*basic(device), ("Range", "bytes=0-9"))),
    ]
    if can_break:
        steps.append(fetch_call(url, device, abort_after_bytes=20_000, read_bytes_per_s=_SLOW_BYTES_PER_S))
    return steps


@scenario("keys_are_unpredictable", "key_is_hard_to_guess", "every_download_command_has_its_own_key", needs=WITH_FIRMWARE, duration_s=3.0)
def sample_of_keys(cast: Cast) -> Workload:
    """Two hundred keys are drawn one after the other."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    keys, issued_s = [], None
    for _ in range(200):
        offer = yield from whole_offer(platform, device, cast.files["firmware"])
        key = download_key(offer.url) if offer else None
        if offer is None or key is None:
            return
        keys.append(key)
        issued_s = _issued_s(offer.expires_at)
    yield Announce("sample of keys", sample_facts(keys) | {"recipe": recipe_of(keys[-1], device_id=device.id, issued_s=issued_s)})


def _issued_s(expires_at: str) -> float | None:
    """When a key was made, by the target's own clock, in seconds UTC; None where it does not say."""
    try:
        return datetime.fromisoformat(expires_at).timestamp() - KEY_LIFETIME_S
    except ValueError:
        return None
