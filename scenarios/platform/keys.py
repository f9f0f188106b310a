"""Questions about download keys: how long they live, how often they work, and for whom."""

from harness.operations import AdvanceClock, Volley
from harness.scenario import Cast, DeviceNeed, Needs, Workload, scenario
from harness.wire.commands import KEY_LIFETIME_S
from harness.wire.files import FileType
from harness.wire.responses import DOWNLOAD_PATH
from scenarios.platform.steps import basic, fetch_call, offered, watch

_FIRMWARE = {"firmware": FileType.FIRMWARE}
_RACERS = 16
_EDGE_S = 5.0  # How far from the thirty minutes the key is tried, on either side.


@scenario("key_lives_thirty_minutes", needs=Needs(files=_FIRMWARE, test_clock=True), alone=True)
def key_around_thirty_minutes(cast: Cast) -> Workload:
    """One key is used just before its thirty minutes are over, another just after."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    early = yield from offered(platform, device, cast.files["firmware"])
    late = yield from offered(platform, device, cast.files["firmware"])
    if early is None or late is None:
        return
    yield AdvanceClock(KEY_LIFETIME_S - _EDGE_S)
    yield fetch_call(early, device)
    yield AdvanceClock(2 * _EDGE_S)
    yield fetch_call(late, device)


@scenario(
    "key_works_once",
    "download_delivers_the_file",
    "download_needs_the_raw_device_token",
    "one_token_serves_mqtt_and_http",
    "download_errors_follow_the_contract",
    "unauthorized_names_its_scheme",
    needs=Needs(files=_FIRMWARE),
)
def key_used_again(cast: Cast) -> Workload:
    """A key is used, and tried twice more."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    url = yield from offered(platform, device, cast.files["firmware"])
    if url is None:
        return
    for _ in range(3):
        yield fetch_call(url, device)


@scenario("concurrent_uses_deliver_once", needs=Needs(files=_FIRMWARE))
def key_raced_for(cast: Cast) -> Workload:
    """Many connections send the last byte of the same request together."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for _ in range(3):
        url = yield from offered(platform, device, cast.files["firmware"])
        if url is not None:
            yield Volley(tuple(fetch_call(url, device) for _ in range(_RACERS)))


@scenario(
    "key_is_bound_to_its_device",
    "refused_attempt_does_not_use_up_the_key",
    "head_and_range_follow_the_reading",
    "download_needs_the_raw_device_token",
    "api_key_is_no_device_token",
    "download_errors_follow_the_contract",
    needs=Needs(devices={"device": DeviceNeed(), "other": DeviceNeed(beside="device")}, files=_FIRMWARE),
)
def key_tried_by_others(cast: Cast) -> Workload:
    """Each key is tried in one wrong way, and then used by its device."""
    platform, device, other = cast.platform, cast.devices["device"], cast.devices["other"]
    yield from watch(device)
    full = platform.api_keys.full
    wrong_ways = (
        {"headers": basic(other), "credential": f"token:{other.id}"},
        {"headers": (), "credential": "none"},
        {"headers": (("Authorization", "Basic hil-token-of-nobody"),), "credential": "unknown"},
        {"headers": (("Authorization", f"Basic {device.token[:-1]}"),), "credential": "unknown"},
        {"headers": (("Authorization", "Basic"),), "credential": "unknown"},
        {"headers": (("Authorization", f"Bearer {full}"),), "credential": "api-key:full"},
        {"headers": (("Authorization", f"Basic {full}"),), "credential": "api-key:full"},
        {"method": "HEAD"},
    )
    for wrong_way in wrong_ways:
        url = yield from offered(platform, device, cast.files["firmware"])
        if url is None:
            return
        yield fetch_call(url, device, **wrong_way)
        yield fetch_call(url, device)


@scenario("unknown_key_is_refused", "download_errors_follow_the_contract", needs=Needs(files=_FIRMWARE))
def keys_that_were_never_issued(cast: Cast) -> Workload:
    """Unknown, empty, absent, truncated, repeated and case-changed keys with a valid token."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    url = yield from offered(platform, device, cast.files["firmware"])
    if url is None:
        return
    key = url.partition("key=")[2].partition("&")[0]
    for query in (
        "",
        "?",
        "?key",
        "?key=",
        "?key=hil-never-issued",
        f"?key={key[:-1]}",
        f"?key={key}x",
        f"?key={key}&key={key}",
        "?key=%00",
    ):
        yield fetch_call(DOWNLOAD_PATH + query, device)
    if key.swapcase() != key:
        yield fetch_call(f"{DOWNLOAD_PATH}?key={key.swapcase()}", device)
