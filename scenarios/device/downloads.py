"""Questions about downloads that the platform does not spoil: the request, the file, the URL, the clock."""

from harness.device_operations import AlterOffer, Boot, FollowKeyPolicy, Settle, SpoilDownload, Store, StoredFile, Tell, Until
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.scenario import Workload, scenario
from harness.wire.commands import DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO, DOWNLOADS, KEY_POLICIES
from scenarios.device.steps import DOWNLOAD_GRACE_S, GRACE_S, asked_for_a_file, download, requests_of, result_of, settle_s

FIRMWARE = DeviceNeeds(commands=(DOWNLOAD_FIRMWARE,))
FIRMWARE_SEEN = DeviceNeeds(commands=(DOWNLOAD_FIRMWARE,), image_seen=True)
ANY_DOWNLOAD = DeviceNeeds(any_download=True)
ANY_DOWNLOAD_SEEN = DeviceNeeds(any_download=True, image_seen=True)
ANSWERED = DeviceNeeds(any_download=True, results_required=True)
LOGO_SEEN = DeviceNeeds(commands=(DOWNLOAD_LOGO,), image_seen=True)

# Escapes of unreserved and reserved characters, in both cases, and a plus sign: all of which a tidy URL library would touch.
ODD_QUERY = "&hil=%7Ea%2fb%2Fc+d%2B"
_FILLER_BYTES = 320  # more than a URL buffer of 256 bytes holds; less than one of 512 does (esp_http_client's)
_OFFER_BYTES = 200  # about what a download command takes without our additions
_WORDY_OFFER_BYTES = 300
_CLOCK_BEHIND_S = 30 * 86_400.0
_UNDER_WAY_S = 3.0


@scenario("download_uses_the_url_and_the_raw_token", "results_come_once_and_in_time", subject="device", needs=ANSWERED, duration_s=3.0)
def download_that_is_answered(cast: DeviceCast) -> Workload:
    """The device is told to download a file, and owes a result."""
    yield Boot()
    yield from download(cast, cast.download_command)
    yield Settle(settle_s(cast))


@scenario("download_uses_the_url_and_the_raw_token", subject="device", needs=FIRMWARE, duration_s=3.0)
def download_a_firmware(cast: DeviceCast) -> Workload:
    """The device is told to download a firmware."""
    yield Boot()
    yield from download(cast)


@scenario("download_uses_the_url_and_the_raw_token", subject="device", needs=DeviceNeeds(commands=(DOWNLOAD_LOGO,)), duration_s=3.0)
def download_a_logo(cast: DeviceCast) -> Workload:
    """The device is told to download a logo."""
    yield Boot()
    yield from download(cast, DOWNLOAD_LOGO)
    # Who answers before it asks must be seen asking.
    yield Settle(settle_s(cast))


@scenario("download_uses_the_url_and_the_raw_token", subject="device", needs=ANY_DOWNLOAD, duration_s=4.0)
def download_with_an_odd_url(cast: DeviceCast) -> Workload:
    """The URL has escapes and further parameters, and is long."""
    yield Boot()
    yield AlterOffer(query=ODD_QUERY)
    yield from download(cast, cast.download_command)
    if cast.declares.max_payload_bytes >= _OFFER_BYTES + _FILLER_BYTES:
        yield AlterOffer(query="&filler=" + "x" * _FILLER_BYTES)
        yield from download(cast, cast.download_command)


@scenario("download_uses_the_url_and_the_raw_token", subject="device", needs=ANY_DOWNLOAD, duration_s=3.0)
def download_offered_in_other_words(cast: DeviceCast) -> Workload:
    """The command's JSON has further members, another order, blanks, and escaped slashes."""
    yield Boot()
    if cast.declares.max_payload_bytes >= _WORDY_OFFER_BYTES:
        yield AlterOffer(spelled_otherwise=True)
        yield from download(cast, cast.download_command)
        yield Settle(settle_s(cast))


@scenario(
    "download_uses_the_url_and_the_raw_token",
    subject="device",
    needs=DeviceNeeds(any_download=True, other_host=True),
    duration_s=3.0,
)
def download_from_another_port(cast: DeviceCast) -> Workload:
    """The URL leads to another port than that of the API, which the device may know from its settings."""
    yield Boot()
    yield AlterOffer(other_port=True)
    yield from download(cast, cast.download_command)


