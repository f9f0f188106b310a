"""Questions about attempts that must be refused: another device's token, no token, API keys, keys that were never issued."""

from typing import Any
from urllib.parse import unquote

from harness.bench.target import Platform, TargetDevice
from harness.history.events import API_KEY, Headers
from harness.operations import Announce
from harness.scenario import Cast, Workload, scenario
from harness.wire.commands import download_key
from scenarios.platform.steps import (
    REFUSED_DOWNLOAD_CHECKS,
    UNKNOWN_ID,
    WITH_A_STRANGER,
    WITH_FIRMWARE,
    base64_basic,
    fetch_call,
    offered,
    watch,
)

_STRANGERS_MAX = 12
_LONG_KEY_CHARACTERS = 1_000  # longer than the columns of tables, shorter than what servers take for a line


@scenario("key_is_bound_to_its_device", "refused_attempt_does_not_use_up_the_key", *REFUSED_DOWNLOAD_CHECKS, needs=WITH_A_STRANGER)
def key_tried_by_another_device(cast: Cast) -> Workload:
    """A key is tried with another device's valid token, one with those of each kind in each project, and then used by its own device."""
    platform, device, other = cast.platform, cast.devices["device"], cast.devices["other"]
    yield from watch(device)
    for strangers in ([other], _one_of_each_sort(platform, device)):
        url = yield from offered(platform, device, cast.files["firmware"])
        if url is not None:
            for stranger in strangers:
                yield fetch_call(url, stranger)
            yield fetch_call(url, device)


def _one_of_each_sort(platform: Platform, but: TargetDevice) -> list[TargetDevice]:
    """One device of each kind in each project, other than this one."""
    found = {(device.kind, device.project_id): device for device in platform.devices if device.id != but.id}
    return list(found.values())[:_STRANGERS_MAX]


@scenario(
    "refused_attempt_does_not_use_up_the_key",
    "head_and_range_follow_the_reading",
    "download_needs_the_raw_device_token",
    "api_key_is_no_device_token",
    "token_is_taken_raw_only",
    *REFUSED_DOWNLOAD_CHECKS,
    needs=WITH_FIRMWARE,
)
def key_tried_in_wrong_ways(cast: Cast) -> Workload:
    """Each key is tried in one wrong way, and then used by its device."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    token = device.token
    unknown = (
        "Basic hil-token-of-nobody",
        f"Basic {token[:-1]}",
        f"Basic {token}x",
        f"Basic {token.swapcase()}",
        "Basic",
        "Basic ",
        token,
        f"Bearer {token}",
        f"Basic {device.id}",
        "Basic %",
    )
    ways: list[dict[str, Any]] = [
        {"headers": (), "credential": "none"},
        *({"headers": (("Authorization", value),), "credential": "unknown"} for value in unknown if value != f"Basic {token}"),
        *_api_key_ways(platform),
        *_base64_ways(device),
        {"method": "HEAD"},
    ]
    for way in ways:
        url = yield from offered(platform, device, cast.files["firmware"])
        if url is None:
            return
        yield fetch_call(url, device, **way)
        yield fetch_call(url, device)


def _api_key_ways(platform: Platform) -> list[dict[str, Any]]:
    """Every API key of the target file under both schemes, and the first in the form of RFC 7617."""
    keys: dict[str, str] = platform.api_keys.model_dump(exclude_none=True)
    ways: list[tuple[str, Headers]] = [
        (name, (("Authorization", f"{scheme} {key}"),)) for name, key in keys.items() for scheme in ("Bearer", "Basic")
    ]
    ways += [("full", base64_basic(text)) for text in (keys["full"], f"{keys['full']}:")]
    return [{"headers": headers, "credential": API_KEY + name} for name, headers in ways]


def _base64_ways(device: TargetDevice) -> list[dict[str, Any]]:
    """The token in the forms of RFC 7617."""
    texts = (device.token, f"{device.id}:{device.token}", f":{device.token}", f"{device.token}:")
    return [{"headers": base64_basic(text), "credential": f"base64-token:{device.id}"} for text in texts]


@scenario("unknown_key_is_refused", "key_defects_are_answered_in_order", *REFUSED_DOWNLOAD_CHECKS, needs=WITH_FIRMWARE)
def keys_that_were_never_issued(cast: Cast) -> Workload:
    """Unknown, empty, absent, truncated, repeated and case-changed keys with a valid token, and with none."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    url = yield from offered(platform, device, cast.files["firmware"])
    key = download_key(url) if url else None
    if url is None or key is None:
        return
    written, endpoint = url.partition("key=")[2].partition("&")[0], url.partition("?")[0]
    for how, query in _wrong_keys(written):
        yield Announce("trying a key", {"how": how})
        yield fetch_call(endpoint + query, device)
    for headers in ((), (("Authorization", "Basic hil-token-of-nobody"),)):
        yield fetch_call(f"{endpoint}?key=hil-never-issued", device, headers=headers, credential="unknown" if headers else "none")
    yield Announce("trying a key", {"how": "a repeated"})
    yield fetch_call(f"{endpoint}?key={written}&key={written}", device)


@scenario("key_defects_are_answered_in_order", "key_is_bound_to_its_device", "key_works_once", needs=WITH_A_STRANGER)
def used_key_of_another_device(cast: Cast) -> Workload:
    """A key is used by its device, then tried by another one and by nobody known, and by its device again."""
    device, other = cast.devices["device"], cast.devices["other"]
    yield from watch(device)
    url = yield from offered(cast.platform, device, cast.files["firmware"])
    if url is not None:
        yield fetch_call(url, device)
        yield fetch_call(url, other)
        yield fetch_call(url, device)
        yield fetch_call(url, device, headers=(("Authorization", "Basic hil-token-of-nobody"),), credential="unknown")
        yield fetch_call(url, device)


def _wrong_keys(written: str) -> list[tuple[str, str]]:
    """Queries that are not the key's, and what they hold instead. `written` is the key as its URL has it."""
    found = [
        ("an absent", ""),
        ("an absent", "?"),
        ("an empty", "?key"),
        ("an empty", "?key="),
        ("an unknown", "?key=hil-never-issued"),
        ("an unknown", f"?key={UNKNOWN_ID}"),
        ("an unknown", "?key=%27%20OR%20%271%27%3D%271"),
        ("an unknown", "?key=%25"),
        ("an unknown", "?key=*"),
        ("an unknown", "?key=%C3%A9"),
        ("an unknown", "?key=%FF"),
        ("a long", f"?key={'k' * _LONG_KEY_CHARACTERS}"),
        ("a NUL as", "?key=%00"),
        ("a truncated", f"?key={written[:-1]}"),
        ("a truncated", f"?key={written[: len(written) // 2]}"),
        ("a truncated", f"?key={written[1:]}"),
        ("a lengthened", f"?key={written}x"),
        ("a padded", f"?key={written}%20"),
        ("a padded", f"?key=%0A{written}"),
        ("a padded", f"?key={written}%00x"),
        ("a padded", f"?key={written}/"),
        ("a quoted", f"?key=%22{written}%22"),
        ("an unknown", "?key[]=hil-never-issued"),
        ("a case-changed", f"?key={written.swapcase()}"),
        ("a respelled", f"?key={written.replace('-', '')}"),
    ]
    if not written.startswith("%"):
        found.append(("a doubly encoded", f"?key=%25{ord(written[0]):02X}{written[1:]}"))
    return [(how, query) for how, query in found if unquote(query) != f"?key={unquote(written)}"]
