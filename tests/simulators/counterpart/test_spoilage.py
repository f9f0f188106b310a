"""Which of a device's requests a fault strikes: a place in the file is in one part only."""

import pytest

from simulators.counterpart.station import Spoilage
from simulators.platform.download_faults import DownloadFault, DownloadFaultKind, FaultedDownload


def part(first, end, size_bytes=100):
    return FaultedDownload("dev-1", 1, "f.bin", size_bytes, 1, first, end)


def struck_at(at_byte, *downloads, kind=DownloadFaultKind.CUT, times=1):
    """The places, counted from each download's first byte, at which a fault at `at_byte` of the file strikes; None: not at all."""
    spoilage = Spoilage(DownloadFault(kind, at_byte=at_byte), times)
    faults = [spoilage.next(download) for download in downloads]
    return [fault and fault.at_byte for fault in faults]


@pytest.mark.parametrize("at_byte", [0, 50, 99, 100])
def test_whole_file_is_struck_at_its_byte(at_byte):
    assert struck_at(at_byte, part(0, 100)) == [at_byte]


def test_part_that_holds_the_byte_is_struck_and_only_as_often_as_wanted():
    assert struck_at(50, part(0, 40), part(40, 80), part(40, 80), part(80, 100)) == [None, 10, None, None]


def test_last_part_is_struck_behind_the_files_last_byte():
    assert struck_at(100, part(0, 60), part(60, 100)) == [None, 40]


def test_place_counted_from_the_end_is_in_the_last_part():
    assert struck_at(-1, part(0, 60), part(60, 100)) == [None, 39]


def test_every_part_trickles():
    assert struck_at(0, part(0, 60), part(60, 100), kind=DownloadFaultKind.TRICKLE, times=9) == [0, 0]
