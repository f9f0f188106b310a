"""Questions about downloads that go wrong on the way: cut, stalled, spoilt, refused, redirected, slow."""

from harness.device_operations import Boot, RedirectElsewhere, Settle, SpoilDownload, Store, StoredFile, Tell, Until, UntilConnected
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.scenario import Workload, scenario
from harness.wire.commands import CONFIGURATION, DOWNLOAD_LOGO, DOWNLOADS, SEND_CONFIGURATION
from scenarios.device.downloads import ANSWERED, ANY_DOWNLOAD, ANY_DOWNLOAD_SEEN, LOGO_SEEN
from scenarios.device.steps import GRACE_S, asked_for_a_file, back_within_s, download, download_result, requests_of, tell

_SIZE_BYTES = 20_000
_STALL_S = 10.0
_LONG_STALL_S = 120.0
_SLOW_S_MAX = 90.0
_WELL_UNDER_WAY_S = 1.0
_REAL_SLOW_S = 14.5 * 60.0
_FAILURE = DeviceNeeds(any_download=True, results=True)

_JSON = b'{"success":false,"message":"No","action":"download file"}'
_BINARY = bytes(range(256)) * 8


def _spoilt(
    cast: DeviceCast,
    kind: str,
    *,
    command: str = "",
    transfer_s: float = 0.0,
    fraction: float | None = None,
    **options: object,
) -> Workload:
    """One download that is spoilt in a way, at a fraction of its body: an image of the vendor's has the size that it has."""
    command = command or cast.download_command
    stored: StoredFile = yield Store(DOWNLOADS[command], size_bytes=_SIZE_BYTES)
    if fraction is not None:
        options["at_byte"] = int(stored.size_bytes * fraction)
    yield SpoilDownload(kind, options, times=3)
    yield Tell(command, {"file_name": stored.name})
    yield from download_result(cast, command, transfer_s=transfer_s)
    yield SpoilDownload(kind, times=0)


@scenario("broken_off_download_is_not_installed", subject="device", needs=ANY_DOWNLOAD_SEEN, duration_s=8.0)
def connection_cut_in_the_body(cast: DeviceCast) -> Workload:
    """The connection is cut before the body, in it, one byte before its end, and after it."""
    yield Boot()
    for fraction in (0.0, 0.5, 0.99, 1.0):
        yield from _spoilt(cast, "cut", fraction=fraction)
    yield from _spoilt(cast, "cut", at_byte=1)


@scenario("broken_off_download_is_not_installed", subject="device", needs=ANY_DOWNLOAD_SEEN, duration_s=6.0)
def body_of_another_length(cast: DeviceCast) -> Workload:
    """The body is shorter than announced by one byte and by half, longer, or comes in chunks, to the last one or not."""
    yield Boot()
    yield from _spoilt(cast, "short", amount_bytes=1)
    yield from _spoilt(cast, "short", amount_bytes=10_000)
    yield from _spoilt(cast, "long", amount_bytes=512)
    yield from _spoilt(cast, "chunked")
    yield from _spoilt(cast, "short", amount_bytes=10_000, is_chunked=True)


@scenario("broken_off_download_is_not_installed", "error_body_is_not_installed", subject="device", needs=LOGO_SEEN, duration_s=4.0)
def logos_that_do_not_arrive(cast: DeviceCast) -> Workload:
    """A logo's connection is cut, its body is short, or an error comes in its place."""
    yield Boot()
    for kind, options in (
        ("cut", {"fraction": 0.5}),
        ("short", {"amount_bytes": 1}),
        ("error", {"status": 404, "body": _JSON, "content_type": "application/json"}),
        ("error", {"status": 500, "body": _BINARY, "content_type": "application/octet-stream"}),
    ):
        yield from _spoilt(cast, kind, command=DOWNLOAD_LOGO, **options)


@scenario("results_come_once_and_in_time", subject="device", needs=ANSWERED, duration_s=5.0)
def downloads_that_fail_are_answered(cast: DeviceCast) -> Workload:
    """Downloads fail in several ways, and the device owes a result for each."""
    yield Boot()
    for kind, options in (
        ("cut", {"fraction": 0.5}),
        ("short", {"amount_bytes": 1}),
        ("error", {"status": 401, "body": _JSON, "content_type": "application/octet-stream"}),
        ("error", {"status": 404, "body": _JSON, "content_type": "application/json"}),
        ("error", {"status": 500, "body": b"", "content_type": "text/html"}),
    ):
        yield from _spoilt(cast, kind, **options)