@scenario("stored_file_is_installed_byte_for_byte", subject="device", needs=FIRMWARE_SEEN, duration_s=6.0)
def firmwares_of_several_sizes(cast: DeviceCast) -> Workload:
    """Firmwares that fill the last buffer of a usual size in part, with one byte, and to its end; and one of 200 kB."""
    yield Boot()
    for size_bytes in (20_000, 4_097, 8_192, 200_000):
        yield from download(cast, size_bytes=size_bytes)


@scenario("download_under_each_key_policy_is_whole_or_refused", subject="device", needs=ANY_DOWNLOAD_SEEN, duration_s=4.0)
def download_under_both_key_policies(cast: DeviceCast) -> Workload:
    """A file from a platform whose keys end with their first use, and from one whose keys end with a complete delivery."""
    yield Boot()
    for policy in KEY_POLICIES:
        yield FollowKeyPolicy(policy)
        yield from download(cast, cast.download_command)


@scenario("stored_file_is_installed_byte_for_byte", subject="device", needs=LOGO_SEEN, duration_s=3.0)
def logos_one_after_the_other(cast: DeviceCast) -> Workload:
    """Two logos, the second in place of the first."""
    yield Boot()
    yield from download(cast, DOWNLOAD_LOGO, size_bytes=1_024)
    yield from download(cast, DOWNLOAD_LOGO, size_bytes=3_000)


@scenario(
    "invalid_image_is_refused",
    subject="device",
    needs=DeviceNeeds(any_download=True, image_seen=True, invalid_images=True),
    duration_s=4.0,
)
def invalid_image(cast: DeviceCast) -> Workload:
    """An image that the device file calls invalid."""
    yield Boot()
    yield from download(cast, cast.download_command, valid=False)


@scenario("fresh_key_is_used_whatever_the_clock_says", subject="device", needs=ANY_DOWNLOAD, duration_s=3.0)
def key_that_expires_far_ahead(cast: DeviceCast) -> Workload:
    """A fresh key; and one whose expires_at is what it would be if the device's clock were a month behind."""
    yield Boot()
    yield from download(cast, cast.download_command)
    yield AlterOffer(expires_in_s=_CLOCK_BEHIND_S)
    yield from download(cast, cast.download_command)


@scenario("stale_download_is_tried_once_at_most", subject="device", needs=ANY_DOWNLOAD, duration_s=6.0)
def command_that_expired(cast: DeviceCast) -> Workload:
    """The command's expires_at has passed by an hour, and the platform answers 401."""
    yield Boot()
    yield AlterOffer(expires_in_s=-3_600.0)
    body = b'{"success":false,"message":"The download key has expired","action":"download file"}'
    yield SpoilDownload("error", {"status": 401, "body": body}, times=100)
    yield from download(cast, cast.download_command)
    yield Settle(2.0)


@scenario("second_download_leaves_one_image", subject="device", needs=ANY_DOWNLOAD_SEEN, duration_s=8.0)
def download_during_a_download(cast: DeviceCast) -> Workload:
    """A second download command comes while the first file is still under way."""
    command = cast.download_command
    yield Boot()
    first: StoredFile = yield Store(DOWNLOADS[command], size_bytes=20_000)
    yield SpoilDownload("trickle", {"bytes_per_s": first.size_bytes / _UNDER_WAY_S}, times=requests_of(cast))
    yield Tell(command, {"file_name": first.name})
    yield Until(asked_for_a_file, cast.declares.result_s + GRACE_S)
    yield Settle(_UNDER_WAY_S / 3)
    second: StoredFile = yield Store(DOWNLOADS[command], size_bytes=10_000)
    yield Tell(command, {"file_name": second.name})
    within_s = _UNDER_WAY_S + cast.declares.result_s + DOWNLOAD_GRACE_S
    yield Until(result_of(cast, command), within_s, count=2)
    # A third one, of a device that refuses first and executes all the same, comes when the second file is there.
    yield Settle(min(cast.declares.result_s, 5.0))
