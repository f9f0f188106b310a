"""Questions about downloads: the bytes, for each stored file."""

from harness.scenario import Cast, Needs, Workload, scenario
from harness.wire.commands import DOWNLOAD_FIRMWARE, DOWNLOAD_LOGO
from harness.wire.files import FileType
from scenarios.platform.steps import fetch_call, offered, watch


@scenario(
    "download_delivers_the_file",
    "one_token_serves_mqtt_and_http",
    needs=Needs(files={"firmware": FileType.FIRMWARE, "logo": FileType.LOGO}),
)
def firmware_and_logo(cast: Cast) -> Workload:
    """A firmware and a logo are commanded and fetched."""
    platform, device = cast.platform, cast.device
    yield from watch(device)
    for command, role in ((DOWNLOAD_FIRMWARE, "firmware"), (DOWNLOAD_LOGO, "logo")):
        url = yield from offered(platform, device, cast.files[role], command)
        if url is not None:
            yield fetch_call(url, device)
