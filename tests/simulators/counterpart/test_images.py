"""What is offered to a device whose vendor names no images."""

import pytest

from harness.entropy import SeededEntropy
from simulators.counterpart.images import made_up_image

TIDIERS = {
    "strips NUL": lambda data: data.rstrip(b"\0"),
    "strips erased flash": lambda data: data.rstrip(b"\xff"),
    "strips the line end": lambda data: data.rstrip(b"\r\n"),
    "strips blanks": bytes.strip,
    "drops a byte order mark": lambda data: data.removeprefix(b"\xef\xbb\xbf"),
}


@pytest.mark.parametrize("size_bytes", [1, 63, 64, 4_097])
def test_image_has_the_size_that_is_wanted(size_bytes):
    assert len(made_up_image(SeededEntropy(1), 1, size_bytes)) == size_bytes


@pytest.mark.parametrize("tidier", TIDIERS)
def test_whoever_tidies_spoils_one_of_three_images_in_a_row(tidier):
    images = [made_up_image(SeededEntropy(number), number, 1_024) for number in range(5, 8)]
    assert any(TIDIERS[tidier](image) != image for image in images)
