"""URLs are taken apart whatever they say."""

import pytest

from harness.wire.urls import host_and_target


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://h:8080/v2/device/download?key=a%2F&x#y", "h:8080", "/v2/device/download?key=a%2F&x#y"),
        ("/v2/files?type=logo", "", "/v2/files?type=logo"),
        ("https://h", "h", "/"),
        ("http://[h/v2", "[h", "/v2"),
        ("//[h/v2", "", "//[h/v2"),
        ("", "", "/"),
    ],
)
def test_host_and_target_of_whatever_stands_there(url, host, target):
    assert host_and_target(url) == (host, target)
