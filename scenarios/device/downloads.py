"""Questions about downloads: the request, and what becomes of the file."""

from harness.device_operations import Boot, Store, StoredFile, Tell, Until
from harness.device_scenario import DeviceCast, DeviceNeeds
from harness.scenario import Workload, scenario
from harness.wire.commands import DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO
from harness.wire.files import FileType
from scenarios.device.steps import download_ended, outcome_of

_DOWNLOAD_S = 30.0


def _download(command: str, file_type: FileType, cast: DeviceCast) -> Workload:
    yield Boot()
    stored: StoredFile = yield Store(file_type)
    yield Tell(command, {"file_name": stored.name})
    yield Until(download_ended, _DOWNLOAD_S)
    yield from outcome_of(cast, command)


@scenario(
    "download_uses_the_url_and_the_raw_token",
    subject="device",
    needs=DeviceNeeds(commands=(DOWNLOAD_FIRMWARE,)),
    duration_s=3.0,
)
def download_a_firmware(cast: DeviceCast) -> Workload:
    """The device is told to download a firmware."""
    yield from _download(DOWNLOAD_FIRMWARE, FileType.FIRMWARE, cast)


@scenario(
    "download_uses_the_url_and_the_raw_token",
    subject="device",
    needs=DeviceNeeds(commands=(DOWNLOAD_LOGO,)),
    duration_s=3.0,
)
def download_a_logo(cast: DeviceCast) -> Workload:
    """The device is told to download a logo."""
    yield from _download(DOWNLOAD_LOGO, FileType.LOGO, cast)
