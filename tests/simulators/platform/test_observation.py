"""What a recorder sees of the HTTP side: each exchange from its request to its end."""

import aiohttp
import pytest

from simulators.platform.download_faults import DownloadFault, DownloadFaultKind


class Notes:
    """An observer that writes everything down."""

    def __init__(self):
        self.lines = []

    def request(self, exchange, request):
        self.lines.append((exchange, request.endpoint, request.method, request.device_id))

    def response(self, exchange, status, headers):
        self.lines.append((exchange, status))

    def progress(self, exchange, sent_bytes):
        self.lines.append((exchange, "progress", sent_bytes))

    def ended(self, exchange, sent_bytes, *, complete, body, problem):
        self.lines.append((exchange, "ended", sent_bytes, complete, body[:12], problem))


def test_a_command_a_download_and_a_list_are_seen_from_end_to_end(on_bench):
    notes = Notes()

    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        await bench.fetch(device, offer)
        await bench.request("GET", "/v2/files?type=logo")
        return device["id"]

    device_id = on_bench(scenario, observer=notes)
    command, download, listing = ([line for line in notes.lines if line[0] == exchange] for exchange in (1, 2, 3))
    assert command == [(1, "command", "POST", device_id), (1, 200), (1, "ended", 83, True, b'{"success": ', "")]
    assert download[:2] == [(2, "download", "GET", device_id), (2, 200)]
    assert download[-2:] == [(2, "progress", 4_097), (2, "ended", 4_097, True, b"", "")]
    assert listing[:2] == [(3, "files", "GET", ""), (3, 401)]


@pytest.mark.requirement("DLD-05")
def test_a_download_that_is_cut_is_seen_as_incomplete_with_its_cause(on_bench):
    notes = Notes()

    async def scenario(bench):
        device = bench.device()
        offer = await bench.offer(device)
        with pytest.raises(aiohttp.ClientError):
            await bench.fetch(device, offer)

    on_bench(scenario, observer=notes, faults=lambda download: DownloadFault(DownloadFaultKind.CUT, at_byte=1_000))
    assert notes.lines[-1] == (2, "ended", 1_000, False, b"", "fault: cut at byte 1000")