@scenario("broken_off_download_is_not_installed", subject="device", needs=ANY_DOWNLOAD_SEEN, duration_s=_STALL_S + 3.0)
def body_that_stalls(cast: DeviceCast) -> Workload:
    """Nothing comes for ten seconds in the middle of the body."""
    yield Boot()
    yield from _spoilt(cast, "stall", at_byte=_SIZE_BYTES // 10, pause_s=_STALL_S, transfer_s=_STALL_S)


@scenario("broken_off_download_is_not_installed", subject="device", needs=ANY_DOWNLOAD_SEEN, duration_s=_LONG_STALL_S + 3.0, full_only=True)
def body_that_stalls_for_two_minutes(cast: DeviceCast) -> Workload:
    """Nothing comes for two minutes in the middle of the body."""
    yield Boot()
    yield from _spoilt(cast, "stall", at_byte=_SIZE_BYTES // 10, pause_s=_LONG_STALL_S, transfer_s=_LONG_STALL_S)


@scenario("error_body_is_not_installed", subject="device", needs=ANY_DOWNLOAD_SEEN, duration_s=8.0)
def errors_with_bodies(cast: DeviceCast) -> Workload:
    """403, 404, 500 and 503, with JSON and with bytes that look like a file."""
    yield Boot()
    for status, body, content_type in (
        (404, _JSON, "application/json"),
        (403, _BINARY, "application/octet-stream"),
        (500, _BINARY, "application/octet-stream"),
        (503, b"", "text/html"),
        (401, _BINARY, "application/octet-stream"),
    ):
        yield from _spoilt(cast, "error", status=status, body=body, content_type=content_type)
    if cast.declares.download == "range":
        # The first parts are good, then one is not.
        yield from _spoilt(cast, "error", fraction=0.5, status=500, body=_BINARY, content_type="application/octet-stream")


@scenario("refused_download_is_not_hammered", subject="device", needs=ANY_DOWNLOAD, duration_s=8.0)
def download_refused_for_good(cast: DeviceCast) -> Workload:
    """The platform answers 401, whatever is asked and however often."""
    yield Boot()
    yield from _fails_for_good(cast, 401)
    # Who hammers goes on after its result as well.
    yield Settle(3.0)


@scenario("failing_download_is_not_hammered", subject="device", needs=ANY_DOWNLOAD, duration_s=8.0)
def download_fails_for_good(cast: DeviceCast) -> Workload:
    """The platform answers 403, 404 and 500, whatever is asked and however often."""
    yield Boot()
    for status in (403, 404, 500):
        yield from _fails_for_good(cast, status)


def _fails_for_good(cast: DeviceCast, status: int) -> Workload:
    # The key stays good, so that every attempt gets the same answer.
    spoilt = {"status": status, "body": _JSON, "content_type": "application/octet-stream", "consumes_key": False}
    yield SpoilDownload("error", spoilt, times=1_000)
    yield from download(cast, cast.download_command)


@scenario("token_stays_with_its_host", subject="device", needs=DeviceNeeds(any_download=True, other_host=True), duration_s=5.0)
def redirect_to_another_host(cast: DeviceCast) -> Workload:
    """The download is redirected to another host, which asks for credentials."""
    yield Boot()
    for status in (302, 303, 307, 308):
        yield from _redirected(cast, status)


@scenario(
    "error_body_is_not_installed",
    "token_stays_with_its_host",
    subject="device",
    needs=DeviceNeeds(any_download=True, image_seen=True, other_host=True),
    duration_s=3.0,
)
def redirect_with_a_body(cast: DeviceCast) -> Workload:
    """The redirect to another host has bytes that look like a file."""
    yield Boot()
    yield from _redirected(cast, 301, _BINARY)


def _redirected(cast: DeviceCast, status: int, body: bytes = b"") -> Workload:
    """One download that is redirected to another host."""
    yield RedirectElsewhere(status, body=body)
    yield from download(cast, cast.download_command)


def _slow_download(cast: DeviceCast, duration_s: float) -> Workload:
    """A download at the speed of a slow link; shortly after its start the device is configured and asked."""
    command = cast.download_command
    stored: StoredFile = yield Store(DOWNLOADS[command], size_bytes=_SIZE_BYTES)
    yield SpoilDownload("trickle", {"bytes_per_s": stored.size_bytes / duration_s}, times=requests_of(cast))
    yield Tell(command, {"file_name": stored.name})
    yield Until(asked_for_a_file, cast.declares.result_s + GRACE_S)
    yield Settle(_WELL_UNDER_WAY_S)
    for told, data in ((CONFIGURATION, cast.configurations[0]), (SEND_CONFIGURATION, {})):
        if told in cast.declares.commands:
            yield from tell(cast, told, data)
    yield from download_result(cast, command, transfer_s=duration_s)
    yield UntilConnected(back_within_s(cast))


_SLOW = DeviceNeeds(any_download=True, keep_alive=True)


@scenario("slow_download_keeps_the_connection", "commands_are_answered_during_a_download", subject="device", needs=_SLOW, duration_s=20.0)
def slow_download(cast: DeviceCast) -> Workload:
    """A quick download, and one that takes three keep-alive intervals (90 s at most)."""
    yield Boot(afresh=True)  # so that its CONNECT is seen, which says its keep-alive
    # Who keeps alive during a first download only has forgotten to set something up again.
    yield from download(cast, cast.download_command)
    yield from _slow_download(cast, min(3 * cast.declares.keep_alive_s, _SLOW_S_MAX))


@scenario(
    "slow_download_keeps_the_connection",
    "commands_are_answered_during_a_download",
    subject="device",
    needs=_SLOW,
    duration_s=_REAL_SLOW_S + 10.0,
    full_only=True,
)
def download_of_a_quarter_of_an_hour(cast: DeviceCast) -> Workload:
    """A download that takes nearly the 15 minutes that the platform allows."""
    yield Boot()
    yield from _slow_download(cast, _REAL_SLOW_S)


@scenario(
    "broken_off_download_is_not_installed", "download_uses_the_url_and_the_raw_token", subject="device", needs=_FAILURE, duration_s=5.0
)
def download_after_a_failure(cast: DeviceCast) -> Workload:
    """A download fails, and the next one is as good as the first."""
    yield Boot()
    yield from _spoilt(cast, "cut", fraction=0.3)
    yield from download(cast, cast.download_command)
